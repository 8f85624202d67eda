"""Kills a process at every line of the writing code it executes; run by test_kill.py.

Usage: kill_at_every_line.py FOLDER write|restore|take-out. For n = 1, 2, ... a child is forked that does the
job and kills itself at the n-th line of what writes in ``exporters``, until one gets through. After each kill
the files must be whole, and the next start must find its way. Prints the number of kills.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from exporters.atomic import edit_file
from exporters.journal import Journal
from exporters.undo import undo

WATCHED = {sys.modules[f"exporters.{name}"].__file__ for name in ("atomic", "journal", "undo")}
READING = ("_Story.", "_parse", "_dump", "_line", "_ends", "Entry.", "Journal.runs", "Journal._info")
OLD = b"TAG old" + bytes(range(256)) * 20
NEW = b"TAG new, longer" + OLD[7:]
OTHERS = b"TAG new, edited by others" + OLD[7:]
CLEARED = b"TAG edited by others" + OLD[7:]
OLD_TIME = 1_500_000_000_123_456_789


def write(folder: Path) -> None:
    with Journal(folder / "journal").start("write") as run:
        edit_file(folder / "music" / "track.mp3", lambda copy: void(copy.write_bytes(NEW)), run)


def take_back(folder: Path) -> None:
    undo(Journal(folder / "journal"), take_out=lambda copy: void(copy.write_bytes(CLEARED)))


def void(_: object) -> None:
    pass


def kill_at(line: int) -> Callable[[FrameType, str, Any], Any]:
    left = line

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        code = frame.f_code
        if code.co_filename not in WATCHED or code.co_qualname.startswith(READING):
            return None
        if event == "line":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


def survives(job: Callable[[Path], None], folder: Path, line: int) -> bool:
    """Whether a child did the job in fewer lines than these."""
    child = os.fork()
    if child == 0:
        sys.settrace(kill_at(line))
        job(folder)
        sys.settrace(None)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), f"the job failed by itself: {status}"
    return status == 0


def main(folder: Path, what: str) -> int:
    track = folder / "music" / "track.mp3"
    job, before, after = {
        "write": (write, OLD, NEW),
        "restore": (take_back, NEW, OLD),
        "take-out": (take_back, OTHERS, CLEARED),
    }[what]
    for line in range(1, 100_000):
        shutil.rmtree(folder)
        track.parent.mkdir(parents=True)
        track.write_bytes(OLD)
        os.utime(track, ns=(OLD_TIME, OLD_TIME))
        if what != "write":
            write(folder)
        if what == "take-out":
            track.write_bytes(OTHERS)
        done = survives(job, folder, line)
        assert track.read_bytes() in (before, after), f"line {line}: torn"
        journal = Journal(folder / "journal")
        journal.recover()
        assert list(track.parent.iterdir()) == [track], f"line {line}: a temporary file is left"
        assert not any(run.interrupted or run.damaged for run in journal.runs()), f"line {line}"
        if what == "write":
            assert bool(journal.runs()) == (track.read_bytes() == NEW), (
                f"line {line}: journal and file differ"
            )
        take_back(folder)
        assert track.read_bytes() == (CLEARED if what == "take-out" else OLD), f"line {line}: not undone"
        if what != "take-out":
            assert track.stat().st_mtime_ns == OLD_TIME, f"line {line}: old time lost"
        assert all(run.undone == run.files for run in journal.runs() if run.kind == "write"), f"line {line}"
        if done:
            return line - 1
    raise AssertionError("the job never ends")


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), sys.argv[2]))
