"""Files with names that databases, paths and XML trip over keep their zones apart in every collection."""

from __future__ import annotations

import shutil
import sqlite3
import sys
import unicodedata
from contextlib import closing
from pathlib import Path

import pytest

from exporters.base import Field, Place, WriteStatus, comparable
from exporters.serato.crate import Crate
from exporters.undo import Outcome
from moodzone_agent.types import Mark, MarkState, Zone
from tests.contract.cases import Case, Engine, Mixxx, RekordboxDatabase, Serato
from tests.contract.test_collections import Writer, marks_of, values

COMBINED = unicodedata.normalize("NFD", "Café Ångström")
NAMES = (
    ("🎧 night 👩🏽‍🎤", "12:34 — a: b", "Simon & Garfunkel <&amp;>", COMBINED),
    ("%41%26 100%", 'it\'s "quoted" `so`', "dots.. and .mp3 ", "日本語 한글 עברית"),
    ("a;b|c*d?e", "back\\slash", "#hash = + ~tilde", "'; DROP TABLE library; --"),
)
MARKS = (
    Mark(Zone.YELLOW),
    Mark(Zone.GREEN),
    Mark(Zone.PURPLE, MarkState.LABELLED),
    Mark(Zone.GREEN, MarkState.LABELLED),
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="such names are legal on Linux")


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path)


@pytest.fixture(params=NAMES, ids=("unicode", "quoted", "special"))
def names(request: pytest.FixtureRequest, case: Case, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The names that the case's music gets, in a folder of such a name."""
    names: tuple[str, ...] = request.param
    unused = iter(names)

    def music(count: int = 4, suffix: str = ".mp3") -> list[Path]:
        folder = case.folder / "Music" / f"{names[0]} & {names[1]}"
        folder.mkdir(parents=True, exist_ok=True)
        original = case.tones / f"tone{suffix}"
        return [
            Path(shutil.copyfile(original, folder / f"{name}{suffix}"))
            for _, name in zip(range(count), unused, strict=False)
        ]

    monkeypatch.setattr(case, "music", music)
    return names


def zones_of(case: Case, tracks: list[Path]) -> dict[tuple[str, Field], list[Zone]]:
    """The zones that a new reader sees, by name and place."""
    found = marks_of(case.open(), tracks)
    reads = case.open().reads
    return {
        (place.track.stem, place.field): [mark.zone for mark in marks]
        for place, marks in found.items()
        if place.field not in reads
    }


def test_zones_are_read_back_and_taken_out(case: Case, names: tuple[str, ...], writer: Writer) -> None:
    collection, tracks = case.make()
    assert sorted(track.stem for track in tracks) == sorted(names)
    before, stood = case.contents(), values(collection)
    done = writer.write(collection, zip(tracks, MARKS, strict=True))
    assert {change.status for change in done} == {WriteStatus.WRITTEN}
    zones = zones_of(case, tracks)
    for track, mark in zip(tracks, MARKS, strict=True):
        fields = {field for stem, field in zones if stem == track.stem}
        assert fields >= collection.carries
        assert all(zones[track.stem, field] == [mark.zone] for field in fields), track

    again = writer.write(case.open(), zip(tracks, MARKS, strict=True))
    assert {change.status for change in again} == {WriteStatus.UNCHANGED}
    outcomes = {result.outcome for result in writer.undo(case.open())}
    assert outcomes == {Outcome.PUT_BACK if case.in_place else Outcome.RESTORED}
    assert values(case.open()) == stood
    if case.whole:
        assert case.contents() == before


def test_a_new_zone_replaces_the_old_one(case: Case, names: tuple[str, ...], writer: Writer) -> None:
    collection, tracks = case.make()
    writer.write(collection, zip(tracks, MARKS, strict=True))
    turned = [MARKS[1], MARKS[2], MARKS[0], MARKS[0]]
    done = writer.write(case.open(), zip(tracks, turned, strict=True))
    assert {change.status for change in done} == {WriteStatus.WRITTEN}
    zones = zones_of(case, tracks)
    for track, mark in zip(tracks, turned, strict=True):
        assert {tuple(zones[track.stem, field]) for field in collection.carries} == {(mark.zone,)}


def test_a_users_edit_is_of_that_file_alone(case: Case, names: tuple[str, ...], writer: Writer) -> None:
    collection, tracks = case.make()
    writer.write(collection, zip(tracks, [Mark(Zone.GREEN)] * 4, strict=True))
    for track in tracks:
        for field in sorted(collection.carries - {Field.OWN}):
            before = zones_of(case, tracks)
            case.edit(Place(track, field), case.theirs(field))
            zones = zones_of(case, tracks)
            assert Zone.PURPLE in zones.pop((track.stem, field)), (track, field)
            before.pop((track.stem, field))
            assert zones == before


SPELLED = {
    "mixxx": ("track_locations", "location"),
    "engine": ("Track", "path"),
    "rekordbox-db": ("djmdContent", "FolderPath"),
}


@pytest.mark.parametrize("kind", [Mixxx, Engine, RekordboxDatabase], ids=lambda case: case.name)
def test_a_database_that_composes_accents_otherwise(
    kind: type[Mixxx | Engine | RekordboxDatabase], tones: Path, tmp_path: Path, writer: Writer
) -> None:
    """As one does that was moved here from another system."""
    case = kind(tones, tmp_path)
    _, tracks = case.make()
    table, column = SPELLED[case.name]
    with closing(sqlite3.connect(case.file)) as connection, connection:
        connection.create_function("spelled", 1, lambda text: text and unicodedata.normalize("NFD", text))
        changed = connection.execute(
            f"UPDATE {table} SET {column} = spelled({column}) WHERE {column} IS NOT spelled({column})"
        ).rowcount
    assert changed > 0
    for marks in (MARKS, MARKS[1:] + MARKS[:1]):
        done = writer.write(case.open(), zip(tracks, marks, strict=True))
        assert {change.status for change in done} == {WriteStatus.WRITTEN}
        lists = {
            comparable(sight.place.track): [mark.zone for mark in sight.marks]
            for sight in case.open().read()
            if sight.place.field is Field.LIST
        }
        for track, mark in zip(tracks, marks, strict=True):
            assert lists[comparable(track)] == [mark.zone]


def test_crates_of_serato_that_compose_accents_otherwise(tones: Path, tmp_path: Path, writer: Writer) -> None:
    case = Serato(tones, tmp_path)
    collection, tracks = case.make()
    folder = tmp_path / "_Serato_" / "Subcrates"
    spelled = [tracks[0].with_name(f"{form}{tracks[0].suffix}") for form in (COMBINED, "plain 2")]
    for path in spelled:
        shutil.copyfile(tracks[0], path)
    case.tracks = [*tracks, *spelled]
    writer.write(collection, [(path, Mark(Zone.GREEN)) for path in spelled])
    green, purple = folder / "MoodZone%%GREEN.crate", folder / "MoodZone%%PURPLE.crate"
    crate = Crate.parse(green.read_bytes())
    assert len(crate.tracks) == 2
    green.write_bytes(
        Crate.new().added([unicodedata.normalize("NFC", reference) for reference in crate.tracks]).dump()
    )
    again = writer.write(case.open(), [(path, Mark(Zone.GREEN)) for path in spelled])
    assert {change.status for change in again} == {WriteStatus.UNCHANGED}
    writer.write(case.open(), [(path, Mark(Zone.PURPLE)) for path in spelled])
    assert not green.exists() or not Crate.parse(green.read_bytes()).tracks
    assert len(Crate.parse(purple.read_bytes()).tracks) == 2
