"""Serato's colours and crates as MoodZone writes them, read by a real Mixxx, which has a reader of its own for both.

Colours are 0xRRGGBB as Serato shows them. Mixxx takes them from a file in its scan, the cues not before it loads it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest
from mutagen.aiff import AIFF
from mutagen.flac import FLAC
from mutagen.id3 import GEOB
from mutagen.mp3 import MP3
from mutagen.mp4 import MP4

from exporters.base import Machine
from exporters.journal import Journal
from exporters.serato import tlv
from exporters.serato.collection import SeratoCollection, SeratoSettings
from exporters.serato.colour import read_colour, write_colour
from exporters.serato.crate import Crate, file_name
from exporters.serato.palette import SeratoColour
from moodzone_agent.types import Mark, MarkState, Zone
from tests.audio_files import write_tone
from tests.oracle.mixxx import Cue, Mixxx, Track
from tests.oracle.writing import write_marks

pytestmark = pytest.mark.oracle

TONES: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "id3v2.3": (".mp3", {"id3v2_version": "3"}),
    "id3v2.4": (".mp3", {"id3v2_version": "4"}),
    "aiff": (".aiff", {"write_id3v2": "1"}),
    "flac": (".flac", {}),
    "m4a": (".m4a", {}),
}
METADATA: Final = {"title": "Ton", "artist": "Ärzte", "comment": "8A - 6", "genre": "House"}
PAYLOADS: Final = ("mp3", "aiff", "flac", "m4a")
"""Suffixes of the files beside the checkout that carry genuine payloads."""
COLOURS: Final = (*(colour.shown for colour in SeratoColour), 0x090909, 0x333333)
"""The picker's, and the two that are stored in a way of their own."""
LATER: Final = SeratoColour.PURPLE.shown
CRATED: Final = (".mp3", ".flac", ".m4a", ".aiff")

Hex: Final = "{:06X}".format


@dataclass(frozen=True, slots=True)
class Seen:
    """What Mixxx made of the music."""

    music: Path
    tracks: dict[Path, Track]

    def __call__(self, name: str) -> Track:
        return self.tracks[self.music / name]


def _scanned(folder: Path, originals: dict[str, Path]) -> Seen:
    """Copies of each file as it is, with each colour, with one after another, and with none again."""
    music = folder / "music"
    music.mkdir()
    steps: dict[str, list[int | None]] = {"plain": []}
    steps |= {Hex(colour): [colour] for colour in COLOURS}
    steps |= {"changed": [COLOURS[0], LATER], "undone": [COLOURS[0], None]}
    for kind, original in originals.items():
        for name, colours in steps.items():
            path = Path(shutil.copyfile(original, music / f"{kind} {name}{original.suffix}"))
            for colour in colours:
                write_colour(path, colour)
    mixxx = Mixxx(folder / "mixxx", music)
    mixxx.scan(len(list(music.iterdir())))
    return Seen(music, mixxx.tracks())


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Files that Serato never saw."""
    folder = tmp_path_factory.mktemp("tones")
    originals = {
        kind: write_tone(
            folder / f"{kind}{suffix}", seconds=0.2, rate=22050, metadata=METADATA, options=options
        )
        for kind, (suffix, options) in TONES.items()
    }
    return _scanned(folder, originals)


@pytest.fixture(scope="module")
def genuine(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Files with payloads that Serato wrote."""
    folder = shared / "fixtures" / "audio" / "serato_payloads"
    originals = {suffix: folder / f"track.{suffix}" for suffix in PAYLOADS}
    return _scanned(tmp_path_factory.mktemp("genuine"), originals)


@pytest.mark.parametrize("colour", COLOURS, ids=Hex)
@pytest.mark.parametrize("kind", TONES)
def test_new_colour(tones: Seen, kind: str, colour: int) -> None:
    """The colour of a file that had no payloads; the other columns are as they were."""
    suffix = TONES[kind][0]
    plain = tones(f"{kind} plain{suffix}")
    assert plain.color is None
    assert tones(f"{kind} {Hex(colour)}{suffix}") == replace(plain, color=colour)


@pytest.mark.parametrize("kind", TONES)
def test_new_colour_changed(tones: Seen, kind: str) -> None:
    suffix = TONES[kind][0]
    plain = tones(f"{kind} plain{suffix}")
    assert tones(f"{kind} changed{suffix}") == replace(plain, color=LATER)
    assert tones(f"{kind} undone{suffix}") == plain


@pytest.mark.shared
@pytest.mark.parametrize("suffix", PAYLOADS)
def test_read_colour(genuine: Seen, suffix: str) -> None:
    """Mixxx and MoodZone read the same colour from what Serato wrote."""
    name = f"{suffix} plain.{suffix}"
    assert genuine(name).color == read_colour(genuine.music / name).colour
    assert genuine(name).color is not None


@pytest.mark.shared
@pytest.mark.parametrize("colour", COLOURS, ids=Hex)
@pytest.mark.parametrize("suffix", PAYLOADS)
def test_colour_in_payloads(genuine: Seen, suffix: str, colour: int) -> None:
    """The colour of a file with Serato's payloads; the other columns are as they were."""
    plain = genuine(f"{suffix} plain.{suffix}")
    assert genuine(f"{suffix} {Hex(colour)}.{suffix}") == replace(plain, color=colour)


@pytest.mark.shared
@pytest.mark.parametrize("suffix", PAYLOADS)
def test_colour_in_payloads_changed(genuine: Seen, suffix: str) -> None:
    plain = genuine(f"{suffix} plain.{suffix}")
    assert genuine(f"{suffix} changed.{suffix}") == replace(plain, color=LATER)
    assert genuine(f"{suffix} undone.{suffix}") == replace(plain, color=None)


def _put_geob(file: MP3 | AIFF, payloads: dict[str, bytes]) -> None:
    if file.tags is None:
        file.add_tags()
    for name, data in payloads.items():
        file.tags.add(GEOB(encoding=0, mime="application/octet-stream", filename="", desc=name, data=data))
    file.save(v2_version=3)


def _put_vorbis(file: FLAC, payloads: dict[str, bytes]) -> None:
    file["SERATO_MARKERS_V2"] = payloads["Serato Markers2"].decode()
    file.save()


def _put_mp4(file: MP4, payloads: dict[str, bytes]) -> None:
    for name, item in (("Serato Markers2", "markersv2"), ("Serato Markers_", "markers")):
        file[f"----:com.serato.dj:{item}"] = [payloads[name]]
    file.save()


CUED: Final[dict[str, tuple[str, Callable[..., Any], Callable[..., None]]]] = {
    "id3/hotcue-colors": (".mp3", MP3, _put_geob),
    "id3/hotcues-with-names": (".mp3", MP3, _put_geob),
    "id3/saved-loops": (".mp3", MP3, _put_geob),
    "id3/flips": (".mp3", MP3, _put_geob),
    "aif/hotcues-and-loops": (".aiff", AIFF, _put_geob),
    "flac/hotcues-and-loops": (".flac", FLAC, _put_vorbis),
    "mp4/hotcues-and-loops": (".m4a", MP4, _put_mp4),
}
"""Genuine payloads with cues, and how they get into a file: by mutagen, not by MoodZone."""


@pytest.fixture(scope="module")
def cues(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[Cue]]]:
    """What Mixxx made of the cues in a file as it is, and in one whose colour was written."""
    folder = tmp_path_factory.mktemp("cues")
    music = folder / "music"
    music.mkdir()
    mixxx = Mixxx(folder / "mixxx", music)
    found = {}
    for number, (name, (suffix, kind, put)) in enumerate(CUED.items(), start=1):
        payloads = {
            path.stem: path.read_bytes()
            for path in (shared / "fixtures" / "dj" / "serato" / "geob_payloads" / name).glob(
                "Serato Markers*"
            )
        }
        plain = write_tone(music / f"{number} plain{suffix}", seconds=2)
        put(kind(plain), payloads)
        coloured = Path(shutil.copyfile(plain, music / f"{number} coloured{suffix}"))
        write_colour(coloured, LATER)
        mixxx.scan(2 * number, plain, coloured)
        assert mixxx.tracks()[coloured].color == LATER
        found[name] = [mixxx.cues(plain), mixxx.cues(coloured)]
    return found


@pytest.mark.shared
@pytest.mark.parametrize("name", CUED)
def test_cues(cues: dict[str, list[list[Cue]]], name: str) -> None:
    """Cues and loops stay where they were, with their colours and names."""
    before, after = cues[name]
    assert before
    assert after == before


@pytest.mark.shared
def test_crates(shared: Path, tmp_path: Path) -> None:
    """Crates that MoodZone made and changed hold what they should, in their order; all others are as they were.

    In the home's music folder paths start at the root of the file system. Mixxx knows of a crate's tracks only
    those that Serato's database knows.
    """
    (tmp_path / "music").mkdir()
    mixxx = Mixxx(tmp_path / "mixxx", tmp_path / "music")
    serato = mixxx.home / "Music" / "_Serato_"
    shutil.copytree(
        shared / "fixtures" / "dj" / "serato" / "usb_drive" / "_Serato_",
        serato,
        copy_function=shutil.copyfile,
    )
    before = mixxx.serato_crates(3)
    first, second, third, _ = before["database V2"]
    ours = [str(third)[1:], str(first)[1:]]
    crates = serato / "Subcrates"
    (crates / file_name("MoodZone")).write_bytes(Crate.new().dump())
    (crates / file_name("MoodZone", "GREEN")).write_bytes(Crate.new().with_tracks(ours).dump())
    purple = Crate.new().with_tracks(ours).added([str(second)[1:]]).removed(ours[:1])
    (crates / file_name("MoodZone", "PURPLE")).write_bytes(purple.dump())
    house = crates / "French House.crate"
    house.write_bytes(Crate.parse(house.read_bytes()).added([str(third)[1:]]).dump())

    after = mixxx.serato_crates(6)

    assert before["French House"]
    assert after == {
        **before,
        "MoodZone": [],
        "MoodZone%%GREEN": [third, first],
        "MoodZone%%PURPLE": [first, second],
        "French House": [*before["French House"], third],
    }


def test_collection(tmp_path: Path) -> None:
    """Colours and crates that the whole exporter made in the home's music folder, and then changed."""
    music = tmp_path / "Music & more"
    music.mkdir()
    mixxx = Mixxx(tmp_path / "mixxx", music)
    tracks = [write_tone(music / f"Ärger {suffix[1:]}{suffix}", seconds=0.2) for suffix in CRATED]
    serato = mixxx.home / "Music" / "_Serato_"
    serato.mkdir(parents=True)
    known = (tlv.nested("otrk", tlv.text("pfil", str(track)[1:])) for track in tracks)
    (serato / "database V2").write_bytes(
        tlv.dump([tlv.text("vrsn", "2.0/Serato Scratch LIVE Database"), *known])
    )
    machine = Machine(mixxx.home, mixxx.home / "Music", mixxx.home, (Path("/"),), lambda: tracks)
    colours = {zone: int(colour, 16) for zone, colour in SeratoSettings().colours.items()}
    yellow, green, purple, unsure = tracks
    marks = dict(zip(tracks, [*map(Mark, Zone), Mark(Zone.GREEN, MarkState.UNSURE)], strict=True))
    database = {"database V2": tracks}
    journal = Journal(tmp_path / "journal")

    changes = write_marks(SeratoCollection(serato, machine, SeratoSettings()), marks, {}, journal)
    crates = mixxx.serato_crates(5)

    assert crates == database | {
        "MoodZone%%YELLOW": [yellow],
        "MoodZone%%GREEN": [green],
        "MoodZone%%PURPLE": [purple],
        "MoodZone%%UNSURE": [unsure],
    }
    mixxx.scan(4)
    assert {path: track.color for path, track in mixxx.tracks().items()} == {
        path: colours[mark.zone] for path, mark in marks.items()
    }

    later = {yellow: Mark(Zone.PURPLE), green: None}
    write_marks(SeratoCollection(serato, machine, SeratoSettings()), later, changes, journal)

    assert mixxx.serato_crates(3) == database | {
        "MoodZone%%PURPLE": [purple, yellow],
        "MoodZone%%UNSURE": [unsure],
    }
    fresh = Mixxx(tmp_path / "fresh", music)
    fresh.scan(4)
    found = fresh.tracks()
    assert found[yellow].color == colours[Zone.PURPLE]
    assert found[green].color is None
