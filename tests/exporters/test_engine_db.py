"""Playlists in Engine DJ's own schemas: its views show them, and their order holds."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from exporters.base import Field, Machine, Want, WriteStatus
from exporters.engine_db import TARGET, EngineCollection, EngineSettings
from exporters.journal import Journal
from moodzone_agent.errors import CollectionError
from moodzone_agent.types import Mark, MarkState, Zone

NAMES = ("a.mp3", "b.mp3", "c.mp3", "d.mp3", "e.mp3")
UNSURE = Mark(Zone.GREEN, MarkState.UNSURE)


class Drive:
    """A drive with a library as Engine makes it, three playlists of the user's, and five tracks."""

    def __init__(self, original: Path, root: Path) -> None:
        self.root = root
        self.file = root / "Engine Library" / "Database2" / "m.db"
        self.file.parent.mkdir(parents=True)
        shutil.copyfile(original, self.file)
        self.machine = Machine(root / "home", root / "home" / "Music", root, (Path("/"), root))
        self.tracks = [root / "Music" / name for name in NAMES]
        self.journal = Journal(root / "journal")
        self.ours: dict[Path, str] = {}
        with closing(sqlite3.connect(self.file)) as database, database:
            database.executemany(
                "INSERT INTO Track (path, filename, comment) VALUES (?, ?, '8A - 7')",
                [(f"../Music/{name}", name) for name in NAMES],
            )
            database.executemany(
                "INSERT INTO Playlist (title, parentListId, isPersisted, nextListId) VALUES (?, ?, 1, 0)",
                [("First", 0), ("Second", 0), ("Inner", 1)],
            )

    @property
    def collection(self) -> EngineCollection:
        return EngineCollection(self.file, self.machine)

    def write(self, marks: Mapping[Path, Mark | None]) -> set[WriteStatus]:
        wants = [
            Want(path, mark, {Field.LIST: frozenset({self.ours.get(path, "")})})
            for path, mark in marks.items()
        ]
        with self.journal.start("engine") as run:
            done = list(self.collection.write(list(self.collection.preview(wants)), run, self.journal.folder))
        self.ours |= {change.want.path: change.ours for change in done}
        return {change.status for change in done}

    def paths(self) -> list[str]:
        """What Engine's view shows; it counts from the innermost and last to the first."""
        rows = self.rows("SELECT path FROM PlaylistPath ORDER BY position DESC")
        return [path for (path,) in rows]

    def order(self, name: str) -> list[str]:
        """The tracks of one of our playlists, from the first to the last."""
        rows = self.rows(
            "SELECT e.id, e.nextEntityId, t.filename FROM PlaylistEntity e JOIN Track t ON t.id = e.trackId"
            " JOIN PlaylistPath p ON p.id = e.listId WHERE p.path = ?",
            f"MoodZone;{name};",
        )
        following = {number: (after, file) for number, after, file in rows}
        [place] = following.keys() - {after for after, _ in following.values()}
        found = []
        while place:
            place, file = following[place]
            found.append(file)
        return found

    def rows(self, query: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        with closing(sqlite3.connect(self.file)) as database, database:
            return database.execute(query, values).fetchall()


@pytest.fixture(params=["desktop-3.3.0", "desktop-5.0.0"])
def drive(request: pytest.FixtureRequest, shared: Path, tmp_path: Path) -> Drive:
    original = shared / "fixtures" / "dj" / "engine" / request.param / "Database2" / "m.db"
    return Drive(original, tmp_path)


@pytest.mark.shared
def test_views_and_order(drive: Drive) -> None:
    a, b, c, d, e = drive.tracks
    before = drive.paths()
    assert drive.write({a: UNSURE, b: Mark(Zone.GREEN), c: Mark(Zone.GREEN)}) == {WriteStatus.WRITTEN}
    assert drive.write({d: Mark(Zone.YELLOW), e: Mark(Zone.GREEN)}) == {WriteStatus.WRITTEN}
    ours = ["MoodZone;", "MoodZone;YELLOW;", "MoodZone;GREEN;", "MoodZone;UNSURE;"]
    assert [path for path in drive.paths() if path.startswith("MoodZone")] == ours
    assert [path for path in drive.paths() if not path.startswith("MoodZone")] == before
    assert [path for path in drive.paths() if path.count(";") == 1] == ["First;", "Second;", "MoodZone;"]
    assert drive.order("GREEN") == ["b.mp3", "c.mp3", "e.mp3"]

    drive.write({c: Mark(Zone.PURPLE), a: Mark(Zone.GREEN)})
    assert drive.order("GREEN") == ["b.mp3", "e.mp3", "a.mp3"]
    assert [path for path in drive.paths() if path.startswith("MoodZone;")] == [
        "MoodZone;",
        "MoodZone;YELLOW;",
        "MoodZone;GREEN;",
        "MoodZone;PURPLE;",
    ]
    drive.write({b: Mark(Zone.PURPLE)})
    assert drive.order("GREEN") == ["e.mp3", "a.mp3"]
    assert drive.rows("PRAGMA integrity_check") == [("ok",)]
    assert drive.rows("PRAGMA foreign_key_check") == []

    drive.write(dict.fromkeys(drive.tracks))
    assert drive.paths() == before
    assert drive.rows("SELECT * FROM PlaylistEntity") == []


@pytest.mark.shared
def test_playlists_that_are_out_of_order_are_left(drive: Drive) -> None:
    drive.write({drive.tracks[0]: Mark(Zone.GREEN)})
    drive.rows("UPDATE PlaylistEntity SET nextEntityId = 77")
    with pytest.raises(CollectionError, match="out of order"):
        drive.write({drive.tracks[1]: Mark(Zone.GREEN)})
    assert drive.rows("SELECT count(*) FROM PlaylistEntity") == [(1,)]


@pytest.mark.shared
def test_tracks_of_other_libraries_are_not_taken_for_these(drive: Drive) -> None:
    """A playlist names the database that a track is in; numbers repeat among databases."""
    a, b, *_ = drive.tracks
    drive.write({a: Mark(Zone.GREEN)})
    drive.rows("UPDATE PlaylistEntity SET databaseUuid = 'another'")
    seen = [sighting for sighting in drive.collection.read() if sighting.place.field is Field.LIST]
    assert {sighting.value for sighting in seen} == {""}
    drive.write({b: Mark(Zone.GREEN)})
    drive.write({b: None})
    assert drive.rows("SELECT trackId, databaseUuid, nextEntityId FROM PlaylistEntity") == [(1, "another", 0)]
    assert "MoodZone;GREEN;" in drive.paths()


@pytest.mark.shared
def test_found_on_its_drive(drive: Drive) -> None:
    [found] = TARGET.find(drive.machine, EngineSettings())
    assert found.path == drive.file
    assert found.holds(drive.tracks[0])
    assert not found.holds(Path("/elsewhere/a.mp3"))
    assert TARGET.open(drive.root / "Engine Library", drive.machine, EngineSettings()).path == drive.file
    assert found.census().comments == {"Mixed In Key": 5}
    drive.write({drive.tracks[0]: Mark(Zone.GREEN)})
    assert found.census().lists == ("MoodZone", "GREEN")
