"""Colours and crates in databases that a real Mixxx made."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from exporters.base import Field, Machine, Place, Want, WriteStatus
from exporters.journal import Journal
from exporters.mixxx_db import TARGET, MixxxCollection, MixxxSettings
from moodzone_agent.errors import CollectionError, UsageError
from moodzone_agent.types import Mark, Zone

WRITTEN, KEPT, SKIPPED = WriteStatus.WRITTEN, WriteStatus.KEPT, WriteStatus.SKIPPED
MUSIC = Path("/tmp/mx/music")


@pytest.fixture
def library(shared: Path, tmp_path: Path) -> Path:
    """Six tracks, with colours and crates of the user's."""
    original = shared / "fixtures" / "dj" / "mixxx" / "mixxxdb_6tracks_crates_colors_traktor.sqlite"
    return Path(shutil.copyfile(original, tmp_path / "mixxxdb.sqlite"))


def rows(path: Path, query: str) -> list[tuple]:  # type: ignore[type-arg]
    with closing(sqlite3.connect(path)) as database, database:
        return database.execute(query).fetchall()


def write(path: Path, wants: list[Want]) -> dict[Place, WriteStatus]:
    collection = MixxxCollection(path, MixxxSettings())
    journal = Journal(path.parent / "journal")
    with journal.start("mixxx") as run:
        changes = collection.write(list(collection.preview(wants)), run, journal.folder)
        return {change.place: change.status for change in changes}


@pytest.mark.shared
def test_a_library_of_mixxx(library: Path) -> None:
    collection = MixxxCollection(library, MixxxSettings())
    assert collection.version() == "schema 32"
    census = collection.census()
    assert census.tracks == 6
    assert census.colours == {"FFFF00": 2, "00CC00": 2, "8800CC": 2}
    assert census.lists == ()
    rows(library, "UPDATE library SET color = NULL WHERE id = 1")
    held = rows(library, "SELECT * FROM library WHERE id <> 1 ORDER BY id")
    track, other = MUSIC / "track.aiff", MUSIC / "base.wav"
    done = write(library, [Want(path, Mark(Zone.PURPLE)) for path in (track, other, MUSIC / "gone.mp3")])
    assert done == {
        Place(track, Field.COLOUR): WRITTEN,
        Place(track, Field.LIST): WRITTEN,
        Place(other, Field.COLOUR): KEPT,
        Place(other, Field.LIST): WRITTEN,
        Place(MUSIC / "gone.mp3", Field.COLOUR): SKIPPED,
        Place(MUSIC / "gone.mp3", Field.LIST): SKIPPED,
    }
    assert rows(library, "SELECT color FROM library WHERE id = 1") == [(0x8800CC,)]
    assert rows(library, "SELECT * FROM library WHERE id <> 1 ORDER BY id") == held
    assert rows(library, "PRAGMA integrity_check") == [("ok",)]
    assert collection.census().lists == ("MoodZone PURPLE",)
    found = {sighting.place: sighting.value for sighting in collection.read(frozenset({track}))}
    assert found.pop(Place(track, Field.TEXT)) == ""
    assert found == {Place(track, Field.COLOUR): "8800CC", Place(track, Field.LIST): "PURPLE"}


@pytest.mark.shared
@pytest.mark.parametrize("column", ["locked", "autodj_source"])
def test_a_crate_that_the_user_gave_a_purpose_stays(library: Path, column: str) -> None:
    track = MUSIC / "track.aiff"
    write(library, [Want(track, Mark(Zone.GREEN))])
    rows(library, f"UPDATE crates SET {column} = 1 WHERE name LIKE 'MoodZone%'")
    write(library, [Want(track, None, {Field.LIST: frozenset({"GREEN"})})])
    assert rows(library, "SELECT count(*) FROM crate_tracks WHERE crate_id > 3") == [(0,)]
    assert rows(library, "SELECT name FROM crates WHERE id > 3") == [("MoodZone GREEN",)]


@pytest.mark.shared
def test_found_where_mixxx_keeps_it(library: Path, tmp_path: Path) -> None:
    machine = Machine(tmp_path, tmp_path / "Music", tmp_path)
    assert TARGET.find(machine, MixxxSettings()) == []
    folder = tmp_path / "Library" / "Application Support" / "Mixxx"
    folder.mkdir(parents=True)
    kept = Path(shutil.copyfile(library, folder / library.name))
    assert [one.path for one in TARGET.find(machine, MixxxSettings())] == [kept]
    named = MixxxSettings(database=str(library))
    assert [one.path for one in TARGET.find(machine, named)] == [library, kept]
    assert TARGET.open(folder, machine, named).path == kept


@pytest.mark.shared
def test_other_versions_are_refused_by_their_number(library: Path) -> None:
    rows(library, "UPDATE settings SET value = '31' WHERE name = 'mixxx.schema.version'")
    with pytest.raises(CollectionError, match="schema 31; MoodZone knows 32 and 39"):
        MixxxCollection(library, MixxxSettings()).version()


def test_colours_are_six_digits_and_differ() -> None:
    assert MixxxSettings(green="00ff7f").colours[Zone.GREEN] == "00FF7F"
    for wrong in ("green", "#00FF7F", "0F0", "00FF7F00"):
        with pytest.raises(UsageError, match="six hexadecimal digits"):
            MixxxSettings(green=wrong)
    with pytest.raises(UsageError, match="three colours"):
        MixxxSettings(green="ffff00")
