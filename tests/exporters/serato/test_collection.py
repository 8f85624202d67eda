"""Serato's folder of a drive: what goes there besides what every collection keeps to."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from exporters.base import Change, Field, Machine, Place, Want, WriteStatus
from exporters.journal import Journal
from exporters.serato import tlv
from exporters.serato.collection import TARGET, SeratoCollection, SeratoSettings
from exporters.serato.colour import read_colour, write_colour
from exporters.serato.crate import Crate
from exporters.serato.crate_order import CrateOrder
from exporters.serato.palette import SeratoColour
from moodzone_agent.errors import CollectionError
from moodzone_agent.types import Mark, MarkState, Zone
from tests.audio_files import write_tone

GREEN, PURPLE = Mark(Zone.GREEN), Mark(Zone.PURPLE)


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    drive = tmp_path / "drive"
    (drive / "_Serato_" / "Subcrates").mkdir(parents=True)
    (drive / "Music").mkdir()
    write_tone(drive / "Music" / "a.mp3", seconds=0.2)
    write_tone(drive / "Music" / "b.ogg", seconds=0.2)
    return drive


def machine(drive: Path) -> Machine:
    tracks = sorted((drive / "Music").iterdir())
    return Machine(drive.parent, drive.parent / "Music", drive.parent, (Path("/"), drive), lambda: tracks)


def collection(drive: Path, settings: SeratoSettings | None = None) -> SeratoCollection:
    return SeratoCollection(drive / "_Serato_", machine(drive), settings or SeratoSettings())


def write(drive: Path, *wants: Want, settings: SeratoSettings | None = None) -> dict[Place, Change]:
    serato = collection(drive, settings)
    with Journal(drive.parent / "journal").start("serato") as run:
        done = list(serato.write(list(serato.preview(wants)), run, drive.parent / "backups"))
    return {change.place: change for change in done}


def crates(drive: Path) -> dict[str, tuple[str, ...]]:
    folder = drive / "_Serato_" / "Subcrates"
    return {path.stem: Crate.parse(path.read_bytes()).tracks for path in sorted(folder.iterdir())}


def test_crates_name_tracks_from_the_root_of_their_drive(drive: Path) -> None:
    track = drive / "Music" / "a.mp3"
    done = write(
        drive, Want(track, PURPLE), Want(drive / "Music" / "b.ogg", Mark(Zone.GREEN, MarkState.UNSURE))
    )
    assert crates(drive) == {"MoodZone%%PURPLE": ("Music/a.mp3",), "MoodZone%%UNSURE": ("Music/b.ogg",)}
    assert f"{read_colour(track).colour:06X}" == SeratoColour.VIOLET
    ogg = done[Place(drive / "Music" / "b.ogg", Field.COLOUR)]
    assert (ogg.status, ogg.reason) == (WriteStatus.SKIPPED, "Serato keeps no colour in files of this format")


def test_it_is_found_on_the_drives_and_in_the_music_folder(drive: Path) -> None:
    (drive.parent / "Music" / "_Serato_").mkdir(parents=True)
    found = TARGET.find(machine(drive), SeratoSettings())
    assert {one.path for one in found} == {drive / "_Serato_", drive.parent / "Music" / "_Serato_"}
    on_drive = next(one for one in found if one.path.is_relative_to(drive))
    assert on_drive.holds(drive / "Music" / "a.mp3")
    assert not on_drive.holds(drive.parent / "Music" / "c.mp3")
    assert TARGET.open(drive, machine(drive), SeratoSettings()).path == drive / "_Serato_"


def test_the_order_of_crates_is_kept_where_there_is_one(drive: Path) -> None:
    order = drive / "_Serato_" / "neworder.pref"
    write(drive, Want(drive / "Music" / "a.mp3", PURPLE))
    assert not order.exists()
    order.write_bytes(CrateOrder.new().added("Mine").dump())
    before = order.read_bytes()
    write(drive, Want(drive / "Music" / "b.ogg", GREEN))
    assert CrateOrder.parse(order.read_bytes()).crates == (
        "Mine",
        "MoodZone",
        "MoodZone%%GREEN",
        "MoodZone%%PURPLE",
    )
    ours = {Field.LIST: frozenset({"PURPLE", "GREEN"})}
    write(drive, *(Want(drive / "Music" / name, None, ours) for name in ("a.mp3", "b.ogg")))
    assert order.read_bytes() == before
    assert crates(drive) == {}


def test_a_damaged_order_is_refused_before_anything_is_written(drive: Path) -> None:
    (drive / "_Serato_" / "neworder.pref").write_bytes(b"\0[\0b")
    track = drive / "Music" / "a.mp3"
    before = track.read_bytes()
    with pytest.raises(CollectionError, match=r"neworder\.pref is damaged"):
        write(drive, Want(track, PURPLE))
    assert track.read_bytes() == before
    assert crates(drive) == {}


def test_the_database_tells_a_colour_that_no_file_tells(drive: Path) -> None:
    tracks = [
        tlv.nested("otrk", tlv.text("pfil", f"Music/{name}"), tlv.number("ulbl", 0x99FF99))
        for name in ("a.mp3", "b.ogg", "gone.mp3")
    ]
    database = tlv.dump([tlv.text("vrsn", "2.0/Serato Scratch LIVE Database"), *tracks])
    (drive / "_Serato_" / "database V2").write_bytes(database)
    write_colour(drive / "Music" / "a.mp3", SeratoColour.BLUE.shown)
    found = {sight.place.track.name: (sight.value, sight.marks) for sight in collection(drive).read()}
    assert found == {
        "a.mp3": ("333399", ()),  # the file before the database
        "b.ogg": ("339933", (GREEN,)),
        "gone.mp3": ("339933", (GREEN,)),
    }


def test_colours_follow_the_settings(drive: Path) -> None:
    track = drive / "Music" / "a.mp3"
    settings = SeratoSettings(purple=SeratoColour.MAGENTA)
    write(drive, Want(track, PURPLE), settings=settings)
    assert f"{read_colour(track).colour:06X}" == "993399"
    [sight] = [one for one in collection(drive, settings).read() if one.place == Place(track, Field.COLOUR)]
    assert sight.marks == (PURPLE,)


@pytest.mark.shared
def test_a_real_folder_is_read_and_its_own_crates_stay(shared: Path, tmp_path: Path) -> None:
    drive = tmp_path / "drive"
    shutil.copytree(shared / "fixtures" / "dj" / "serato" / "usb_drive", drive)
    (drive / "Music").mkdir()
    for path in drive.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    track = write_tone(drive / "Music" / "a.mp3", seconds=0.2)
    before = {path: path.read_bytes() for path in drive.rglob("*") if path.is_file()}
    serato = collection(drive)
    assert serato.version() == "2.0/Serato Scratch LIVE Database"
    assert serato.census().tracks > 0
    write(drive, Want(track, GREEN))
    written = {path for path in before if path.read_bytes() != before[path]}
    assert written == {track}
    ours = {Field.LIST: frozenset({"GREEN"}), Field.COLOUR: frozenset({"339933"})}
    write(drive, Want(track, None, ours))
    assert {path: path.read_bytes() for path in drive.rglob("*") if path.is_file()} == before
