"""Serato's payloads as entries of the tags, whatever they hold."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Mapping
from pathlib import Path

import mutagen
import mutagen.id3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporters.tags.edit import apply_mark, encoded_audio_digest
from exporters.tags.id3 import tag_length
from exporters.tags.payloads import MARKERS, MARKERS2, read_payloads, write_payloads
from moodzone_agent.errors import TagError
from moodzone_agent.types import Mark, Zone
from tests.exporters.tags.conftest import FORMATS, CopyTone
from tests.exporters.tags.test_id3 import FOREIGN, frame, tag

GREEN = Mark(Zone.GREEN)
HOLDERS = [name for name in FORMATS if not name.endswith(("ogg", "opus"))]
FILES = [prefix + name for name in HOLDERS for prefix in ("", "bare-")]
every_file = pytest.mark.parametrize("name", FILES)
HEAD = b"\0application/octet-stream\0\0Serato Markers2\0"


def values(path: Path) -> Mapping[str, bytes]:
    found = read_payloads(path)
    assert found is not None
    return found.values


def others(path: Path) -> dict[str, object]:
    """What mutagen finds besides Serato's markers."""
    parsed = mutagen.File(path)
    return {
        key: str(value)
        for key, value in (parsed.tags or {}).items()
        if not key.lower().endswith(("serato markers2", "serato_markers_v2", "markersv2", ":markers"))
    }


def by_mutagen(path: Path) -> bytes:
    """The value of "Serato Markers2" as mutagen reads it."""
    tags = mutagen.File(path).tags
    if isinstance(tags, mutagen.id3.ID3):
        return bytes(tags.getall("GEOB:Serato Markers2")[0].data)
    found = tags.get("----:com.serato.dj:markersv2") if path.suffix == ".m4a" else tags["serato_markers_v2"]
    return found[0].encode() if isinstance(found[0], str) else bytes(found[0])


@every_file
@pytest.mark.parametrize("length", [0, 1, 470, 5000])
def test_a_payload_comes_and_goes(name: str, length: int, tone: CopyTone) -> None:
    path = tone(name)
    before, audio, rest = path.read_bytes(), encoded_audio_digest(path), others(path)
    value = b"x" * length
    write_payloads(path, {MARKERS2: value})
    assert values(path) == {MARKERS2: value}
    assert by_mutagen(path) == value
    assert encoded_audio_digest(path) == audio
    assert others(path).items() >= rest.items()
    written = path.read_bytes()
    write_payloads(path, {MARKERS2: value})
    assert path.read_bytes() == written
    write_payloads(path, {MARKERS2: None})
    assert not values(path)
    if length < 900:  # of more than one step of growth the tag keeps the room
        assert path.read_bytes() == before


@every_file
def test_a_value_of_the_same_length_moves_nothing(name: str, tone: CopyTone) -> None:
    path = tone(name)
    write_payloads(path, {MARKERS2: b"a" * 470})
    before = path.read_bytes()
    write_payloads(path, {MARKERS2: b"b" * 470})
    assert path.read_bytes() == before.replace(b"a" * 470, b"b" * 470)


@every_file
def test_mark_and_payload_stand_side_by_side(name: str, tone: CopyTone) -> None:
    path = tone(name)
    before = path.read_bytes()
    apply_mark(path, GREEN)
    marked = path.read_bytes()
    write_payloads(path, {MARKERS2: b"x" * 470})
    assert apply_mark(path, GREEN).mark == GREEN
    assert values(path) == {MARKERS2: b"x" * 470}
    write_payloads(path, {MARKERS2: None})
    assert path.read_bytes() == marked
    apply_mark(path, None)
    assert path.read_bytes() == before


@every_file
def test_the_mark_may_go_first(name: str, tone: CopyTone) -> None:
    path = tone(name)
    rest = others(path)
    apply_mark(path, GREEN)
    write_payloads(path, {MARKERS2: b"x" * 470})
    apply_mark(path, None)
    assert values(path) == {MARKERS2: b"x" * 470}
    write_payloads(path, {MARKERS2: None})
    assert not values(path)
    assert others(path).items() >= rest.items()


@pytest.mark.parametrize("name", ["tone.ogg", "tone.opus"])
def test_ogg_is_left_alone(name: str, tone: CopyTone) -> None:
    path = tone(name)
    before = path.read_bytes()
    assert read_payloads(path) is None
    with pytest.raises(TagError, match="Ogg"):
        write_payloads(path, {MARKERS2: b"x"})
    write_payloads(path, {MARKERS2: None})
    assert path.read_bytes() == before


def test_flac_has_no_place_for_the_older_payload(tone: CopyTone) -> None:
    with pytest.raises(TagError, match="Serato Markers_"):
        write_payloads(tone("tone.flac"), {MARKERS: b"x"})


@pytest.mark.parametrize("name", ["tone.mp3", "tone.aiff", "tone.wav", "tone.m4a"])
def test_both_payloads(name: str, tone: CopyTone) -> None:
    path = tone(name)
    before = path.read_bytes()
    both = {MARKERS: b"old", MARKERS2: b"new"}
    write_payloads(path, both)
    assert values(path) == both
    write_payloads(path, {MARKERS: None})
    assert values(path) == {MARKERS2: b"new"}
    write_payloads(path, {MARKERS: b"again"})
    assert values(path) == both | {MARKERS: b"again"}
    write_payloads(path, dict.fromkeys(both))
    assert path.read_bytes() == before


class TestId3:
    """Frames as other programs write them."""

    @pytest.fixture
    def audio(self, tones: Path) -> bytes:
        data = (tones / "bare-tone.mp3").read_bytes()
        return data[tag_length(data[:10]) :]

    def test_an_entry_keeps_its_place_and_its_head(self, audio: bytes, tmp_path: Path) -> None:
        path = tmp_path / "a.mp3"
        utf16 = b"\1audio/x\0f\0\0\0" + "\ufeffSerato Markers2\0".encode("utf-16-le")
        foreign = [old for old in FOREIGN if old[:4] != b"GEOB"]

        def data(value: bytes) -> bytes:
            return (
                tag(foreign[0], frame("GEOB", utf16 + value), *foreign[1:], padding=50 - len(value)) + audio
            )

        path.write_bytes(data(b"old"))
        assert values(path) == {MARKERS2: b"old"}
        write_payloads(path, {MARKERS2: b"longer"})
        assert path.read_bytes() == data(b"longer")
        write_payloads(path, {MARKERS2: b"old"})
        assert path.read_bytes() == data(b"old")

    def test_the_same_payload_in_two_encodings_is_refused(self, audio: bytes, tmp_path: Path) -> None:
        path = tmp_path / "a.mp3"
        utf16 = b"\1application/octet-stream\0\0\0" + "\ufeffSerato Markers2\0".encode("utf-16-le")
        path.write_bytes(tag(frame("GEOB", HEAD + b"1"), frame("GEOB", utf16 + b"2")) + audio)
        before = path.read_bytes()
        for attempt in (read_payloads, lambda path: write_payloads(path, {MARKERS2: b"3"})):
            with pytest.raises(TagError, match="Serato Markers2 twice"):
                attempt(path)
        assert path.read_bytes() == before

    @pytest.mark.parametrize("flags", [b"\0\x80", b"\0\x40"])
    def test_beside_an_unreadable_frame_none_is_made(
        self, flags: bytes, audio: bytes, tmp_path: Path
    ) -> None:
        path = tmp_path / "a.mp3"
        path.write_bytes(tag(frame("GEOB", b"\0\0\1\0" + HEAD, flags=flags)) + audio)
        assert not values(path)
        with pytest.raises(TagError, match="compressed"):
            write_payloads(path, {MARKERS2: b"x"})

    @pytest.mark.parametrize("version", [2, 3, 4])
    def test_every_version(self, version: int, audio: bytes, tmp_path: Path) -> None:
        path = tmp_path / "a.mp3"
        title = frame("TT2" if version == 2 else "TIT2", b"\0Name", version=version)
        before = tag(title, version=version) + audio
        path.write_bytes(before)
        write_payloads(path, {MARKERS2: b"\xff\xe0\0" * 300})
        assert by_mutagen(path) == b"\xff\xe0\0" * 300
        assert path.read_bytes()[3] == version
        assert path.read_bytes().count(title) == 1
        write_payloads(path, {MARKERS2: b""})
        write_payloads(path, {MARKERS2: None})
        assert path.read_bytes() == before

    def test_unsynchronisation_is_kept(self, audio: bytes, tmp_path: Path) -> None:
        path = tmp_path / "a.mp3"
        path.write_bytes(tag(frame("TIT2", b"\0Name"), flags=0x80, padding=100) + audio)
        before = path.read_bytes()
        write_payloads(path, {MARKERS2: b"\xff\xe0\0"})
        assert by_mutagen(path) == b"\xff\xe0\0"
        assert b"\xff\0\xe0" in path.read_bytes()
        write_payloads(path, {MARKERS2: None})
        assert path.read_bytes() == before

    def test_flags_of_version_four_are_kept(self, audio: bytes, tmp_path: Path) -> None:
        path = tmp_path / "a.mp3"
        payload = HEAD + b"\xff\xe0"
        stored = bytes([0, 0, 0, len(payload)]) + HEAD + b"\xff\0\xe0"
        path.write_bytes(tag(frame("GEOB", stored, version=4, flags=b"\0\3"), version=4, padding=20) + audio)
        assert values(path) == {MARKERS2: b"\xff\xe0"}
        write_payloads(path, {MARKERS2: b"\xff\xff"})
        assert by_mutagen(path) == b"\xff\xff"
        assert b"\0\3" + bytes([0, 0, 0, len(payload)]) in path.read_bytes()[:40]


class TestText:
    """Keys and items as other programs write them."""

    def test_a_key_in_lower_case_stays(self, tone: CopyTone) -> None:
        path = tone("tone.flac")
        parsed = mutagen.File(path)
        parsed["serato_markers_v2"] = "old"
        parsed.save()
        assert b"serato_markers_v2=old" in path.read_bytes()
        write_payloads(path, {MARKERS2: b"new"})
        assert b"serato_markers_v2=new" in path.read_bytes()

    def test_two_comments_are_refused(self, tone: CopyTone) -> None:
        path = tone("tone.flac")
        parsed = mutagen.File(path)
        parsed["SERATO_MARKERS_V2"] = ["1", "2"]
        parsed.save()
        with pytest.raises(TagError, match="twice"):
            read_payloads(path)

    def test_an_items_type_and_locale_stay(self, tone: CopyTone) -> None:
        path = tone("tone.m4a")
        write_payloads(path, {MARKERS2: b"old"})
        data = path.read_bytes()
        head = b"data" + struct.pack(">II", 1, 0)
        odd = b"data" + struct.pack(">II", 0, 7)
        path.write_bytes(data.replace(head + b"old", odd + b"old"))
        write_payloads(path, {MARKERS2: b"new"})
        assert odd + b"new" in path.read_bytes()


@pytest.mark.parametrize("name", HOLDERS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_refused_or_keeps_all_else(
    name: str, data: st.DataObject, tones: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copyfile(tones / name, tmp_path / name))
    write_payloads(path, {MARKERS2: b"x" * 100})
    content = path.read_bytes()
    near_start = st.integers(0, min(3000, len(content)))
    near_end = near_start.map(lambda place: len(content) - place)
    place = data.draw(st.one_of(near_start, near_end))
    length = data.draw(st.integers(0, 8))
    damaged = content[:place] + data.draw(st.binary(max_size=8)) + content[place + length :]
    path.write_bytes(damaged if data.draw(st.booleans()) else content[:place])
    try:
        audio = encoded_audio_digest(path)
        write_payloads(path, {MARKERS2: b"y" * 200})
    except TagError:
        return
    assert values(path)[MARKERS2] == b"y" * 200
    assert encoded_audio_digest(path) == audio
