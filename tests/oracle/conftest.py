"""Skips where the programs are not installed."""

from __future__ import annotations

import shutil

import pytest

from tests.oracle.mixxx import PROGRAMS


@pytest.fixture(scope="session", autouse=True)
def _programs() -> None:
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: .ci/oracle installs them")
