"""What the tests share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# As in the agent's workers, and before numpy comes: more threads only get in each other's way.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# How long an example takes is no matter of right and wrong, least of all on a busy machine.
settings.register_profile("ours", deadline=None)
settings.load_profile("ours")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def turn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests in other processes run meanwhile, but not beside one marked ``alone``: all see the same programs run.

    Each holds a shared lock, that one an exclusive one. Whoever waits for it holds the door, so that none comes after.
    """
    if sys.platform == "win32":
        yield
        return
    from fcntl import LOCK_EX, LOCK_SH, flock

    folder = tmp_path_factory.getbasetemp().parent
    kind = LOCK_SH if request.node.get_closest_marker("alone") is None else LOCK_EX
    with (folder / "room").open("w") as room:
        with (folder / "door").open("w") as door:
            flock(door, LOCK_EX)
            flock(room, kind)
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of material beside a developer's checkout; the test is skipped where there is none."""
    if not (SHARED / "fixtures").is_dir():
        pytest.skip("needs ../shared")
    return SHARED
