"""Kills a process at every step of its writing; run by test_kill.py.

Usage: kill_at_every_step.py FOLDER write|restore|take-out. A first child does the job and finds the lines of
``exporters`` before which anything on the disk has changed; killed at any other line, it would leave the same.
For each of these a further child does the job and kills itself there. After each kill the files must be whole,
and the next start must find its way. Prints the number of kills.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import exporters
from exporters.atomic import edit_file
from exporters.journal import Journal
from exporters.undo import undo

WATCHED = tuple(exporters.__path__)
OLD = b"TAG old" + bytes(range(256)) * 20
NEW = b"TAG new, longer" + OLD[7:]
OTHERS = b"TAG new, edited by others" + OLD[7:]
CLEARED = b"TAG edited by others" + OLD[7:]
OLD_TIME = 1_500_000_000_123_456_789

Trace = Callable[[FrameType, str, Any], Any]


def write(folder: Path) -> None:
    with Journal(folder / "journal").start("write") as run:
        edit_file(folder / "music" / "track.mp3", lambda copy: void(copy.write_bytes(NEW)), run)


def take_back(folder: Path) -> None:
    undo(Journal(folder / "journal"), take_out=lambda copy, entry: void(copy.write_bytes(CLEARED)))


def void(_: object) -> None:
    pass


JOBS = {
    "write": (write, OLD, NEW),
    "restore": (take_back, NEW, OLD),
    "take-out": (take_back, OTHERS, CLEARED),
}


def prepare(folder: Path, what: str) -> None:
    """The state before the job."""
    track = folder / "music" / "track.mp3"
    shutil.rmtree(folder)
    track.parent.mkdir(parents=True)
    track.write_bytes(OLD)
    os.utime(track, ns=(OLD_TIME, OLD_TIME))
    if what != "write":
        write(folder)
    if what == "take-out":
        track.write_bytes(OTHERS)


def on_lines(action: Callable[[int], None]) -> Trace:
    """Calls ``action`` before each line of ``exporters``, with the line's number in the order of execution."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(WATCHED):
            return None
        if event == "line":
            count += 1
            action(count)
        return trace

    return trace


def in_child(folder: Path, what: str, action: Callable[[int], None]) -> int:
    """Do the job in a child process; returns its exit status."""
    child = os.fork()
    if child == 0:
        sys.settrace(on_lines(action))
        JOBS[what][0](folder)
        sys.settrace(None)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def steps(folder: Path, what: str) -> list[int]:
    """The lines before which the disk has changed."""
    found: list[int] = []
    last: object = None
    report = folder.with_name(folder.name + ".steps")

    def look(line: int) -> None:
        nonlocal last
        state = [
            (path, info.st_mode, info.st_mtime_ns, info.st_size)
            for path in sorted(folder.rglob("*"))
            for info in [path.lstat()]
        ]
        if state != last:
            found.append(line)
            report.write_text(json.dumps(found))
            last = state

    prepare(folder, what)
    assert in_child(folder, what, look) == 0
    lines: list[int] = json.loads(report.read_text())
    report.unlink()
    return lines


def check(folder: Path, what: str) -> None:
    """The file is whole, nothing else is left, and the journal knows the way back."""
    _, before, after = JOBS[what]
    track = folder / "music" / "track.mp3"
    assert track.read_bytes() in (before, after), "torn"
    journal = Journal(folder / "journal")
    journal.recover()
    assert list(track.parent.iterdir()) == [track], "a temporary file is left"
    assert not any(run.interrupted or run.damaged for run in journal.runs())
    if what == "write":
        assert bool(journal.runs()) == (track.read_bytes() == NEW), "journal and file differ"
    take_back(folder)
    assert track.read_bytes() == (CLEARED if what == "take-out" else OLD), "not undone"
    if what != "take-out":
        assert track.stat().st_mtime_ns == OLD_TIME, "old time lost"
    assert all(run.undone == run.files for run in journal.runs() if run.kind == "write")


def main(folder: Path, what: str) -> int:
    lines = steps(folder, what)
    for kill_at in lines:

        def kill(line: int, last: int = kill_at) -> None:
            if line == last:
                os.kill(os.getpid(), signal.SIGKILL)

        prepare(folder, what)
        status = in_child(folder, what, kill)
        assert status == signal.SIGKILL, f"line {kill_at} of {lines[-1]} was not reached: {status}"
        try:
            check(folder, what)
        except AssertionError as error:
            raise AssertionError(f"killed at line {kill_at} of {lines}") from error
    return len(lines)


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), sys.argv[2]))
