"""The agent and its workers stand behind everything else; read from the system, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from moodzone_agent import workers
from moodzone_agent.priority import lower_priority
from moodzone_agent.workers import half_the_cores

ROOT = Path(__file__).resolve().parents[2]
READ = (
    "import psutil; from pathlib import Path; "
    "print(Path('/proc/self/stat').read_text().rpartition(')')[2].split()[16], psutil.Process().ionice().ioclass)"
)
LOWER = f"""
import subprocess, sys
from moodzone_agent.priority import lower_priority
lower_priority()
lower_priority()
{READ}
subprocess.run([sys.executable, "-c", {READ!r}], check=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="as Linux tells it")
def test_the_process_and_its_children_are_last() -> None:
    before = psutil.Process().nice()
    result = subprocess.run(
        [sys.executable, "-c", LOWER], cwd=ROOT, capture_output=True, text=True, check=True
    )
    own, child = result.stdout.splitlines()
    assert own == child
    nice, io = own.split()
    assert nice == "19"
    assert io in {"3", "IOPriority.IOPRIO_CLASS_IDLE"}
    assert psutil.Process().nice() == before


@pytest.mark.skipif(sys.platform == "win32", reason="as Unix does it")
def test_a_system_that_refuses_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse)
    lower_priority()


@pytest.mark.parametrize(("cores", "jobs"), [(1, 1), (2, 1), (3, 1), (8, 4)])
def test_half_the_cores(monkeypatch: pytest.MonkeyPatch, cores: int, jobs: int) -> None:
    monkeypatch.setattr(workers, "default_jobs", lambda: cores)
    assert half_the_cores() == jobs
