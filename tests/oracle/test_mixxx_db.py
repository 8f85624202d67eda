"""A library of Mixxx's own making that MoodZone wrote to: a real Mixxx opens it, works in it, and keeps all of it.

Tracks that are loaded into a deck are read from the database and saved again, colour and all, when Mixxx ends.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from exporters.base import Change, Place, Want, WriteStatus
from exporters.journal import Changed, Journal, Run
from exporters.mixxx_db import MixxxCollection, MixxxSettings
from exporters.programs import MIXXX
from exporters.undo import Outcome, undo
from moodzone_agent.errors import CollectionError
from moodzone_agent.types import Mark, MarkState, Zone
from tests.audio_files import write_tone
from tests.oracle.mixxx import Mixxx

pytestmark = pytest.mark.oracle

NAMES: Final = ("plain.mp3", "Ärger & Söhne [it's] 100% #1.flac", "ünï日本.m4a", "a;b=c+d, (e).ogg")
MINE: Final = 0xFF0000
COLOURS: Final = {zone: int(colour, 16) for zone, colour in MixxxSettings().colours.items()}


class World:
    """Mixxx with four tracks that it has found, and what MoodZone writes to its library."""

    def __init__(self, folder: Path) -> None:
        music = folder / "Music & more"
        music.mkdir()
        self.tracks = [write_tone(music / name, seconds=2) for name in NAMES]
        self.mixxx = Mixxx(folder / "mixxx", music)
        self.mixxx.scan(len(NAMES))
        self.journal = Journal(folder / "journal")
        self.ours: dict[Place, str] = {}

    @property
    def collection(self) -> MixxxCollection:
        return MixxxCollection(self.mixxx.database, MixxxSettings())

    def write(self, marks: Mapping[Path, Mark | None]) -> list[Change]:
        wants = [
            Want(
                path,
                mark,
                {
                    place.field: frozenset({value})
                    for place, value in self.ours.items()
                    if place.track == path
                },
            )
            for path, mark in marks.items()
        ]
        with self.journal.start("mixxx") as run:
            done = list(self.collection.write(list(self.collection.preview(wants)), run, self.journal.folder))
        self.ours |= {change.place: change.ours for change in done if change.status is WriteStatus.WRITTEN}
        return done

    def undo(self) -> list[Outcome]:
        results = undo(
            self.journal,
            take_out=lambda *_: None,
            put_back=self._put_back,
        )
        return [result.outcome for result in results]

    def _put_back(self, _: str, changed: list[Changed], run: Run) -> dict[str, str]:
        self.collection.put_back(changed, run, self.journal.folder)
        return {}

    def open_with(self, *load: Path) -> None:
        """A run of Mixxx that loads tracks; its library is sound afterwards."""
        self.mixxx.scan(len(NAMES), *load)
        with closing(sqlite3.connect(self.mixxx.database)) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]

    def colours(self) -> dict[Path, int | None]:
        return {path: track.color for path, track in self.mixxx.tracks().items()}


def test_mixxx_keeps_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    yellow, green, purple, unsure = world.tracks
    with world.mixxx.running() as running:
        running.until(MIXXX.is_running)
        with pytest.raises(CollectionError, match="is running"):
            world.write({yellow: Mark(Zone.YELLOW)})
    monkeypatch.setattr("exporters.programs.running_processes", list)  # of other tests
    with closing(sqlite3.connect(world.mixxx.database)) as database, database:
        database.execute("INSERT INTO crates (name) VALUES ('Mine')")
        database.execute("INSERT INTO crate_tracks SELECT 1, id FROM library")
    mine = {"Mine": set(world.tracks)}
    columns = world.mixxx.tracks()

    marks = dict(zip(world.tracks, [*map(Mark, Zone), Mark(Zone.GREEN, MarkState.UNSURE)], strict=True))
    assert {change.status for change in world.write(marks)} == {WriteStatus.WRITTEN}
    world.open_with(yellow, green)

    assert world.colours() == {path: COLOURS[mark.zone] for path, mark in marks.items()}
    assert world.mixxx.crates() == mine | {
        "MoodZone YELLOW": {yellow},
        "MoodZone GREEN": {green},
        "MoodZone PURPLE": {purple},
        "MoodZone UNSURE": {unsure},
    }
    for path, track in world.mixxx.tracks().items():
        assert (track.artist, track.title, track.comment) == (
            columns[path].artist,
            columns[path].title,
            columns[path].comment,
        )

    with closing(sqlite3.connect(world.mixxx.database)) as database, database:
        database.execute("UPDATE library SET color = ? WHERE color = ?", (MINE, COLOURS[Zone.PURPLE]))
    kept = world.write({yellow: Mark(Zone.PURPLE), green: None, purple: Mark(Zone.YELLOW)})
    assert [change.status for change in kept].count(WriteStatus.KEPT) == 1
    world.open_with(purple, unsure)

    assert world.colours() == {
        yellow: COLOURS[Zone.PURPLE],
        green: None,
        purple: MINE,
        unsure: COLOURS[Zone.GREEN],
    }
    assert world.mixxx.crates() == mine | {
        "MoodZone YELLOW": {purple},
        "MoodZone PURPLE": {yellow},
        "MoodZone UNSURE": {unsure},
    }

    assert world.undo() == [Outcome.PUT_BACK]
    assert world.undo() == [Outcome.PUT_BACK]
    world.open_with(yellow, purple)
    assert world.colours() == {yellow: None, green: None, purple: MINE, unsure: None}
    assert world.mixxx.crates() == mine
