"""Colours with a meaning of the user's are left to them, and a census shows what stands where."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from exporters.base import Want
from exporters.mixxx_db import MixxxCollection, MixxxSettings
from moodzone_agent.library.records import FileRecord, FileStatus, Stamp
from moodzone_agent.library.store import Library
from moodzone_agent.types import Label, LabelOrigin, Zone
from moodzone_agent.writing import settle_colours, wanted, write_zones
from tests.agent.conftest import World, make_track
from tests.agent.test_cli import fine, run
from tests.agent.test_collections import analysis
from tests.contract.cases import MIXXX_TABLES

GREEN, PURPLE = 0x00CC00, 0x8800CC
COLOURS = {Zone.YELLOW: "FFFF00", Zone.GREEN: "00CC00", Zone.PURPLE: "8800CC"}


def mixxx(path: Path, tracks: list[tuple[Path, str, int | None]]) -> Path:
    """A library of Mixxx's, of tracks with comments and colours."""
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(MIXXX_TABLES)
        database.execute("INSERT INTO settings VALUES ('mixxx.schema.version', '39')")
        for number, (track, comment, colour) in enumerate(tracks, 1):
            database.execute("INSERT INTO track_locations VALUES (?, ?)", (number, str(track)))
            database.execute("INSERT INTO library VALUES (?, ?, ?, ?)", (number, number, comment, colour))
    return path


def others(count: int, coloured: int, colour: int) -> list[tuple[Path, str, int | None]]:
    """The user's other tracks, of which some have a colour."""
    return [(Path(f"/else/{n}.mp3"), "", colour if n < coloured else None) for n in range(count)]


def colour_of(database: Path, track: Path) -> str:
    with closing(sqlite3.connect(database)) as connection:
        [(colour,)] = connection.execute(
            "SELECT color FROM library l JOIN track_locations t ON t.id = l.location WHERE t.location = ?",
            (str(track),),
        )
    return "" if colour is None else f"{colour:06X}"


@pytest.fixture
def track(world: World, tmp_path: Path) -> Path:
    """One that the user calls PURPLE."""
    path = make_track(world.music / "mine.flac", seed=1)
    world.scan()
    known = world.library.track_of(path)
    assert known is not None
    world.library.add_label(Label(known.audio_id, Zone.PURPLE, LabelOrigin.ASKED, "cli", 0))
    return path


def write(world: World, database: Path, settings: MixxxSettings) -> dict[Zone, str]:
    """Settle the colours and write, as commands and the agent do; returns the colours that were left out."""
    collection = MixxxCollection(database, settings)
    left_out = settle_colours(collection, world.library, keep=True)
    wants = [want for want in wanted(world.library, None) if isinstance(want, Want)]
    with world.journal.start("mixxx") as run_:
        list(write_zones(wants, collection, world.library, run_, world.home / "backups"))
    return left_out


@pytest.mark.parametrize(
    ("coloured", "of", "is_used"),
    [(1, 101, True), (1, 100, False), (2, 200, False), (2, 201, True), (0, 100, True)],
)
def test_a_colour_of_one_in_a_hundred_tracks_is_the_users(
    world: World, track: Path, tmp_path: Path, coloured: int, of: int, is_used: bool
) -> None:
    database = mixxx(tmp_path / "db.sqlite", [(track, "", None), *others(of - 1, coloured, PURPLE)])
    left_out = write(world, database, MixxxSettings())
    assert left_out == ({} if is_used else {Zone.PURPLE: "8800CC"})
    assert colour_of(database, track) == ("8800CC" if is_used else "")


def test_what_was_found_is_remembered(world: World, track: Path, tmp_path: Path) -> None:
    """So that a colour that became rarer isn't taken, and one that spread by corrections isn't lost."""
    database = mixxx(tmp_path / "db.sqlite", [(track, "", None), *others(99, 1, PURPLE)])
    assert set(write(world, database, MixxxSettings())) == {Zone.PURPLE}
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE library SET color = NULL")
        connection.execute("UPDATE library SET color = ? WHERE id > 50", (GREEN,))
    with Library.open(world.home / "library.sqlite") as again:  # another process
        collection = MixxxCollection(database, MixxxSettings())
        assert settle_colours(collection, again, keep=True) == {Zone.PURPLE: "8800CC"}
        assert collection.colours == {zone: COLOURS[zone] for zone in (Zone.YELLOW, Zone.GREEN)}
    assert set(write(world, database, MixxxSettings())) == {Zone.PURPLE}
    assert colour_of(database, track) == ""


def test_a_dry_run_remembers_nothing(world: World, track: Path, tmp_path: Path) -> None:
    database = mixxx(tmp_path / "db.sqlite", [(track, "", None), *others(99, 1, PURPLE)])
    assert settle_colours(MixxxCollection(database, MixxxSettings()), world.library, keep=False)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE library SET color = NULL")
    assert write(world, database, MixxxSettings()) == {}
    assert colour_of(database, track) == "8800CC"


def test_our_own_colours_are_no_meaning_of_the_users(world: World, track: Path, tmp_path: Path) -> None:
    database = mixxx(tmp_path / "db.sqlite", [(track, "", None), *others(9, 0, PURPLE)])
    assert write(world, database, MixxxSettings()) == {}
    assert colour_of(database, track) == "8800CC"
    other = MixxxSettings(yellow="8800CC", purple="FFFF00")  # ours stands on a tenth of the tracks
    assert settle_colours(MixxxCollection(database, other), world.library, keep=True) == {}


def test_another_colour_of_the_settings_is_used(world: World, track: Path, tmp_path: Path) -> None:
    """By the command line: the first colour is told to be taken, the second is written."""
    database = mixxx(tmp_path / "db.sqlite", [(track, "", None), *others(99, 30, PURPLE)])
    world.library.close()
    settings = world.home / "settings.toml"
    settings.write_text(f'[mixxx]\ndatabase = "{database}"\n')
    done = run(world.home, "write", "--all", "--to", "mixxx", "--yes")
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stderr.split())
    assert "8800CC is a colour of yours there already, so PURPLE gets none" in told
    assert "choose another in the settings, [mixxx] purple" in told
    assert colour_of(database, track) == ""
    settings.write_text(f'[mixxx]\ndatabase = "{database}"\npurple = "123456"\n')
    done = run(world.home, "write", "--all", "--to", "mixxx", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert colour_of(database, track) == "123456"


def test_census_shows_mixed_in_keys_energy_by_zone(tmp_path: Path) -> None:
    """Sixteen tracks, energies 3, 7 and 10, labelled by the user; two have no zone, one no energy."""
    home = tmp_path / "home"
    expected = {3: (4, 1, 0), 7: (0, 5, 2), 10: (0, 0, 1)}
    comments = {3: "4A - 3", 7: "8A - 124 - 7", 10: "Energy 10"}
    rows: list[tuple[Path, str, int | None]] = [
        (Path("/nowhere/rated without energy.mp3"), "fine", None),
        (Path("/nowhere/unrated a.mp3"), "8A - 7", None),
        (Path("/nowhere/unrated b.mp3"), "8A - 2", None),
    ]
    zones: dict[Path, Zone] = {rows[0][0]: Zone.GREEN}
    for energy, counts in expected.items():
        for zone, count in zip(Zone, counts, strict=True):
            for number in range(count):
                path = Path(f"/nowhere/{energy} {zone} {number}.mp3")
                rows.append((path, comments[energy], None))
                zones[path] = zone
    with Library.open(home / "library.sqlite") as library, library.transaction():
        for number, (path, zone) in enumerate(zones.items()):
            library.put_analysis(analysis(f"id {number}"))
            library.put_file(FileRecord(path, Stamp(1, number, 1), FileStatus.OK, f"id {number}"))
            library.add_label(Label(f"id {number}", zone, LabelOrigin.ASKED, "cli", 0))
    database = mixxx(tmp_path / "db.sqlite", rows)
    (home / "settings.toml").write_text(f'[mixxx]\ndatabase = "{database}"\n')
    shown = fine(home, "census", "mixxx").splitlines()
    [head] = [number for number, line in enumerate(shown) if "Mixed In Key energy" in line]
    assert shown[head].split() == ["Mixed", "In", "Key", "energy", *Zone]
    table = [tuple(map(int, re.findall(r"\d+", line))) for line in shown[head + 1 :] if line.strip()]
    assert table == [(energy, *counts) for energy, counts in expected.items()]
    assert f"{len(rows)} tracks" in " ".join(shown)


def test_census_of_a_collection_without_energies_has_no_table(tmp_path: Path) -> None:
    home = tmp_path / "home"
    Library.open(home / "library.sqlite").close()
    database = mixxx(tmp_path / "db.sqlite", [(Path("/a.mp3"), "8A - 7", None), (Path("/b.mp3"), "", GREEN)])
    (home / "settings.toml").write_text(f'[mixxx]\ndatabase = "{database}"\n')
    shown = fine(home, "census", "mixxx")
    assert "energy" not in shown
    assert "00CC00 1" in shown
