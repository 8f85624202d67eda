"""Playlists as other programs write and read them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.base import Field, Want, WriteStatus
from exporters.journal import Journal
from exporters.m3u8 import M3u8Collection, Playlist
from moodzone_agent.errors import CollectionError
from moodzone_agent.types import Mark, Zone

GREEN, PURPLE = Mark(Zone.GREEN), Mark(Zone.PURPLE)


def write(folder: Path, *wants: Want, relative: bool = False) -> list[WriteStatus]:
    collection = M3u8Collection(folder, relative=relative)
    with Journal(folder.parent / "journal").start("m3u8") as run:
        return [
            change.status
            for change in collection.write(list(collection.preview(wants)), run, folder.parent / "backups")
        ]


@given(st.binary())
def test_any_bytes_come_back(data: bytes) -> None:
    assert Playlist.parse(data).dump() == data


@given(st.binary(), st.sampled_from(["/music/a.mp3", "/music/#b ü.mp3", "/music/ c.flac"]))
def test_a_track_is_added_once_and_taken_out_again(data: bytes, name: str) -> None:
    folder, track = Path("/lists"), Path(name)
    before = Playlist.parse(data)
    if any(path == track for path in before.tracks(folder).values()):
        return
    after = before.with_tracks([Want(track, GREEN)], os.fsencode)
    assert track in after.tracks(folder).values()
    assert set(before.tracks(folder)) < set(after.tracks(folder))
    assert after.without([track], folder).tracks(folder) == before.tracks(folder)


def test_what_others_wrote_stays_and_is_read(tmp_path: Path) -> None:
    folder, music = tmp_path / "lists", tmp_path / "music"
    folder.mkdir()
    theirs = (
        "\ufeff../music/one.mp3\r\n#EXTVLCOPT:start-time=3\r\n"
        f"file://{music}/two%20%26%20three.mp3\r\nhttp://radio.example/stream\r\n\r\n#PLAYLIST:Mine\r\n"
    ).encode()
    (folder / "MoodZone GREEN.m3u8").write_bytes(theirs)
    found = {sight.place.track: sight.value for sight in M3u8Collection(folder).read()}
    assert found == {music / "one.mp3": "GREEN", music / "two & three.mp3": "GREEN"}
    track = music / "new.mp3"
    assert write(folder, Want(track, GREEN, artist="A", title="T\nB", duration=61.6)) == [WriteStatus.WRITTEN]
    added = f"#EXTINF:62,A - T B\r\n{track}\r\n".encode()
    assert (folder / "MoodZone GREEN.m3u8").read_bytes() == theirs + added


def test_relative_paths_survive_a_move_of_the_drive(tmp_path: Path) -> None:
    drive = tmp_path / "drive"
    (drive / "music").mkdir(parents=True)
    write(drive / "lists", Want(drive / "music" / "a.mp3", PURPLE), relative=True)
    drive.rename(tmp_path / "elsewhere")
    [sight] = M3u8Collection(tmp_path / "elsewhere" / "lists").read()
    assert sight.place.track == tmp_path / "elsewhere" / "music" / "a.mp3"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX names")
def test_odd_names(tmp_path: Path) -> None:
    folder = tmp_path / "lists"
    names = [b"#hash.mp3", b" space.mp3", b"caf\xe9.mp3", "ünï.mp3".encode(), b"a%20b.mp3"]
    tracks = [folder / os.fsdecode(name) for name in names]
    broken = folder / "line\nbreak.mp3"
    statuses = write(folder, *(Want(track, GREEN) for track in [*tracks, broken]), relative=True)
    assert sorted(statuses) == sorted([WriteStatus.SKIPPED, *[WriteStatus.WRITTEN] * len(tracks)])
    assert {sight.place.track for sight in M3u8Collection(folder).read()} == set(tracks)


@pytest.mark.skipif(sys.platform == "win32", reason="needs the right to make links")
def test_a_list_that_leads_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    folder, secret = tmp_path / "lists", tmp_path / "secret"
    folder.mkdir()
    secret.write_text("mine\n")
    (folder / "MoodZone GREEN.m3u8").symlink_to(secret)
    with pytest.raises(CollectionError, match="leads out of its folder"):
        write(folder, Want(tmp_path / "a.mp3", GREEN))
    assert secret.read_text() == "mine\n"


def test_a_place_is_named_by_its_track(tmp_path: Path) -> None:
    [change] = M3u8Collection(tmp_path).preview([Want(tmp_path / "a.mp3", GREEN)])
    assert (change.place.track, change.place.field) == (tmp_path / "a.mp3", Field.LIST)
