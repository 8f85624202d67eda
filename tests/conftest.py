"""What the tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of material beside a developer's checkout; the test is skipped where there is none."""
    if not (SHARED / "fixtures").is_dir():
        pytest.skip("needs ../shared")
    return SHARED
