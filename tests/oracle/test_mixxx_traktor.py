"""A collection.nml that MoodZone wrote to: a real Mixxx, which reads Traktor's, finds playlists and comments in it.

Mixxx shows no colours of Traktor's. It names a track by the volume and the path that the collection has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from xml.sax.saxutils import quoteattr

import pytest

from exporters.journal import Journal
from exporters.traktor.location import SYSTEM, to_location
from exporters.traktor.nml import TraktorNmlWithComments, TraktorSettings
from moodzone_agent.types import Mark, MarkState, Zone
from tests.contract.cases import traktor_folder
from tests.oracle.mixxx import Mixxx
from tests.oracle.writing import write_marks

pytestmark = pytest.mark.oracle

NAMES: Final = ("plain.mp3", "Ärger & Söhne [it's] 100% #1.mp3", "ünï日本.mp3", "a;b=c+d, (e).mp3")
COMMENTS: Final = ("", "8A - 7", 'it\'s ä song > 4 "classic"', "mine")


def test_playlists_and_comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporters.programs.running_processes", list)
    (tmp_path / "music").mkdir()
    tracks = [tmp_path / "Music & more" / name for name in NAMES]
    yellow, green, purple, unsure = tracks
    mixxx = Mixxx(tmp_path / "mixxx", tmp_path / "music")
    path = mixxx.home / "Documents" / "Native Instruments" / "Traktor 3.11.1" / "collection.nml"
    path.parent.mkdir(parents=True)
    path.write_text(_collection(tracks), encoding="utf-8")
    collection = TraktorNmlWithComments(path, TraktorSettings().colours, frozenset({SYSTEM}))
    journal = Journal(tmp_path / "journal")
    mine = {"-->Sets-->YELLOW": [_named(yellow)]}
    assert mixxx.traktor(1) == (mine, dict(zip(map(_named, tracks), COMMENTS, strict=True)))

    marks = dict(zip(tracks, [*map(Mark, Zone), Mark(Zone.GREEN, MarkState.UNSURE)], strict=True))
    ours = write_marks(collection, marks, {}, journal)
    playlists, comments = mixxx.traktor(5)

    assert playlists == mine | {
        "-->MoodZone-->YELLOW": [_named(yellow)],
        "-->MoodZone-->GREEN": [_named(green)],
        "-->MoodZone-->PURPLE": [_named(purple)],
        "-->MoodZone-->UNSURE": [_named(unsure)],
    }
    for track, before, token in zip(
        tracks, COMMENTS, ("#YELLOW", "#GREEN", "#PURPLE", "#GREEN?"), strict=True
    ):
        assert before in comments[_named(track)]
        assert token in comments[_named(track)].split()

    write_marks(collection, {yellow: Mark(Zone.PURPLE), green: None}, ours, journal)
    playlists, comments = mixxx.traktor(3)

    assert set(playlists["-->MoodZone-->PURPLE"]) == {_named(purple), _named(yellow)}
    assert playlists == mine | {
        "-->MoodZone-->PURPLE": playlists["-->MoodZone-->PURPLE"],
        "-->MoodZone-->UNSURE": [_named(unsure)],
    }
    assert comments[_named(yellow)] == "#PURPLE"
    assert comments[_named(green)] == COMMENTS[1]


def _named(track: Path) -> str:
    """As Mixxx on Linux names a track of a Mac's collection."""
    return f"{SYSTEM}{track}"


def _collection(tracks: list[Path]) -> str:
    """As Traktor writes one, with a playlist of the user's."""
    rows = ""
    for track, comment in zip(tracks, COMMENTS, strict=True):
        folder, file, volume = map(quoteattr, to_location(track))
        rows += f"""<ENTRY TITLE={quoteattr(track.stem)}><LOCATION
 DIR={folder} FILE={file} VOLUME={volume} VOLUMEID={volume}></LOCATION>
<INFO BITRATE="320000" COMMENT={quoteattr(comment)} PLAYTIME="200"></INFO>
<TEMPO BPM="139.999924" BPM_QUALITY="100.000000"></TEMPO>
</ENTRY>
"""
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no" ?>
<NML VERSION="19"><HEAD COMPANY="www.native-instruments.com" PROGRAM="Traktor"></HEAD>
<COLLECTION ENTRIES="{len(tracks)}">{rows}</COLLECTION>
<PLAYLISTS><NODE TYPE="FOLDER" NAME="$ROOT"><SUBNODES COUNT="1">{traktor_folder(tracks[0])}
</SUBNODES>
</NODE>
</PLAYLISTS>
</NML>
"""
