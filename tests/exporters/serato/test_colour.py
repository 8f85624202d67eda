"""The track's colour in audio files."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import mutagen
import mutagen.id3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporters.atomic import edit_file
from exporters.journal import Journal
from exporters.serato import markers, markers2
from exporters.serato.colour import SeratoColourState, read_colour, write_colour
from exporters.serato.envelope import Envelope
from exporters.serato.markers2 import Markers2
from exporters.serato.palette import SeratoColour
from exporters.tags.edit import apply_mark, encoded_audio_digest
from exporters.tags.payloads import MARKERS, MARKERS2, read_payloads, write_payloads
from exporters.undo import Outcome, undo
from moodzone_agent.errors import TagError, UsageError
from moodzone_agent.types import Mark, Zone
from tests.exporters.tags.conftest import FORMATS, CopyTone

GREEN = SeratoColour.GREEN.shown
HOLDERS = [name for name in FORMATS if not name.endswith(("ogg", "opus"))]
TONES = [prefix + name for name in HOLDERS for prefix in ("", "bare-")]
REAL = ("track.mp3", "track.aiff", "track.flac", "track.m4a")
every_tone = pytest.mark.parametrize("name", TONES)
every_real = pytest.mark.parametrize("name", REAL)


def tags(path: Path) -> dict[str, bytes | str]:
    """All that mutagen reads, values as they are."""
    found: dict[str, bytes | str] = {}
    for key, value in (mutagen.File(path).tags or {}).items():
        if isinstance(value, mutagen.id3.Frame):
            found[key] = bytes(value.data) if value.FrameID == "GEOB" else repr(value)
        else:
            found[key] = b"".join(bytes(part) for part in value) if "com.serato" in key else str(value)
    return found


def raw(path: Path) -> dict[str, bytes]:
    """Serato's payloads without the text around them."""
    payloads = read_payloads(path)
    assert payloads is not None
    return {
        name: Envelope.parse(value, name).payload if payloads.is_text else value
        for name, value in payloads.values.items()
    }


@pytest.fixture
def real(shared: Path, tmp_path: Path, name: str) -> Path:
    """A copy of a genuine file."""
    original = shared / "fixtures" / "audio" / "serato_payloads" / name
    return Path(shutil.copyfile(original, tmp_path / name))


@pytest.mark.shared
@every_real
class TestGenuine:
    """Files with payloads of Serato's own."""

    def test_the_colour_is_read(self, name: str, real: Path) -> None:
        source = MARKERS2 if name == "track.flac" else MARKERS
        colour = GREEN if name in ("track.mp3", "track.aiff") else SeratoColour.RED.shown
        assert read_colour(real) == SeratoColourState(colour, source, is_supported=True)

    @pytest.mark.parametrize("colour", [SeratoColour.PURPLE.shown, 0x090909, None])
    def test_all_else_stays_byte_for_byte(self, name: str, colour: int | None, real: Path) -> None:
        before, audio, old_tags, old = real.read_bytes(), encoded_audio_digest(real), tags(real), raw(real)
        former = read_colour(real).colour
        assert write_colour(real, colour).colour == colour
        assert encoded_audio_digest(real) == audio
        assert len(real.read_bytes()) == len(before)
        new_tags, new = tags(real), raw(real)
        changed = {key for key, value in new_tags.items() if value != old_tags[key]}
        assert list(new_tags) == list(old_tags)
        assert len(changed) == len(old)
        assert all("arkers" in key for key in changed)
        entries = {entry for entry in Markers2.parse(old[MARKERS2]).entries if entry.name != b"COLOR"}
        assert entries < set(Markers2.parse(new[MARKERS2]).entries)
        if MARKERS in old:
            assert markers.track_colour(new[MARKERS]) == markers2.track_colour(new[MARKERS2])
            assert new[MARKERS][:-5] == old[MARKERS][:-5]
        write_colour(real, former)
        assert real.read_bytes() == before

    def test_no_colour_then_some_then_none_gives_the_same_bytes(self, name: str, real: Path) -> None:
        write_colour(real, None)
        before = real.read_bytes()
        assert read_colour(real).colour is None
        for colour in SeratoColour:
            assert write_colour(real, colour.shown).colour == colour.shown
        write_colour(real, None)
        assert real.read_bytes() == before

    def test_the_journal_undoes_it(self, name: str, real: Path, tmp_path: Path) -> None:
        before = real.read_bytes()
        journal = Journal(tmp_path / "journal")
        with journal.start("write") as run:
            assert edit_file(real, lambda copy: write_colour(copy, SeratoColour.BLUE.shown), run)
        assert real.read_bytes() != before
        assert journal.size < 10_000
        results = undo(journal, take_out=lambda copy, entry: None)
        assert [result.outcome for result in results] == [Outcome.RESTORED]
        assert real.read_bytes() == before

    def test_mark_and_colour(self, name: str, real: Path) -> None:
        write_colour(real, None)
        before = real.read_bytes()
        apply_mark(real, Mark(Zone.GREEN))
        write_colour(real, GREEN)
        apply_mark(real, None)
        write_colour(real, None)
        assert real.read_bytes() == before


@pytest.mark.shared
@pytest.mark.parametrize("case", ["hotcues-and-loops", "analyzed"])
@pytest.mark.parametrize("kind", ["flac", "mp4", "aif"])
def test_genuine_payloads_in_generated_files(
    kind: str, case: str, payloads: dict[str, dict[str, bytes]], tone: CopyTone
) -> None:
    path = tone({"flac": "tone.flac", "mp4": "tone.m4a", "aif": "tone.aiff"}[kind])
    found = {name: payloads[kind].get(f"{case}/{name}") for name in (MARKERS2, MARKERS)}
    write_payloads(path, {name: value for name, value in found.items() if value is not None})
    before = path.read_bytes()
    assert read_colour(path).colour is None
    assert write_colour(path, GREEN).colour == GREEN
    write_colour(path, None)
    assert path.read_bytes() == before


@every_tone
def test_a_file_without_serato_data(name: str, tone: CopyTone) -> None:
    path = tone(name)
    before, audio, rest = path.read_bytes(), encoded_audio_digest(path), tags(path)
    assert read_colour(path) == SeratoColourState(None, None, is_supported=True)
    write_colour(path, None)
    assert path.read_bytes() == before
    for colour in SeratoColour:
        state = write_colour(path, colour.shown)
        assert state == SeratoColourState(colour.shown, MARKERS2, is_supported=True)
    assert tags(path).items() >= rest.items()
    assert encoded_audio_digest(path) == audio
    assert set(raw(path)) == {MARKERS2}
    coloured = path.read_bytes()
    write_colour(path, SeratoColour.PURPLE.shown)
    assert path.read_bytes() == coloured
    write_colour(path, None)
    assert path.read_bytes() == before


@every_tone
def test_mark_then_colour_and_back(name: str, tone: CopyTone) -> None:
    path = tone(name)
    before = path.read_bytes()
    apply_mark(path, Mark(Zone.GREEN))
    write_colour(path, GREEN)
    assert apply_mark(path, Mark(Zone.GREEN)).mark == Mark(Zone.GREEN)
    write_colour(path, None)
    apply_mark(path, None)
    assert path.read_bytes() == before


def test_a_payload_that_serato_changed_since_stays(tone: CopyTone) -> None:
    path = tone("tone.mp3")
    write_colour(path, GREEN)
    ours = Markers2.parse(raw(path)[MARKERS2])
    theirs = Markers2(ours.entries[::-1], ours.rest, ours.style, ours.tail, ours.size).dump()
    write_payloads(path, {MARKERS2: theirs})
    write_colour(path, None)
    assert raw(path) == {MARKERS2: markers2.with_track_colour(theirs, 0xFFFFFF)}


def test_a_payload_without_the_entry_gets_one(tone: CopyTone) -> None:
    path = tone("tone.mp3")
    bare = markers2.with_track_colour(Markers2.new(0, 470).dump(), None)
    write_payloads(path, {MARKERS2: bare})
    before = path.read_bytes()
    write_colour(path, None)
    assert path.read_bytes() == before
    assert read_colour(path) == SeratoColourState(None, None, is_supported=True)
    assert write_colour(path, GREEN).source == MARKERS2
    assert len(path.read_bytes()) == len(before)
    assert Markers2.parse(raw(path)[MARKERS2]).entries[0].name == b"COLOR"


@pytest.mark.parametrize("name", ["tone.ogg", "tone.opus"])
def test_ogg_is_left_alone(name: str, tone: CopyTone) -> None:
    path = tone(name)
    before = path.read_bytes()
    nothing = SeratoColourState(None, None, is_supported=False)
    assert read_colour(path) == nothing
    assert write_colour(path, None) == nothing
    with pytest.raises(TagError, match="Ogg"):
        write_colour(path, GREEN)
    assert path.read_bytes() == before


def test_what_serato_cannot_show_is_refused(tone: CopyTone) -> None:
    path = tone("tone.mp3")
    before = path.read_bytes()
    with pytest.raises(UsageError):
        write_colour(path, 0x999999)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["tone.mp3", "tone.flac", "tone.m4a"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_payload_is_refused_or_kept(
    name: str, data: st.DataObject, tones: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copyfile(tones / name, tmp_path / name))
    write_colour(path, GREEN)
    payloads = read_payloads(path)
    assert payloads is not None
    value = payloads.values[MARKERS2]
    place = data.draw(st.integers(0, min(120, len(value))))
    damage = data.draw(st.binary(max_size=4))
    damaged = value[:place] + damage + value[place + data.draw(st.integers(0, 6)) :]
    try:
        write_payloads(path, {MARKERS2: damaged})
        read_colour(path)
        state = write_colour(path, SeratoColour.RED.shown)
    except TagError:
        return
    assert state.colour == SeratoColour.RED.shown


@pytest.mark.skipif(shutil.which("flac") is None, reason="needs flac")
def test_flac_verifies_the_stream(tone: CopyTone) -> None:
    path = tone("tone.flac")
    write_colour(path, GREEN)
    subprocess.run(["flac", "--test", "--silent", str(path)], check=True)
