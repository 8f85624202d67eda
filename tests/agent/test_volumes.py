from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moodzone_agent.library.store import FileRecord, FileStatus, Library, Stamp
from moodzone_agent.library.volumes import (
    MountTable,
    Place,
    Volume,
    is_player_volume,
    linux_volumes,
    mounted_volumes,
    volume_of,
)

SYSTEM = Volume("uuid:system", Path("/"))
names = st.binary(min_size=1, max_size=8).filter(
    lambda name: not set(name) & set(b"/\0") and name not in {b".", b".."}
)


def table(*volumes: Volume) -> MountTable:
    return MountTable(lambda: [SYSTEM, *volumes])


def test_the_deepest_mount_holds_the_file(tmp_path: Path) -> None:
    mounts = table(Volume("a", tmp_path / "a"), Volume("b", tmp_path / "a" / "b"))
    assert mounts.locate(tmp_path / "a/b/x.mp3") == ("b", b"x.mp3")
    assert mounts.locate(tmp_path / "a/bb/x.mp3") == ("a", b"bb/x.mp3")
    assert mounts.locate(tmp_path / "x.mp3").volume == SYSTEM.id
    assert mounts.volume_of(tmp_path / "a" / "b").id == "b"


def test_a_place_covered_by_another_mount_is_away(tmp_path: Path) -> None:
    mounts = table(Volume("a", tmp_path / "a"), Volume("b", tmp_path / "a" / "b"))
    assert mounts.path_of(Place("a", b"b/x.mp3")) is None
    assert mounts.path_of(Place("b", b"x.mp3")) == tmp_path / "a/b/x.mp3"


def test_subvolumes_of_one_file_system_do_not_mix(tmp_path: Path) -> None:
    mounts = table(
        Volume("btrfs", tmp_path / "top", "@"), Volume("btrfs", tmp_path / "top" / "home", "@home")
    )
    assert mounts.locate(tmp_path / "top/x.mp3") == ("btrfs", b"@/x.mp3")
    assert mounts.locate(tmp_path / "top/home/x.mp3") == ("btrfs", b"@home/x.mp3")
    assert mounts.path_of(Place("btrfs", b"@home/x.mp3")) == tmp_path / "top/home/x.mp3"
    assert mounts.path_of(Place("btrfs", b"@homeless/x.mp3")) is None


def test_bind_mounts_show_the_same_place(tmp_path: Path) -> None:
    mounts = table(Volume("disk", tmp_path / "disk"), Volume("disk", tmp_path / "music", "home/dj/Music"))
    assert mounts.locate(tmp_path / "music/x.mp3") == mounts.locate(tmp_path / "disk/home/dj/Music/x.mp3")


def test_links_and_dots_lead_to_one_place(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "x.mp3").touch()
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "file.mp3").symlink_to("folder/x.mp3")
    mounts = table()
    place = mounts.locate(tmp_path / "real/x.mp3")
    assert mounts.locate(tmp_path / "folder/x.mp3") == place
    assert mounts.locate(tmp_path / "file.mp3") == place
    assert mounts.locate(tmp_path / "folder/../real/./x.mp3") == place


@given(st.lists(names, min_size=1, max_size=4), st.sampled_from(["", "@home", "a/b"]))
def test_every_name_survives(parts: list[bytes], root: str) -> None:
    mounts = table(Volume("drive", Path("/nowhere/drive"), root))
    path = Path("/nowhere/drive", *map(os.fsdecode, parts))
    place = mounts.locate(path)
    assert place.relative == os.fsencode(f"{root}/" if root else "") + b"/".join(parts)
    assert mounts.path_of(place) == path


@pytest.mark.skipif(sys.platform != "linux", reason="mountinfo is Linux's")
class TestLinux:
    @pytest.fixture
    def by_uuid(self, tmp_path: Path) -> Path:
        (tmp_path / "dev").mkdir()
        (tmp_path / "dev" / "sdb1").touch()
        (tmp_path / "by-uuid").mkdir()
        (tmp_path / "by-uuid" / "1A2B-3C4D").symlink_to("../dev/sdb1")
        return tmp_path / "by-uuid"

    def volumes(self, by_uuid: Path, *lines: bytes) -> list[Volume]:
        mountinfo = by_uuid.parent / "mountinfo"
        mountinfo.write_bytes(b"".join(line + b"\n" for line in lines))
        return linux_volumes(mountinfo, by_uuid)

    def test_a_drive_is_known_by_its_uuid_wherever_it_appears(self, by_uuid: Path) -> None:
        device = bytes(by_uuid.parent / "dev" / "sdb1")
        [first] = self.volumes(
            by_uuid, b"36 27 8:17 / /media/dj/STICK rw shared:1 master:2 - vfat %b rw" % device
        )
        [again] = self.volumes(
            by_uuid, b"99 27 8:33 / /run/media/my\\040stick\\134\\303\\244 rw - vfat %b rw" % device
        )
        assert first == Volume("uuid:1A2B-3C4D", Path("/media/dj/STICK"))
        assert again == Volume("uuid:1A2B-3C4D", Path("/run/media/my stick\\ä"))

    def test_a_share_is_known_by_its_source_and_others_by_their_mount(self, by_uuid: Path) -> None:
        lines = [
            b"1 0 0:50 / %b rw - cifs //nas/music rw",
            b"2 0 0:51 / %b rw - nfs4 nas:/srv/music rw",
            b"3 0 0:52 / %b rw - zfs tank/music rw",
            b"4 0 0:53 / %b rw - tmpfs tmpfs rw",
            b"5 0 0:54 / %b rw - overlay overlay rw,lowerdir=/a",
            b"6 0 8:99 / %b rw - ext4 /dev/sdz9 rw",
        ]
        here = [volume.id for volume in self.volumes(by_uuid, *(line % b"/here" for line in lines))]
        there = [volume.id for volume in self.volumes(by_uuid, *(line % b"/there" for line in lines))]
        assert [a == b for a, b in zip(here, there, strict=True)] == [True, True, True, False, False, False]
        assert len(set(here)) == len(lines)

    def test_part_of_a_volume(self, by_uuid: Path) -> None:
        [volume] = self.volumes(
            by_uuid, b"1 0 0:30 /@home /home rw - btrfs %b rw" % bytes(by_uuid.parent / "dev" / "sdb1")
        )
        assert volume == Volume("uuid:1A2B-3C4D", Path("/home"), "@home")

    def test_of_two_on_one_mount_point_the_later_shows(self, by_uuid: Path) -> None:
        lines = b"1 0 0:1 / /net rw - autofs systemd-1 rw", b"2 1 0:2 / /net rw - nfs nas:/music rw"
        assert (
            MountTable(lambda: self.volumes(by_uuid, *lines)).volume_of(Path("/net/x")).id == "nfs:nas:/music"
        )

    def test_without_proc_all_is_one_volume(self, tmp_path: Path) -> None:
        assert linux_volumes(tmp_path / "none", tmp_path / "none") == [Volume("system", Path("/"))]


def test_the_real_table(tmp_path: Path) -> None:
    volume = volume_of(tmp_path)
    assert volume in mounted_volumes()
    assert volume.mount.is_mount()
    assert tmp_path.is_relative_to(volume.mount)
    assert MountTable().path_of(MountTable().locate(tmp_path / "x.mp3")) == tmp_path / "x.mp3"


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("PIONEER/rekordbox", True),
        (".PIONEER/rekordbox", True),
        ("Engine Library", True),
        ("Music/Engine Library", False),
        ("PIONEER", False),
    ],
)
def test_player_volumes_are_known_by_what_lies_at_their_top(
    tmp_path: Path, folder: str, expected: bool
) -> None:
    (tmp_path / "stick" / folder).mkdir(parents=True)
    assert (
        is_player_volume(tmp_path / "stick/Contents/a.mp3", table(Volume("stick", tmp_path / "stick")))
        is expected
    )
    assert not is_player_volume(tmp_path / "a.mp3", table(Volume("stick", tmp_path / "stick")))


class Drive:
    """A folder that plays a drive: it can be plugged in under any mount point."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "unplugged"
        self._folder.mkdir()
        self.volumes: list[Volume] = [SYSTEM]

    def plug(self, mount: Path) -> None:
        mount.parent.mkdir(parents=True, exist_ok=True)
        self._folder = self._folder.rename(mount)
        self.volumes = [SYSTEM, Volume("uuid:drive", mount)]

    def unplug(self, home: Path) -> None:
        self._folder = self._folder.rename(home / "unplugged")
        self.volumes = [SYSTEM]


@pytest.fixture
def drive(tmp_path: Path) -> Drive:
    return Drive(tmp_path)


@pytest.fixture
def library(tmp_path: Path, drive: Drive) -> Iterator[Library]:
    with Library.open(tmp_path / "library.sqlite", mounts=MountTable(lambda: drive.volumes)) as library:
        yield library


def put(library: Library, path: Path, audio_id: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    library.put_file(FileRecord(path, Stamp.of(path.stat()), FileStatus.OK, audio_id))


def test_a_drive_comes_back_elsewhere_with_all_its_rows(
    tmp_path: Path, drive: Drive, library: Library
) -> None:
    old, new = tmp_path / "media" / "STICK", tmp_path / "run" / "media" / "STICK1"
    drive.plug(old)
    library.mounts.refresh()
    put(library, old / "Contents" / "x.mp3", "x")
    drive.unplug(tmp_path)

    assert library.mark_missing(tmp_path, seen=()) == 0
    assert list(library.files_under(tmp_path)) == []
    [away] = library.tracks()
    assert (away.paths, away.away) == ((), (old / "Contents/x.mp3",))

    drive.plug(new)
    [record] = library.files_under(new)
    assert (record.path, record.status, record.mounted) == (new / "Contents/x.mp3", FileStatus.OK, True)
    assert [track.paths for track in library.tracks(root=new)] == [(new / "Contents/x.mp3",)]
    assert library.mark_missing(new, seen=()) == 0


def test_another_drive_under_the_old_mount_point_is_not_taken_for_it(
    tmp_path: Path, drive: Drive, library: Library
) -> None:
    mount = tmp_path / "media"
    drive.plug(mount)
    library.mounts.refresh()
    put(library, mount / "x.mp3", "x")
    drive.unplug(tmp_path)
    mount.mkdir()
    drive.volumes = [SYSTEM, Volume("uuid:other", mount)]

    assert list(library.files_under(mount)) == []
    assert library.mark_missing(mount, seen=()) == 0
    assert library.file(mount / "x.mp3") is None


def test_what_lies_under_a_mount_is_neither_listed_nor_missing(
    tmp_path: Path, drive: Drive, library: Library
) -> None:
    mount = tmp_path / "media"
    put(library, mount / "copied while the drive was away.mp3", "x")
    drive.volumes = [SYSTEM, Volume("uuid:drive", mount)]
    (mount / "copied while the drive was away.mp3").unlink()

    assert list(library.files_under(tmp_path)) == []
    assert library.mark_missing(tmp_path, seen=()) == 0
    drive.volumes = [SYSTEM]
    assert [record.status for record in library.files_under(tmp_path)] == [FileStatus.OK]


def test_a_drive_pulled_out_while_it_is_looked_at_loses_nothing(
    tmp_path: Path, library: Library, drive: Drive
) -> None:
    mount = tmp_path / "media"
    drive.plug(mount)
    library.mounts.refresh()
    put(library, mount / "x.mp3", "x")

    def pulled_out(path: Path) -> bool:
        drive.unplug(tmp_path)
        return False

    assert library.mark_missing(mount, pulled_out) == 0
    drive.plug(mount)
    [record] = library.files_under(mount)
    assert record.status is FileStatus.OK


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("mount"), reason="mounts a tmpfs"
)
def test_a_real_mount(tmp_path: Path) -> None:
    mount = tmp_path / "drive"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "none", mount], check=False, capture_output=True).returncode:
        pytest.skip("may not mount")
    try:
        with Library.open(tmp_path / "library.sqlite") as library:
            put(library, mount / "x.mp3", "x")
            put(library, tmp_path / "y.mp3", "y")
            assert library.mounts.volume_of(mount / "x.mp3").mount == mount
            assert {record.audio_id for record in library.files_under(tmp_path)} == {"x", "y"}
            subprocess.run(["umount", mount], check=True)
            (tmp_path / "y.mp3").unlink()
            assert library.mark_missing(tmp_path, seen=()) == 1
            assert {record.audio_id: record.status for record in library.files_under(tmp_path)} == {
                "y": FileStatus.MISSING
            }
            assert library.track("x") is not None
    finally:
        subprocess.run(["umount", mount], check=False, capture_output=True)
