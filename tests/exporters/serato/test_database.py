"""Database V2."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporters.serato import tlv
from exporters.serato.crate import Crate
from exporters.serato.database import VERSION, DatabaseTrack, read_tracks
from moodzone_agent.errors import CollectionError


@pytest.mark.shared
def test_the_genuine_database_has_the_crates_tracks(serato: Path) -> None:
    folder = serato / "usb_drive" / "_Serato_"
    tracks = list(read_tracks((folder / "database V2").read_bytes()))
    paths = {track.path for track in tracks}
    for path in folder.glob("Subcrates/*.crate"):
        assert set(Crate.parse(path.read_bytes()).tracks) <= paths
    assert [track.colour for track in tracks] == [0xFFDD99, 0xFF99DD, 0xFFFFFF, 0xFFFFFF]
    assert any(track.comment for track in tracks)


@pytest.mark.shared
def test_genuine_databases_can_be_read(serato: Path) -> None:
    for path in serato.glob("misc/database*"):
        assert {track.colour for track in read_tracks(path.read_bytes())} <= {0xFFFFFF, 0x99FF99}


def test_what_a_track_lacks() -> None:
    data = tlv.dump(
        [
            tlv.text("vrsn", VERSION),
            tlv.nested("otrk", tlv.text("ttyp", "mp3")),
            tlv.nested("otrk", tlv.text("pfil", "a.mp3")),
        ]
    )
    assert list(read_tracks(data)) == [DatabaseTrack("a.mp3", None, "")]


def test_another_version_is_refused_at_once() -> None:
    with pytest.raises(CollectionError, match=r"3\.0/Database"):
        read_tracks(tlv.dump([tlv.text("vrsn", "3.0/Database")]))
