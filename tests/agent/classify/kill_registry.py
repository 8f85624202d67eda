"""Kills a process at every step of its work on the registry; run by test_registry.py.

Usage: kill_registry.py FOLDER add|promote|challenge|rollback. As kill_at_every_step.py of the exporters does
it: a first child finds the lines before which anything on the disk has changed, and for each of these a further
child kills itself there. After each kill the registry must be readable, its champion the old one or the new
one, and the job must succeed when it is done again. Prints the number of kills.
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

import exporters.filesystem
from moodzone_agent.classify import registry
from moodzone_agent.classify.registry import Registry
from tests.agent.classify.bundles import other_bundle

WATCHED = (registry.__file__, exporters.filesystem.__file__)

JOBS: dict[str, tuple[Callable[[Registry, Path], object], int, int]] = {
    "add": (lambda models, new: models.add(new), 1, 1),
    "promote": (lambda models, new: models.promote(2), 1, 2),
    "challenge": (lambda models, new: models.challenge(2), 1, 1),
    "rollback": (lambda models, new: models.rollback(), 1, 0),
}
"""What is done, and the champion's number before and after."""

Trace = Callable[[FrameType, str, Any], Any]


def prepare(folder: Path, kept: Path) -> None:
    """The state before the job: two models, of which the first is in use."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(kept, folder)


def on_lines(action: Callable[[int], None]) -> Trace:
    """Calls ``action`` before each line of the code watched, with its number in the order of execution."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if frame.f_code.co_filename not in WATCHED:
            return None
        if event == "line":
            count += 1
            action(count)
        return trace

    return trace


def in_child(folder: Path, new: Path, what: str, action: Callable[[int], None]) -> int:
    """Do the job in a child process; returns its exit status."""
    child = os.fork()
    if child == 0:
        sys.settrace(on_lines(action))
        JOBS[what][0](Registry(folder), new)
        sys.settrace(None)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def steps(folder: Path, new: Path, what: str) -> list[int]:
    """The lines before which the disk has changed."""
    found: list[int] = []
    last: object = None
    report = folder.with_name("steps")

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

    assert in_child(folder, new, what, look) == 0
    lines: list[int] = json.loads(report.read_text())
    return lines


def check(folder: Path, new: Path, what: str) -> None:
    """All is readable, and the next try succeeds and cleans up."""
    job, before, after = JOBS[what]
    models = Registry(folder)
    champion = models.champion()
    assert not champion.warning, champion.warning
    assert champion.number in (before, after)
    bundles = models.bundles()
    assert not any(entry.error for entry in bundles), bundles
    assert len(bundles) in ((3, 4) if what == "add" else (3,))
    # A child, since a process that has had ONNX Runtime's threads should not be forked.
    child = os.fork()
    if child == 0:
        if what != "rollback" or champion.number == before:
            job(models, new)
        models.add(new)
        champion = models.champion()
        assert (champion.number, champion.warning) == (after, "")
        assert [entry.number for entry in models.bundles()] == [0, 1, 2, 3]
        left = {place.name for place in folder.iterdir()}
        assert left == {"0001", "0002", "0003", "champion.json", "lock"}, left
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def main(folder: Path, what: str) -> int:
    kept, registry_folder = folder / "kept", folder / "registry"
    new = other_bundle(folder / "new", "third")
    child = os.fork()
    if child == 0:
        models = Registry(kept)
        for name in ("first", "second"):
            models.add(other_bundle(folder / name, name))
        models.promote(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    prepare(registry_folder, kept)
    lines = steps(registry_folder, new, what)
    for kill_at in lines:

        def kill(line: int, last: int = kill_at) -> None:
            if line == last:
                os.kill(os.getpid(), signal.SIGKILL)

        prepare(registry_folder, kept)
        status = in_child(registry_folder, new, what, kill)
        assert status == signal.SIGKILL, f"line {kill_at} of {lines[-1]} was not reached: {status}"
        try:
            check(registry_folder, new, what)
        except AssertionError as error:
            raise AssertionError(f"killed at line {kill_at} of {lines}") from error
    return len(lines)


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), sys.argv[2]))
