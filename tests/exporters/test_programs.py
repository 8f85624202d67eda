"""A DJ program is seen by its process's name, a helper of it is not taken for it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from exporters.programs import PROGRAMS, REKORDBOX, SERATO, running_processes
from moodzone_agent.errors import CollectionError


@pytest.mark.alone
@pytest.mark.skipif(sys.platform == "win32", reason="copies a POSIX program")
@pytest.mark.parametrize(("name", "is_it"), [("rekordbox", True), ("rekordboxAgent", False)])
def test_a_real_process(tmp_path: Path, name: str, is_it: bool) -> None:
    program = Path(shutil.copy(shutil.which("cat") or "", tmp_path / name))
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"started\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"started\n"
        assert name in running_processes()
        assert REKORDBOX.is_running() is is_it
        if is_it:
            with pytest.raises(CollectionError, match="rekordbox is running"):
                REKORDBOX.expect_closed()
        process.stdin.close()
    assert not REKORDBOX.is_running()


@pytest.mark.parametrize("name", ["Serato DJ Pro", "Serato DJ Pro.exe", "SERATO DJ LITE"])
def test_names_of_all_systems(name: str) -> None:
    assert SERATO.is_running(["init", name])
    assert [program for program in PROGRAMS if program.is_running([name])] == [SERATO]
