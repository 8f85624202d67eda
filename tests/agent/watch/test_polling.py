"""Watching by looking again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from moodzone_agent.watch import polling
from moodzone_agent.watch.filters import is_of_interest
from moodzone_agent.watch.polling import Event, Kind, Mount, Snapshot, why_poll


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path.resolve() / "music"
    (root / "a" / "b").mkdir(parents=True)
    for name in ("1.mp3", "a/2.mp3", "a/b/3.mp3", "cover.jpg", ".hidden.mp3", "4.mp3.part"):
        (root / name).write_bytes(b"x")
    return root


def told(snapshot: Snapshot) -> set[tuple[Kind, str, bool]]:
    root = snapshot._root
    events = list(snapshot.refresh())
    assert len(events) == len(set(events))
    assert {event.root for event in events} <= {root}
    return {(event.kind, str(event.path.relative_to(root)), event.is_folder) for event in events}


@pytest.fixture
def snapshot(root: Path) -> Snapshot:
    snapshot = Snapshot(root, is_of_interest)
    assert told(snapshot) == {(Kind.CHANGED, name, False) for name in ("1.mp3", "a/2.mp3", "a/b/3.mp3")}
    assert told(snapshot) == set()
    return snapshot


def test_files_that_come_and_go(root: Path, snapshot: Snapshot) -> None:
    (root / "a" / "new.mp3").write_bytes(b"x")
    (root / "c" / "d").mkdir(parents=True)
    (root / "c" / "d" / "5.mp3").write_bytes(b"x")
    (root / "a" / "b" / "3.mp3").rename(root / "3.mp3")
    (root / "1.mp3").unlink()
    assert told(snapshot) == {
        (Kind.CHANGED, "a/new.mp3", False),
        (Kind.CHANGED, "c/d/5.mp3", False),
        (Kind.CHANGED, "3.mp3", False),
        (Kind.GONE, "a/b/3.mp3", False),
        (Kind.GONE, "1.mp3", False),
    }
    assert told(snapshot) == set()


def test_a_folder_that_goes_and_comes_back(root: Path, snapshot: Snapshot) -> None:
    shutil.move(root / "a", root.parent / "a")
    assert told(snapshot) == {(Kind.GONE, "a", True)}
    shutil.move(root.parent / "a", root / "a")
    assert told(snapshot) == {(Kind.CHANGED, "a/2.mp3", False), (Kind.CHANGED, "a/b/3.mp3", False)}


def test_a_replaced_file_is_seen_at_once_and_an_overwritten_one_in_its_turn(
    root: Path, snapshot: Snapshot
) -> None:
    new = root / ".mz-01234567.tmp"
    new.write_bytes(b"yy")
    new.replace(root / "a" / "2.mp3")
    assert told(snapshot) == {(Kind.CHANGED, "a/2.mp3", False)}
    assert told(snapshot) == set()
    (root / "a" / "b" / "3.mp3").write_bytes(b"longer")
    seen = [told(snapshot) for _ in range(polling._TURNS)]
    assert sorted(map(len, seen)) == [0] * (polling._TURNS - 1) + [1]
    assert {(Kind.CHANGED, "a/b/3.mp3", False)} in seen


def test_what_comes_within_one_tick_of_the_clock_is_seen(root: Path, snapshot: Snapshot) -> None:
    (root / "5.mp3").write_bytes(b"x")
    tick = root.stat().st_mtime_ns
    assert len(told(snapshot)) == 1
    (root / "6.mp3").write_bytes(b"x")
    os.utime(root, ns=(tick, tick))
    assert told(snapshot) == {(Kind.CHANGED, "6.mp3", False)}


def test_folders_that_did_not_change_are_not_listed(
    root: Path, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scandir(path))
    for _ in range(polling._TURNS):
        told(snapshot)
    assert sorted(listed) == [str(root), str(root / "a"), str(root / "a" / "b")]


def test_what_cannot_be_read_stays_as_it_was(
    root: Path, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "a" / "5.mp3").write_bytes(b"x")

    def broken(path: str) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", broken)
        assert told(snapshot) == set()
    assert told(snapshot) == {(Kind.CHANGED, "a/5.mp3", False)}
    root.rename(root.parent / "away")
    assert told(snapshot) == set()


def test_a_single_file(root: Path) -> None:
    snapshot = Snapshot(root / "1.mp3", is_of_interest)
    event = Event(Kind.CHANGED, root / "1.mp3", root / "1.mp3", is_folder=False)
    assert list(snapshot.refresh()) == [event]
    assert list(snapshot.refresh()) == []
    (root / "1.mp3").write_bytes(b"longer")
    assert list(snapshot.refresh()) == [event]


def test_a_poll_can_be_stopped(root: Path) -> None:
    assert list(Snapshot(root, is_of_interest, lambda: True).refresh()) == []


@pytest.mark.parametrize(
    ("path", "polled"),
    [
        ("/home/dj/music", False),
        ("/mnt/nas", True),
        ("/mnt/nas/music", True),
        ("/mnt/nascent", False),
        ("/mnt/nas/usb/music", False),
        ("/mnt/cloud", True),
        ("/mnt/ntfs", False),
        ("/mnt/covered", True),
        ("/mnt/z", True),
    ],
)
def test_which_disks_are_polled(path: str, polled: bool) -> None:
    mounted = [
        Mount(Path(point), device, kind, options)
        for point, device, kind, options in (
            ("/", "/dev/sda1", "ext4", "rw"),
            ("/mnt/nas", "nas:/music", "nfs4", "rw"),
            ("/mnt/nas/usb", "/dev/sdb1", "exfat", "rw"),
            ("/mnt/cloud", "remote:", "fuse.rclone", "rw"),
            ("/mnt/ntfs", "/dev/sdc1", "fuseblk", "rw"),
            ("/mnt/covered", "/dev/sdd1", "ext4", "rw"),
            ("/mnt/covered", "//nas/x", "cifs", "rw"),
            ("/mnt/z", "z:", "ntfs", "rw,remote"),
        )
    ]
    assert bool(why_poll(Path(path), mounted)) is polled
    assert why_poll(Path(path), []) == ""


def test_what_is_mounted_here() -> None:
    assert any(Path.cwd().is_relative_to(mount.point) for mount in polling.mounts()) or os.name == "nt"
