"""Zones go into collections and corrections come back, with the library's memory of what is ours."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from xml.sax.saxutils import quoteattr

import mutagen
import numpy as np
import pytest

from exporters.base import Collection, Field, Place, Sighting, WriteStatus
from exporters.m3u8 import M3u8Collection
from exporters.mixxx_db import MixxxCollection, MixxxSettings
from exporters.planning import text_marks
from exporters.registry import TARGETS
from exporters.tags.edit import read_state
from exporters.undo import Outcome
from exporters.virtualdj.collection import VirtualDjCollection, VirtualDjSettings
from moodzone_agent import removal
from moodzone_agent.commands import shared as cli_shared
from moodzone_agent.config import Places, Settings
from moodzone_agent.corrections import Verdict, accepted, find_corrections, judge, settle_vanished
from moodzone_agent.errors import UsageError
from moodzone_agent.inbox import Inbox
from moodzone_agent.library.corrections import Correction
from moodzone_agent.library.records import (
    Analysis,
    FileRecord,
    FileStatus,
    PlaceEvent,
    PlaceEventKind,
    Stamp,
    values_of_ours,
)
from moodzone_agent.machine import find_collections, open_collection, this_machine
from moodzone_agent.types import Estimate, Label, LabelOrigin, Mark, MarkState, Zone
from moodzone_agent.undoing import undo_run
from moodzone_agent.writing import Want, wanted, write_zones
from tests.agent.conftest import World
from tests.contract.cases import MIXXX_TABLES

SEEN, PLANNED, WROTE, ACCEPTED, UNDONE = PlaceEventKind
ESTIMATE = Estimate((0.2, 0.6, 0.2), 5.0, 5.0, sure=True, model="test")


def analysis(audio_id: str) -> Analysis:
    row = np.zeros(1, np.float32)
    return Analysis(audio_id, 1.0, 120.0, (), 0, row, row[None])


ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def playlists(world: World, originals: Path) -> M3u8Collection:
    """A folder of playlists for two rated tracks."""
    for name in ("0.mp3", "1.flac"):
        world.add(originals / name)
    world.scan()
    return M3u8Collection(world.home / "Lists")


def label(world: World, name: str, zone: Zone, *, source: str = "test", time_ns: int = 0) -> None:
    track = world.library.track_of(world.music / name)
    assert track is not None
    world.library.add_label(Label(track.audio_id, zone, LabelOrigin.CORRECTED, source, time_ns))


def zone_of(world: World, name: str) -> tuple[Zone, str | None]:
    """The zone of a track, and how it was labelled."""
    track = world.library.track_of(world.music / name)
    assert track is not None
    assert track.mark is not None
    return track.mark.zone, track.label and f"{track.label.origin} by {track.label.source}"


def write(world: World, collection: Collection) -> dict[str, str]:
    wants = [want for want in wanted(world.library, None) if isinstance(want, Want)]
    with world.journal.start(collection.target) as run:
        results = list(write_zones(wants, collection, world.library, run, world.home / "backups"))
    return {result.path.name: str(result.status) for result in results}


def sync(world: World, *collections: Collection) -> list[Correction]:
    """Look at collections, and settle what was found; returns what is held or settled."""
    inbox = Inbox(world.library)
    for collection in collections:
        inbox.note(collection, list(find_corrections(collection, world.library)))
    return [*inbox.held(), *inbox.settle()]


def lists(folder: Path) -> dict[str, list[str]]:
    """The names of the tracks in each list, read line by line."""
    return {
        path.stem.removeprefix("MoodZone "): [
            Path(line).name for line in path.read_text().splitlines() if not line.startswith("#")
        ]
        for path in sorted(folder.glob("*.m3u8"))
    }


def move(folder: Path, name: str, to: str) -> None:
    """Move a track to another list, as a player's user does."""
    for path in folder.glob("*.m3u8"):
        lines = [line for line in path.read_text().splitlines() if not line.endswith(name)]
        path.write_text("\n".join(lines) + "\n")
    with (folder / f"MoodZone {to}.m3u8").open("a") as file:
        file.write(str(folder.parent.parent / "music" / name) + "\n")


def test_zones_go_into_lists_and_follow_the_labels(world: World, playlists: M3u8Collection) -> None:
    label(world, "0.mp3", Zone.PURPLE)
    label(world, "1.flac", Zone.YELLOW)
    assert write(world, playlists) == {"0.mp3": "written", "1.flac": "written"}
    assert lists(playlists.path) == {"PURPLE": ["0.mp3"], "YELLOW": ["1.flac"]}
    label(world, "1.flac", Zone.PURPLE)
    assert write(world, playlists) == {"0.mp3": "unchanged", "1.flac": "written"}
    assert lists(playlists.path) == {"PURPLE": ["0.mp3", "1.flac"]}
    assert world.library.collections() == [("m3u8", playlists.path)]
    found = find_collections("m3u8", world.library, Settings())
    assert [collection.path for collection in found] == [playlists.path]


def test_a_move_between_lists_is_a_correction_and_survives_the_next_write(
    world: World, playlists: M3u8Collection
) -> None:
    label(world, "0.mp3", Zone.GREEN)
    label(world, "1.flac", Zone.YELLOW)
    write(world, playlists)
    move(playlists.path, "0.mp3", "PURPLE")
    assert write(world, playlists) == {"0.mp3": "kept", "1.flac": "unchanged"}
    [found] = sync(world, playlists)
    assert (found.verdict, found.zone, found.state) == ("corrected", Zone.PURPLE, "taken")
    assert zone_of(world, "0.mp3") == (Zone.PURPLE, "corrected by m3u8")
    assert write(world, playlists) == {"0.mp3": "unchanged", "1.flac": "unchanged"}
    assert sync(world, playlists) == []


def test_what_stood_there_before_is_never_a_label(world: World, playlists: M3u8Collection) -> None:
    label(world, "0.mp3", Zone.YELLOW)
    playlists.path.mkdir()
    (playlists.path / "MoodZone PURPLE.m3u8").write_text(f"{world.music / '0.mp3'}\n")
    assert sync(world, playlists) == []
    assert write(world, playlists)["0.mp3"] == "kept"
    assert sync(world, playlists) == []
    assert zone_of(world, "0.mp3")[0] is Zone.YELLOW


def test_two_lists_or_two_programs_that_differ_give_no_label(world: World, playlists: M3u8Collection) -> None:
    other = M3u8Collection(world.home / "Other")
    label(world, "0.mp3", Zone.GREEN)
    label(world, "1.flac", Zone.GREEN)
    for collection in (playlists, other):
        write(world, collection)
    with (playlists.path / "MoodZone PURPLE.m3u8").open("a") as file:
        file.write(f"{world.music / '0.mp3'}\n")  # in two lists now
    move(playlists.path, "1.flac", "PURPLE")
    move(other.path, "1.flac", "YELLOW")
    found = sync(world, playlists, other)
    assert {(one.place.track.name, one.state) for one in found} == {("0.mp3", "held"), ("1.flac", "held")}
    assert len(found) == 3
    assert zone_of(world, "0.mp3")[0] is zone_of(world, "1.flac")[0] is Zone.GREEN


def test_an_older_mark_of_ours_is_an_echo(world: World, playlists: M3u8Collection) -> None:
    for zone in (Zone.GREEN, Zone.PURPLE):
        label(world, "0.mp3", zone)
        write(world, playlists)
    move(playlists.path, "0.mp3", "GREEN")
    [found] = sync(world, playlists)
    assert (found.verdict, found.state) == ("echo", "held")
    assert zone_of(world, "0.mp3")[0] is Zone.PURPLE
    assert write(world, playlists)["0.mp3"] == "kept"


def test_corrections_in_tags(world: World, originals: Path) -> None:
    path = world.add(originals / "1.flac")
    world.scan()
    label(world, "1.flac", Zone.GREEN)
    world.write()
    tags = open_collection("tags", world.music, world.library, Settings())
    assert sync(world, tags) == []
    file = mutagen.File(path)
    file["comment"] = [read_state(path).text.replace("#GREEN", "#purple")]
    file.save()
    [found] = sync(world, tags)
    assert (found.verdict, found.zone, found.state) == ("corrected", Zone.PURPLE, "taken")
    assert zone_of(world, "1.flac") == (Zone.PURPLE, "corrected by tags")
    assert sync(world, tags) == []


def test_undo_of_lists_and_of_the_undo(world: World, playlists: M3u8Collection) -> None:
    label(world, "0.mp3", Zone.GREEN)
    label(world, "1.flac", Zone.YELLOW)
    write(world, playlists)
    written = lists(playlists.path)
    results = undo_run(world.library, world.journal, Settings(), world.home / "backups")
    assert {result.outcome for result in results} == {Outcome.RESTORED}
    assert lists(playlists.path) == {}
    events = world.library.place_events("m3u8", playlists.path)
    assert all(values_of_ours(history) == frozenset() for history in events.values())
    newest = world.journal.runs()[0].id
    undo_run(world.library, world.journal, Settings(), world.home / "backups", newest)
    assert lists(playlists.path) == written
    assert write(world, playlists) == {"0.mp3": "unchanged", "1.flac": "unchanged"}
    label(world, "0.mp3", Zone.PURPLE)
    assert write(world, playlists)["0.mp3"] == "written"


def test_undo_leaves_what_the_user_moved_since(world: World, playlists: M3u8Collection) -> None:
    label(world, "0.mp3", Zone.GREEN)
    label(world, "1.flac", Zone.GREEN)
    write(world, playlists)
    move(playlists.path, "0.mp3", "PURPLE")
    results = undo_run(world.library, world.journal, Settings(), world.home / "backups")
    assert {result.outcome for result in results} == {Outcome.TAKEN_OUT}
    assert lists(playlists.path) == {"PURPLE": ["0.mp3"]}


def test_remove_takes_marks_out_of_collections(world: World, playlists: M3u8Collection) -> None:
    label(world, "0.mp3", Zone.GREEN)
    label(world, "1.flac", Zone.GREEN)
    write(world, playlists)
    world.journal.prune(keep_days=0)
    move(playlists.path, "0.mp3", "PURPLE")
    places = Places.under(world.home)
    planned = removal.remove_everything(world.library, places, Settings(), dry_run=True)
    assert (playlists.path, WriteStatus.WRITTEN) in {(result.path, result.status) for result in planned}
    results = removal.remove_everything(world.library, places, Settings())
    assert not [result for result in results if result.status is WriteStatus.FAILED]
    assert lists(playlists.path) == {"PURPLE": ["0.mp3"]}  # the user's own
    assert not places.library.exists()
    assert not places.backups.exists()


TRACK = Path("/music/1.mp3")


def sighting(field: Field, value: str, *marks: Mark) -> Sighting:
    return Sighting(Place(TRACK, field), value, text_marks(value) if field is Field.TEXT else marks)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("8A - 7 #GREEN? warm", (Verdict.NOTHING, None)),
        ("8A - 7 warm", (Verdict.NOTHING, None)),
        ("8A - 7 #GREEN warm", (Verdict.CONFIRMED, Zone.GREEN)),
        ("8A - 7 #purple warm", (Verdict.CORRECTED, Zone.PURPLE)),
        ("8A - 7 #GREEN? #PURPLE", (Verdict.CORRECTED, Zone.PURPLE)),
        ("#YELLOW #PURPLE", (Verdict.CONFLICT, None)),
        ("8A - 7 #YELLOW warm", (Verdict.ECHO, Zone.YELLOW)),
        ("8A - 7 /* #PURPLE */ warm", (Verdict.NOTHING, None)),
    ],
)
def test_what_a_text_means(value: str, expected: tuple[Verdict, Zone | None]) -> None:
    events = [
        PlaceEvent(SEEN, "8A - 7 warm"),
        PlaceEvent(WROTE, "8A - 7 #YELLOW warm", "#YELLOW"),
        PlaceEvent(WROTE, "8A - 7 #GREEN? warm", "#GREEN?"),
    ]
    assert judge(sighting(Field.TEXT, value), events) == expected


def test_a_question_mark_that_is_off_again_is_an_echo_where_we_wrote_none_before() -> None:
    sure, unsure = PlaceEvent(WROTE, "#GREEN warm", "#GREEN"), PlaceEvent(WROTE, "#GREEN? warm", "#GREEN?")
    seen = PlaceEvent(SEEN, "warm")
    off = sighting(Field.TEXT, "#GREEN warm")
    assert judge(off, [seen, sure, unsure]) == (Verdict.ECHO, Zone.GREEN)
    shown_since = PlaceEvent(SEEN, unsure.value)
    assert judge(off, [seen, sure, unsure, shown_since]) == (Verdict.CONFIRMED, Zone.GREEN)


def test_a_colour_that_stood_there_before_or_after_an_undo_means_nothing() -> None:
    purple = sighting(Field.COLOUR, "0x660099", Mark(Zone.PURPLE))
    before = [PlaceEvent(SEEN, "0x660099"), PlaceEvent(WROTE, "0x00FF00", "0x00FF00")]
    assert judge(purple, before) == (Verdict.NOTHING, None)
    undone = [PlaceEvent(SEEN, ""), PlaceEvent(WROTE, "0x00FF00", "0x00FF00"), PlaceEvent(UNDONE, "")]
    assert judge(purple, undone) == (Verdict.NOTHING, None)
    assert judge(purple, undone[:2]) == (Verdict.CORRECTED, Zone.PURPLE)
    no_zone = sighting(Field.COLOUR, "0xFF0000")
    assert judge(no_zone, undone[:2]) == (Verdict.NOTHING, None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("#GREEN? #purple", (Verdict.NOTHING, None)),
        ("#purple, and other words", (Verdict.NOTHING, None)),
        ("#GREEN?", (Verdict.NOTHING, None)),
        ("#yellow", (Verdict.CORRECTED, Zone.YELLOW)),
        ("#GREEN", (Verdict.CONFIRMED, Zone.GREEN)),
    ],
)
def test_what_a_text_means_whose_token_was_accepted(
    value: str, expected: tuple[Verdict, Zone | None]
) -> None:
    events = [PlaceEvent(SEEN, ""), PlaceEvent(WROTE, "#GREEN?", "#GREEN?")]
    place = Place(TRACK, Field.TEXT)
    beside = accepted(place, "#GREEN? #purple", events)
    assert beside == PlaceEvent(ACCEPTED, "#GREEN? #purple", "#GREEN?")
    assert judge(sighting(Field.TEXT, value), [*events, beside]) == expected
    instead = accepted(place, "#purple", events)
    assert instead == PlaceEvent(ACCEPTED, "#purple")
    assert judge(sighting(Field.TEXT, "#GREEN?"), [*events, instead]) == (Verdict.CORRECTED, Zone.GREEN)


def test_what_is_ours_in_a_place() -> None:
    planned = PlaceEvent(PLANNED, "green", "green")
    wrote = PlaceEvent(WROTE, "purple", "purple")
    assert values_of_ours([]) == frozenset()
    assert values_of_ours([PlaceEvent(SEEN, ""), planned]) == {"green"}
    assert values_of_ours([wrote, planned]) == {"purple", "green"}
    assert values_of_ours([planned, wrote]) == {"purple"}
    assert values_of_ours([wrote, planned, PlaceEvent(SEEN, "red")]) == {"purple"}
    assert values_of_ours([wrote, PlaceEvent(UNDONE, "")]) == frozenset()


def test_the_unsure_list_takes_part(world: World, playlists: M3u8Collection) -> None:
    track = world.library.track_of(world.music / "0.mp3")
    assert track is not None
    want = Want(world.music / "0.mp3", Mark(Zone.GREEN, MarkState.UNSURE))
    with world.journal.start("m3u8") as run:
        list(write_zones([want], playlists, world.library, run, world.home / "backups"))
    assert lists(playlists.path) == {"UNSURE": ["0.mp3"]}
    assert list(find_corrections(playlists, world.library)) == []
    move(playlists.path, "0.mp3", "GREEN")
    [found] = sync(world, playlists)
    assert (found.verdict, found.zone, found.state) == ("corrected", Zone.GREEN, "taken")


@pytest.fixture
def mixxx(world: World, originals: Path) -> MixxxCollection:
    """A library of Mixxx with two rated tracks."""
    for name in ("0.mp3", "1.flac"):
        world.add(originals / name)
    world.scan()
    path = world.home / "mixxxdb.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(MIXXX_TABLES)
        database.execute("INSERT INTO settings VALUES ('mixxx.schema.version', '39')")
        for number, name in enumerate(("0.mp3", "1.flac"), start=1):
            database.execute("INSERT INTO track_locations VALUES (?, ?)", (number, str(world.music / name)))
            database.execute("INSERT INTO library (id, location) VALUES (?, ?)", (number, number))
    return MixxxCollection(path, MixxxSettings())


def mixxx_rows(collection: MixxxCollection, query: str) -> list[object]:
    with closing(sqlite3.connect(collection.path)) as database, database:
        return [row[0] for row in database.execute(query)]


def test_a_correction_in_a_database_comes_back(world: World, mixxx: MixxxCollection) -> None:
    label(world, "0.mp3", Zone.GREEN)
    label(world, "1.flac", Zone.YELLOW)
    assert write(world, mixxx) == {"0.mp3": "written", "1.flac": "written"}
    assert mixxx_rows(mixxx, "SELECT color FROM library ORDER BY id") == [0x00CC00, 0xFFFF00]
    assert sync(world, mixxx) == []
    mixxx_rows(mixxx, "UPDATE library SET color = 0x8800CC WHERE id = 1")
    [found] = sync(world, mixxx)
    assert (found.verdict, found.zone, found.state) == ("corrected", Zone.PURPLE, "taken")
    assert zone_of(world, "0.mp3") == (Zone.PURPLE, "corrected by mixxx")
    write(world, mixxx)
    assert mixxx_rows(mixxx, "SELECT name FROM crates ORDER BY name") == [
        "MoodZone PURPLE",
        "MoodZone YELLOW",
    ]
    assert sync(world, mixxx) == []


def test_a_change_of_mind_back_to_what_we_wrote_is_a_correction(world: World, mixxx: MixxxCollection) -> None:
    label(world, "0.mp3", Zone.GREEN)
    write(world, mixxx)
    for colour, zone in ((0x8800CC, Zone.PURPLE), (0x00CC00, Zone.GREEN), (0x8800CC, Zone.PURPLE)):
        mixxx_rows(mixxx, f"UPDATE library SET color = {colour} WHERE id = 1")
        assert [(one.zone, str(one.state)) for one in sync(world, mixxx)] == [(zone, "taken")]
        write(world, mixxx)
        assert mixxx_rows(mixxx, "SELECT color FROM library WHERE id = 1") == [colour]
        assert zone_of(world, "0.mp3") == (zone, "corrected by mixxx")


def test_a_list_follows_a_later_label_where_a_colour_stays(world: World, mixxx: MixxxCollection) -> None:
    label(world, "0.mp3", Zone.GREEN)
    write(world, mixxx)
    mixxx_rows(mixxx, "UPDATE library SET color = 0x8800CC WHERE id = 1")
    purple = "UPDATE crates SET name = 'MoodZone PURPLE' WHERE name = 'MoodZone GREEN'"
    mixxx_rows(mixxx, purple)
    assert {str(one.state) for one in sync(world, mixxx)} == {"taken"}
    label(world, "0.mp3", Zone.YELLOW, source="cli")
    assert sync(world, mixxx) == []
    write(world, mixxx)
    assert sync(world, mixxx) == []
    in_crates = """
        SELECT name FROM crates JOIN crate_tracks ON crate_id = crates.id WHERE track_id = 1 ORDER BY name
    """
    assert mixxx_rows(mixxx, in_crates) == ["MoodZone YELLOW"]
    assert mixxx_rows(mixxx, "SELECT color FROM library WHERE id = 1") == [0x8800CC]


def test_a_track_that_was_moved_follows_its_label_and_is_removed(
    world: World, mixxx: MixxxCollection
) -> None:
    label(world, "0.mp3", Zone.GREEN)
    write(world, mixxx)
    new = world.music / "moved" / "new.mp3"
    new.parent.mkdir()
    (world.music / "0.mp3").rename(new)
    mixxx_rows(mixxx, f"UPDATE track_locations SET location = '{new}' WHERE id = 1")
    world.scan()
    assert sync(world, mixxx) == []
    label(world, "moved/new.mp3", Zone.PURPLE)
    assert write(world, mixxx)["new.mp3"] == "written"
    assert mixxx_rows(mixxx, "SELECT color FROM library WHERE id = 1") == [0x8800CC]
    removal.remove_everything(world.library, Places.under(world.home), Settings())
    assert mixxx_rows(mixxx, "SELECT color FROM library") == [None, None]
    assert mixxx_rows(mixxx, "SELECT count(*) FROM crate_tracks") == [0]


def test_a_write_to_a_database_is_undone_and_redone(world: World, mixxx: MixxxCollection) -> None:
    label(world, "0.mp3", Zone.GREEN)
    label(world, "1.flac", Zone.YELLOW)
    write(world, mixxx)

    def take_back(number: int | None = None) -> list[object]:
        results = undo_run(world.library, world.journal, Settings(), world.home / "backups", number)
        assert [result.outcome for result in results] == [Outcome.PUT_BACK]
        return mixxx_rows(mixxx, "SELECT color FROM library ORDER BY id")

    assert take_back() == [None, None]
    assert mixxx_rows(mixxx, "SELECT count(*) FROM crates") == [0]
    assert take_back(world.journal.runs()[0].id) == [0x00CC00, 0xFFFF00]
    assert write(world, mixxx) == {"0.mp3": "unchanged", "1.flac": "unchanged"}
    assert take_back() == [None, None]
    assert undo_run(world.library, world.journal, Settings(), world.home / "backups") == []


def test_many_are_decided_at_once_and_one_word_settles_what_contradicts_it(
    world: World, playlists: M3u8Collection
) -> None:
    other = M3u8Collection(world.home / "Other")
    for name in ("0.mp3", "1.flac"):
        label(world, name, Zone.GREEN)
    for collection in (playlists, other):
        write(world, collection)
    inbox = Inbox(world.library)
    for collection, zone in ((playlists, "PURPLE"), (other, "YELLOW")):
        for name in ("0.mp3", "1.flac"):
            move(collection.path, name, zone)
        inbox.note(collection, list(find_corrections(collection, world.library)))
    inbox.settle()
    held = inbox.held()
    assert len(held) == 4
    yellow = next(one for one in held if one.zone is Zone.YELLOW)
    assert (
        _decide(world, "accept", "1-100000000").returncode == _decide(world, "accept", "one").returncode == 2
    )
    assert _decide(world, "accept", f"{yellow.id},{yellow.id}").returncode == 0
    assert len(inbox.held()) == 2
    assert yellow.audio_id not in {one.audio_id for one in inbox.held()}
    assert _decide(world, "reject", "all").returncode == 0
    assert inbox.held() == []
    assert sorted(zone_of(world, name)[0] for name in ("0.mp3", "1.flac")) == [Zone.GREEN, Zone.YELLOW]


def _decide(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "moodzone_agent", "corrections", *arguments],
        cwd=ROOT,
        env={**os.environ, "MOODZONE_HOME": str(world.home)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_names_all_targets() -> None:
    assert ", ".join(TARGETS) == cli_shared.TARGET_NAMES


def test_sync_and_export_by_command(world: World, playlists: M3u8Collection) -> None:
    def run(*arguments: str) -> list[dict[str, object]]:
        done = subprocess.run(
            [sys.executable, "-m", "moodzone_agent", *arguments, "--json"],
            cwd=ROOT,
            env={**os.environ, "MOODZONE_HOME": str(world.home)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    label(world, "0.mp3", Zone.GREEN)
    label(world, "1.flac", Zone.GREEN)
    world.library.close()
    written = run("export", "m3u8", "--out", str(playlists.path))
    assert [(line["target"], line["field"], line["write"]) for line in written] == [
        ("m3u8", "list", "written")
    ] * 2
    move(playlists.path, "1.flac", "YELLOW")
    [found] = run("sync", "--dry-run")
    assert (found["found"], found["zone"]) == ("corrected", "YELLOW")
    assert len(run("sync", "m3u8")) == 1
    assert run("sync") == []
    assert {line["write"] for line in run("write", "--all", "--to", "m3u8")} == {"unchanged"}


def test_taken_back_while_it_rests_it_never_happened(world: World, playlists: M3u8Collection) -> None:
    inbox = Inbox(world.library)
    label(world, "0.mp3", Zone.GREEN)
    write(world, playlists)
    move(playlists.path, "0.mp3", "PURPLE")
    assert inbox.note(playlists, list(find_corrections(playlists, world.library))) == 1
    assert [one.zone for one in inbox.resting()] == [Zone.PURPLE]
    assert inbox.note(playlists, list(find_corrections(playlists, world.library))) == 0
    move(playlists.path, "0.mp3", "GREEN")
    inbox.note(playlists, list(find_corrections(playlists, world.library)))
    assert inbox.resting() == inbox.settle() == []
    move(playlists.path, "0.mp3", "PURPLE")  # and this time meant
    inbox.note(playlists, list(find_corrections(playlists, world.library)))
    assert [one.state for one in inbox.settle()] == ["taken"]


def test_a_place_that_agreed_with_a_label_has_no_say_when_the_label_changes(
    world: World, playlists: M3u8Collection
) -> None:
    label(world, "0.mp3", Zone.GREEN)
    write(world, playlists)
    move(playlists.path, "0.mp3", "PURPLE")
    label(world, "0.mp3", Zone.PURPLE)
    assert sync(world, playlists) == []
    label(world, "0.mp3", Zone.YELLOW)
    assert sync(world, playlists) == []
    assert zone_of(world, "0.mp3")[0] is Zone.YELLOW
    move(playlists.path, "0.mp3", "GREEN")  # said later
    assert [(one.zone, str(one.state)) for one in sync(world, playlists)] == [(Zone.GREEN, "taken")]


def test_a_label_given_while_a_correction_rests_overrules_it(world: World, playlists: M3u8Collection) -> None:
    inbox = Inbox(world.library)
    label(world, "0.mp3", Zone.GREEN)
    write(world, playlists)
    move(playlists.path, "0.mp3", "PURPLE")
    assert inbox.note(playlists, list(find_corrections(playlists, world.library))) == 1
    label(world, "0.mp3", Zone.YELLOW, source="cli")
    assert [(str(one.state), one.why) for one in inbox.settle()] == [("withdrawn", "said otherwise later")]
    assert zone_of(world, "0.mp3") == (Zone.YELLOW, "corrected by cli")


@pytest.mark.parametrize("is_written", [False, True])
def test_a_correction_older_than_a_label_or_not_is_held_unless_it_replaced_it(
    world: World, playlists: M3u8Collection, is_written: bool
) -> None:
    inbox = Inbox(world.library)
    write(world, playlists)
    inbox.note(playlists, list(find_corrections(playlists, world.library)))
    model, source = zone_of(world, "0.mp3")
    assert source is None
    said, moved = (zone for zone in Zone if zone is not model)
    label(world, "0.mp3", said, source="cli", time_ns=time.time_ns())
    if is_written:
        write(world, playlists)
    move(playlists.path, "0.mp3", moved)
    [found] = sync(world, playlists)
    assert (str(found.state), found.zone) == ("taken" if is_written else "held", moved)
    assert is_written or f"you said {said} elsewhere" in found.why
    assert zone_of(world, "0.mp3")[0] is (moved if is_written else said)


def test_of_two_programs_the_later_word_counts(world: World, playlists: M3u8Collection) -> None:
    other = M3u8Collection(world.home / "Other")
    clock = iter(range(1000, 2000, 10))
    inbox = Inbox(world.library, now=lambda: next(clock))
    label(world, "0.mp3", Zone.GREEN)
    for collection in (playlists, other):
        write(world, collection)
        inbox.note(collection, list(find_corrections(collection, world.library)))
    move(playlists.path, "0.mp3", "PURPLE")
    for collection in (playlists, other):  # the other one is looked at, and has nothing yet
        inbox.note(collection, list(find_corrections(collection, world.library)))
    move(other.path, "0.mp3", "YELLOW")
    inbox.note(other, list(find_corrections(other, world.library)))
    assert {one.zone: str(one.state) for one in inbox.settle()} == {
        Zone.PURPLE: "withdrawn",
        Zone.YELLOW: "taken",
    }
    assert zone_of(world, "0.mp3")[0] is Zone.YELLOW


def test_accept_reject_and_take_back(world: World, playlists: M3u8Collection) -> None:
    inbox = Inbox(world.library)
    for zone in (Zone.GREEN, Zone.PURPLE):
        label(world, "0.mp3", zone)
        write(world, playlists)
    move(playlists.path, "0.mp3", "GREEN")
    [echo] = sync(world, playlists)
    inbox.reject(echo.id)
    assert sync(world, playlists) == []
    assert write(world, playlists)["0.mp3"] == "written"
    assert lists(playlists.path)["PURPLE"] == ["0.mp3"]
    move(playlists.path, "0.mp3", "GREEN")
    [echo] = sync(world, playlists)
    inbox.accept(echo.id)
    assert zone_of(world, "0.mp3") == (Zone.GREEN, "corrected by m3u8")
    inbox.take_back(echo.id)
    assert zone_of(world, "0.mp3") == (Zone.PURPLE, "corrected by test")
    with pytest.raises(UsageError, match="rejected already"):
        inbox.accept(echo.id)
    with pytest.raises(UsageError, match="no correction 999"):
        inbox.accept(999)


@pytest.mark.parametrize(
    ("count", "by_hand", "why"),
    [
        (26, 0, "26 tracks became PURPLE at once"),
        (25, 0, ""),
        (8, 6, "6 of them contradict what you said by hand"),
        (8, 5, ""),
    ],
)
def test_a_batch_too_large_to_be_meant_is_held(world: World, count: int, by_hand: int, why: str) -> None:
    collection = M3u8Collection(world.home / "Lists")
    tracks = [world.music / f"{number}.mp3" for number in range(count)]
    for number, track in enumerate(tracks):
        world.library.put_file(FileRecord(track, Stamp(1, 1, 1), FileStatus.OK, audio_id=f"id{number}"))
        source = "cli" if number < by_hand else "m3u8"
        world.library.add_label(Label(f"id{number}", Zone.GREEN, LabelOrigin.CORRECTED, source, 0))
    with world.library.transaction():
        for number in range(2000):  # so many that the day's share is not reached
            world.library.put_analysis(analysis(f"other{number}"))
            world.library.put_estimate(f"other{number}", ESTIMATE, np.zeros((1, 2)))
    with world.journal.start("m3u8") as run:
        wants = [Want(track, Mark(Zone.GREEN)) for track in tracks]
        list(write_zones(wants, collection, world.library, run, world.home / "backups"))
    green = collection.path / "MoodZone GREEN.m3u8"
    green.rename(collection.path / "MoodZone PURPLE.m3u8")
    inbox = Inbox(world.library)
    inbox.note(collection, list(find_corrections(collection, world.library)))
    settled = inbox.settle()
    assert {(str(one.state), one.why) for one in settled} == {("held" if why else "taken", why)}
    labels = {world.library.label(f"id{number}").zone for number in range(count)}  # type: ignore[union-attr]
    assert labels == {Zone.GREEN if why else Zone.PURPLE}


def test_a_day_of_many_corrected_tracks_is_held(world: World) -> None:
    collection = M3u8Collection(world.home / "Lists")
    tracks = [world.music / f"{number}.mp3" for number in range(7)]
    for number, track in enumerate(tracks):
        world.library.put_file(FileRecord(track, Stamp(1, 1, 1), FileStatus.OK, audio_id=f"id{number}"))
        world.library.add_label(Label(f"id{number}", Zone.GREEN, LabelOrigin.CORRECTED, "test", 0))
    with world.journal.start("m3u8") as run:
        wants = [Want(track, Mark(Zone.GREEN)) for track in tracks]
        list(write_zones(wants, collection, world.library, run, world.home / "backups"))
    for number in range(7):
        for zone in ("PURPLE", "YELLOW"):  # a change of mind is no second track
            move(collection.path, f"{number}.mp3", zone)
            assert sync(world, collection)[-1].state == ("taken" if number < 5 else "held")


def test_a_token_that_vanishes_is_written_once_more_and_then_left_alone(
    world: World, originals: Path
) -> None:
    path = world.add(originals / "1.flac")
    world.scan()
    world.write()
    tags = open_collection("tags", world.music, world.library, Settings())

    def remove_token() -> list[Path]:
        file = mutagen.File(path)
        file["description"] = ["8A - 7"]
        file.save()
        world.scan()
        return settle_vanished(list(find_corrections(tags, world.library)), world.library)

    assert remove_token() == [path]
    assert world.write()["1.flac"].status is WriteStatus.WRITTEN
    assert remove_token() == []
    assert world.write()["1.flac"].status is WriteStatus.SKIPPED
    assert "left alone" in world.write()["1.flac"].reason
    assert world.library.label(str(world.library.file(path).audio_id)) is None  # type: ignore[union-attr]
    assert world.write(again=True)["1.flac"].status is WriteStatus.WRITTEN


def test_tokens_that_vanish_from_many_files_at_once_come_back(world: World, originals: Path) -> None:
    paths = [world.add(originals / "1.flac", f"{number}.flac") for number in range(5)]
    world.scan()
    world.write()
    tags = open_collection("tags", world.music, world.library, Settings())
    for _ in range(2):
        for path in paths:
            file = mutagen.File(path)
            file["description"] = ["8A - 7"]
            file.save()
        world.scan()
        assert sorted(settle_vanished(list(find_corrections(tags, world.library)), world.library)) == sorted(
            paths
        )
        assert set(statuses(world)) == {"written"}


def statuses(world: World) -> list[str]:
    return [str(result.status) for result in world.write().values()]


@pytest.mark.parametrize("count", [30, pytest.param(500, marks=pytest.mark.soak)])
def test_old_comments_that_a_program_writes_back_when_it_closes_are_echoes(
    world: World, originals: Path, count: int
) -> None:
    paths = [world.add(originals / "1.flac", f"{number}.flac") for number in range(count)]
    world.scan()
    tags = open_collection("tags", world.music, world.library, Settings())
    comments = {}
    for zone in (Zone.YELLOW, Zone.GREEN):
        label(world, "0.flac", zone)
        world.write()
        comments[zone] = read_state(paths[0]).text
    for path in paths:  # as a program does that kept the old comments in its memory
        file = mutagen.File(path)
        file["description"] = [comments[Zone.YELLOW]]
        file.save()
    world.scan()
    assert {str(one.state) for one in sync(world, tags)} == {"held"}
    assert [one.verdict for one in Inbox(world.library).held()] == ["echo"] * count
    assert zone_of(world, "0.flac")[0] is Zone.GREEN
    assert {result.status for result in world.write().values()} == {WriteStatus.KEPT}
    file = mutagen.File(paths[0])
    file["description"] = ["8A - 7 #yellow"]  # in another spelling than ours: the user's own
    file.save()
    assert [str(one.state) for one in sync(world, tags) if one.place.track == paths[0]] == ["taken"]


def test_an_old_copy_of_a_file_is_no_correction(world: World, originals: Path) -> None:
    path = world.add(originals / "1.flac")
    world.scan()
    tags = open_collection("tags", world.music, world.library, Settings())
    label(world, "1.flac", Zone.YELLOW)
    world.write()
    old = path.read_bytes()
    label(world, "1.flac", Zone.GREEN)
    world.write()
    path.write_bytes(old)
    world.scan()
    assert sync(world, tags) == []
    assert world.write()["1.flac"].status is WriteStatus.WRITTEN
    assert read_state(path).mark == Mark(Zone.GREEN, MarkState.LABELLED)


def test_a_correction_while_another_zone_waits_to_be_written_wins(world: World, originals: Path) -> None:
    path = world.add(originals / "1.flac")
    world.scan()
    tags = open_collection("tags", world.music, world.library, Settings())
    label(world, "1.flac", Zone.GREEN)
    world.write()
    assert sync(world, tags) == []
    label(world, "1.flac", Zone.YELLOW)  # to be written
    file = mutagen.File(path)
    file["description"] = ["#purple"]
    file.save()
    world.scan()
    assert world.write()["1.flac"].status is WriteStatus.KEPT
    assert [str(one.state) for one in sync(world, tags)] == ["taken"]
    assert world.write()["1.flac"].status is WriteStatus.WRITTEN
    assert (read_state(path).mark, read_state(path).text) == (
        Mark(Zone.PURPLE, MarkState.LABELLED),
        "#purple",
    )


def test_a_change_in_a_place_that_is_only_read_is_a_correction(world: World, originals: Path) -> None:
    path = world.add(originals / "1.flac")
    world.scan()
    label(world, "1.flac", Zone.YELLOW)
    world.write()
    folder = world.home / "VirtualDJ"
    (folder / "MyLists").mkdir(parents=True)
    colours = VirtualDjSettings().colours
    collection = VirtualDjCollection(folder, this_machine(world.library), colours)

    def database(colour: str, comment: str) -> None:
        (folder / "database.xml").write_text(
            f'<VirtualDJ_Database><Song FilePath={quoteattr(str(path))}><Infos UserColor="{colour}"/>'
            f"<Comment>{comment}</Comment></Song></VirtualDJ_Database>"
        )

    database(colours[Zone.PURPLE], "#PURPLE since ever")
    assert sync(world, collection) == []  # what stood there before is never a label
    assert sync(world, collection) == []
    database(colours[Zone.PURPLE], read_state(path).text)  # the program has read our token out of the file
    assert sync(world, collection) == []
    database(colours[Zone.GREEN], read_state(path).text)
    assert [str(one.state) for one in sync(world, collection)] == ["taken"]
    assert zone_of(world, "1.flac") == (Zone.GREEN, "corrected by virtualdj")
    world.write()
    assert sync(world, collection) == []  # an old token of ours in its memory says nothing
    database(colours[Zone.GREEN], "my #purple words")
    assert [one.zone for one in sync(world, collection)] == [Zone.PURPLE]
    database(colours[Zone.GREEN], "my #purple thoughts")
    label(world, "1.flac", Zone.YELLOW, source="cli")
    assert sync(world, collection) == []
    database(colours[Zone.PURPLE], "my #purple thoughts")  # the colour of the beginning, but put there again
    assert [one.zone for one in sync(world, collection)] == [Zone.PURPLE]
