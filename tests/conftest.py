"""What the tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# As in the agent's workers, and before numpy comes: more threads only get in each other's way.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# How long an example takes is no matter of right and wrong, least of all on a busy machine.
settings.register_profile("ours", deadline=None)
settings.load_profile("ours")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of material beside a developer's checkout; the test is skipped where there is none."""
    if not (SHARED / "fixtures").is_dir():
        pytest.skip("needs ../shared")
    return SHARED
