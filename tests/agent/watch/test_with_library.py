"""What a watcher tells, done as `Changes` says, keeps the library up to date, and then it tells nothing more."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from moodzone_agent.library.records import FileStatus
from moodzone_agent.watch.source import Watcher
from tests.agent.conftest import World

LIMIT = 60.0


@pytest.fixture
def watcher(world: World) -> Iterator[Watcher]:
    with Watcher([world.music], settle_seconds=0.2) as watcher:
        yield watcher


def follow(world: World, watcher: Watcher) -> list[tuple[str, str]]:
    """Do what is told until it is quiet; returns what was read."""
    reads: list[tuple[str, str]] = []
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        changes = watcher.changes(1)
        if not changes:
            return reads
        if roots := changes.ready | changes.sweep:
            world.scan(*roots)
            reads += world.reads
        for path in changes.gone:
            world.library.mark_missing(path, ())
    pytest.fail("it never comes to rest")


def status(world: World, path: Path) -> FileStatus | None:
    record = world.library.file(path)
    return record and record.status


def test_it_follows_a_folder(world: World, watcher: Watcher, originals: Path) -> None:
    assert follow(world, watcher) == []
    track = world.add(next(originals.glob("*.mp3")), "a/track.mp3")
    assert follow(world, watcher) == [("track.mp3", "analysed")]
    assert status(world, track) is FileStatus.OK

    world.write()
    assert follow(world, watcher) == []  # the library knows the stamp of what it wrote itself
    assert status(world, track) is FileStatus.OK

    moved = world.music / "b" / "moved.mp3"
    (world.music / "a").rename(world.music / "b")
    (world.music / "b" / "track.mp3").rename(moved)
    assert follow(world, watcher) == [("moved.mp3", "identified")]
    assert (status(world, track), status(world, moved)) == (FileStatus.MISSING, FileStatus.OK)

    shutil.rmtree(moved.parent)
    follow(world, watcher)
    assert status(world, moved) is FileStatus.MISSING


def test_a_path_that_is_gone_is_not_for_a_scan(world: World, watcher: Watcher, originals: Path) -> None:
    follow(world, watcher)
    track = world.add(next(originals.glob("*.mp3")))
    follow(world, watcher)
    track.unlink()
    world.scan(track)
    assert status(world, track) is FileStatus.OK
    world.library.mark_missing(track, ())
    assert status(world, track) is FileStatus.MISSING
