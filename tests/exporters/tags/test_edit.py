"""The contract that every format keeps."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import av
import mutagen
import pytest
from mutagen.aiff import AIFF
from mutagen.mp3 import MP3
from mutagen.mp4 import MP4
from mutagen.wave import WAVE

from exporters.tags.edit import TagField, apply_mark, encoded_audio_digest, preview_text, read_state
from moodzone_agent.errors import TagError
from moodzone_agent.types import Mark, MarkState, Zone
from tests.exporters.tags.conftest import FORMATS, CopyTone

MARKS = [Mark(zone, state) for zone in Zone for state in MarkState]
PURPLE = Mark(Zone.PURPLE)
FIELDS = {
    TagField.COMMENT: ("COMM::eng", "comment", "\xa9cmt"),
    TagField.GROUPING: ("TIT1", "grouping", "\xa9grp"),
    TagField.GENRE: ("TCON", "genre", "\xa9gen"),
}
every_format = pytest.mark.parametrize("name", FORMATS)
every_field = pytest.mark.parametrize("field", TagField)


def decoded(path: Path) -> str:
    """Hash of the decoded samples."""
    digest = hashlib.sha256()
    with av.open(path) as container:
        for frame in container.decode(audio=0):
            digest.update(frame.to_ndarray().tobytes())
    return digest.hexdigest()


def inside_audio(path: Path) -> int:
    """Offset of a byte of the encoded audio."""
    data = path.read_bytes()
    if path.suffix == ".m4a":
        return data.index(b"mdat") + 1000
    return len(data) // 2 if path.suffix == ".aiff" else len(data) - 500


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def as_mutagen_sees(path: Path, field: TagField) -> tuple[str, str]:
    """Our own field and the visible text, read by a program that is not ours."""
    file = mutagen.File(path)
    id3, vorbis, mp4 = FIELDS[field]
    if isinstance(file, MP4):
        own = file["----:com.apple.iTunes:MOODZONE"][0].decode()
        return own, file[mp4][0]
    if isinstance(file, MP3 | AIFF | WAVE):
        return file["TXXX:MOODZONE"].text[0], file[id3].text[0]
    return file["moodzone"][0], file[vorbis][0]


@every_format
@every_field
def test_marks_are_written_and_read_back(name: str, field: TagField, tone: CopyTone) -> None:
    path = tone(name)
    audio, samples = encoded_audio_digest(path), decoded(path)
    before = read_state(path, field=field)
    assert (before.mark, before.token, before.artist, before.title) == (None, None, "Ärzte", "Ton")
    for mark in MARKS:
        preview = preview_text(read_state(path, field=field), mark)
        state = apply_mark(path, mark, field=field)
        assert state == read_state(path, field=field)
        assert (state.mark, state.artist, state.title, state.text) == (mark, "Ärzte", "Ton", preview)
        assert state.text == ("" if field is TagField.NONE else mark.token)
        assert (state.token.token if state.token else "") == state.text
        if field is not TagField.NONE:
            assert as_mutagen_sees(path, field) == (mark.field, mark.token)
    assert encoded_audio_digest(path) == audio
    assert decoded(path) == samples


@every_format
@every_field
@pytest.mark.parametrize("prefix", ["", "bare-"])
def test_taking_out_gives_the_file_back(name: str, prefix: str, field: TagField, tone: CopyTone) -> None:
    path = tone(prefix + name)
    before = path.read_bytes()
    assert apply_mark(path, None, field=field).mark is None
    assert path.read_bytes() == before
    for mark in MARKS:
        apply_mark(path, mark, field=field)
    state = apply_mark(path, None, field=field)
    assert (state.mark, state.token, state.text) == (None, None, "")
    if (prefix, name, field) == ("bare-", "tone.flac", TagField.NONE):
        pytest.skip("a lone field in the only comment block does not tell whether the block was made longer")
    assert path.read_bytes() == before


@every_format
def test_same_mark_again_changes_no_byte(name: str, tone: CopyTone) -> None:
    path = tone(name)
    first = apply_mark(path, PURPLE)
    before = path.read_bytes()
    assert apply_mark(path, PURPLE) == first
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", [name for name in FORMATS if not name.endswith(("ogg", "opus"))])
def test_later_marks_do_not_move_the_audio(name: str, tone: CopyTone) -> None:
    path = tone(f"bare-{name}")  # an INFO list in front of the samples has no padding
    audio = path.read_bytes()[inside_audio(path) :][:100]
    apply_mark(path, PURPLE)
    place = path.read_bytes().index(audio)
    apply_mark(path, Mark(Zone.YELLOW, MarkState.UNSURE))
    assert path.read_bytes().index(audio) == place


@every_format
@pytest.mark.parametrize("field", list(FIELDS))
def test_text_of_the_user_is_kept(name: str, field: TagField, tone: CopyTone) -> None:
    path = tone(name)
    text = "8A - 7 für Fred 🎧"
    write_with_mutagen(path, field, text)
    before = path.read_bytes()
    state = apply_mark(path, PURPLE, field=field)
    expected = f"{text} #PURPLE" if field is TagField.GENRE else "8A - 7 #PURPLE für Fred 🎧"
    assert state.text == as_mutagen_sees(path, field)[1] == expected
    apply_mark(path, None, field=field)
    assert path.read_bytes() == before


def write_with_mutagen(path: Path, field: TagField, text: str) -> None:
    """Put a text into a field as another program would."""
    file = mutagen.File(path)
    id3, vorbis, mp4 = FIELDS[field]
    if isinstance(file, MP3 | AIFF | WAVE):
        if file.tags is None:
            file.add_tags()
        frame = getattr(mutagen.id3, id3[:4])
        file.tags.add(frame(encoding=1, text=text, **({"lang": "eng"} if frame is mutagen.id3.COMM else {})))
        file.save(v2_version=3)
        return
    file[mp4 if isinstance(file, MP4) else vorbis] = text
    file.save()


@every_format
@pytest.mark.parametrize("field", list(FIELDS))
def test_correction_by_the_user_is_seen(name: str, field: TagField, tone: CopyTone) -> None:
    path = tone(name)
    apply_mark(path, PURPLE, field=field)
    write_with_mutagen(path, field, "very #green now")
    state = read_state(path, field=field)
    assert (state.mark, state.token) == (PURPLE, Mark(Zone.GREEN))
    labelled = Mark(Zone.GREEN, MarkState.LABELLED)
    assert preview_text(state, labelled) == "very #green now"
    state = apply_mark(path, labelled, field=field)
    assert (state.mark, state.text) == (labelled, "very #green now")
    assert apply_mark(path, None, field=field).text == "very #green now"


@every_format
def test_tokens_of_the_user_in_other_fields_are_not_touched(name: str, tone: CopyTone) -> None:
    path = tone(name)
    write_with_mutagen(path, TagField.COMMENT, "my #GREEN")
    write_with_mutagen(path, TagField.GENRE, "my #PURPLE")
    for mark in (PURPLE, Mark(Zone.GREEN), None):
        assert apply_mark(path, mark, field=TagField.GROUPING).mark == mark
        assert read_state(path, field=TagField.COMMENT).text == "my #GREEN"
        assert read_state(path, field=TagField.GENRE).text == "my #PURPLE"


@every_format
@pytest.mark.parametrize("text", ["", "8A - 7", "opener #Yellow"])
def test_the_token_moves_when_the_field_changes(name: str, text: str, tone: CopyTone) -> None:
    path = tone(name)
    write_with_mutagen(path, TagField.GROUPING, text or "x")
    if text:
        write_with_mutagen(path, TagField.COMMENT, text)
    before = path.read_bytes()
    first = TagField.NONE if "#" in text else TagField.COMMENT
    apply_mark(path, PURPLE, field=first)
    for field in (TagField.GENRE, TagField.NONE, TagField.GENRE):
        assert apply_mark(path, Mark(Zone.GREEN), field=field).mark == Mark(Zone.GREEN)
        assert read_state(path, field=TagField.COMMENT).text == text
        assert read_state(path, field=TagField.GENRE).text == ("" if field is TagField.NONE else "#GREEN")
    assert apply_mark(path, None, field=TagField.COMMENT).mark is None
    assert path.read_bytes() == before


@every_format
def test_reading_changes_nothing_and_needs_no_permission_to_write(name: str, tone: CopyTone) -> None:
    path = tone(name)
    before = path.read_bytes(), path.stat().st_mtime_ns
    path.chmod(0o400)
    read_state(path)
    encoded_audio_digest(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


@every_format
def test_tag_hash_follows_the_tags_alone(name: str, tone: CopyTone) -> None:
    path = tone(name)
    before = read_state(path)
    flip(path, inside_audio(path))
    assert read_state(path).tag_hash == before.tag_hash
    data = path.read_bytes()
    flip(path, max(data.rfind(b"Ton"), data.rfind("Ton".encode("utf-16-le"))))
    after = read_state(path)
    assert after.title == "Uon"
    assert after.tag_hash != before.tag_hash


@every_format
def test_audio_digest_follows_the_audio_alone(name: str, tone: CopyTone) -> None:
    path = tone(name)
    before = encoded_audio_digest(path)
    write_with_mutagen(path, TagField.COMMENT, "long " * 1000)
    assert encoded_audio_digest(path) == before
    flip(path, inside_audio(tone(name)))
    assert encoded_audio_digest(path) != before


@every_format
def test_content_decides_not_the_name(name: str, tone: CopyTone, tmp_path: Path) -> None:
    path = tone(name).rename(tmp_path / os.fsdecode(b"odd\xff\n name.xyz"))
    assert apply_mark(path, PURPLE).mark == PURPLE
    assert read_state(path).token == PURPLE


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="needs ffprobe")
@every_format
def test_ffprobe_finds_all_tags_and_the_same_packets(name: str, tone: CopyTone) -> None:
    path = tone(name)
    before = ffprobe(path)
    apply_mark(path, PURPLE)
    after = ffprobe(path)
    assert after["packets"] == before["packets"]
    tags = after["tags"]
    assert tags.pop("comment") == "#PURPLE"
    assert tags.pop("moodzone", PURPLE.field) == PURPLE.field
    assert tags == before["tags"]


def ffprobe(path: Path) -> dict[str, object]:
    command = [
        "ffprobe",
        "-v",
        "error",
        "-of",
        "json",
        "-show_entries",
        "format_tags:stream_tags:packet=data_hash",
    ]
    shown = json.loads(subprocess.check_output([*command, "-show_data_hash", "sha256", str(path)]))
    tags = shown["format"].get("tags", {}) | shown["streams"][0].get("tags", {})
    return {"tags": {key.lower(): value for key, value in tags.items()}, "packets": shown["packets"]}


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool")
@every_format
def test_exiftool_finds_token_and_no_fault(name: str, tone: CopyTone) -> None:
    path = tone(name)
    apply_mark(path, PURPLE)
    shown = json.loads(subprocess.check_output(["exiftool", "-j", "-a", str(path)]))[0]
    assert "Warning" not in shown
    assert "Error" not in shown
    assert shown["Comment"] == "#PURPLE"


@pytest.mark.skipif(shutil.which("flac") is None, reason="needs flac")
def test_flac_verifies_the_stream(tone: CopyTone) -> None:
    path = tone("tone.flac")
    for mark in (PURPLE, None):
        apply_mark(path, mark)
        subprocess.run(["flac", "--test", "--silent", "--warnings-as-errors", str(path)], check=True)


@pytest.mark.parametrize("mark", [PURPLE, None])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfb",
        b"just some words, not music at all\n" * 20,
        b"ffconcat version 1.0\nfile other.mp3\n",
        b"ID3\x03\x00\x00\x00\x00\x00\x00",
        b"RF64\xff\xff\xff\xffWAVEds64" + bytes(100),
        b"riff.\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0" + bytes(24) + b"\xff\xfb\x90\0" * 4000,
        b"RIFF\x04\x00\x00\x00WAVE",
        b"FORM\x00\x00\x00\x04AIFF",
        b"OggS" + bytes(60),
        b"fLaC" + bytes(60),
        b"\x00\x00\x00\x08ftyp" + bytes(60),
        b"\xff\xf1\x50\x80" * 400,  # AAC without a container
        bytes(5000),
    ],
)
def test_what_is_no_music_is_refused(data: bytes, mark: Mark | None, tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(data)
    for act in (read_state, encoded_audio_digest, lambda path: apply_mark(path, mark)):
        with pytest.raises(TagError, match=r"\w+ .*\."):
            act(path)
    assert path.read_bytes() == data


def test_wave64_is_refused_by_name(tone: CopyTone) -> None:
    path = tone("tone.mp3")
    path.write_bytes(b"riff.\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0" + path.read_bytes())
    with pytest.raises(TagError, match="W64"):
        read_state(path)


def mpeg_frames(path: Path) -> bytes:
    data = path.read_bytes()
    return data[10 + int.from_bytes(data[6:10], "big") :]


def test_junk_in_front_of_mpeg_audio_is_kept(tone: CopyTone) -> None:
    path = tone("bare-tone.mp3")
    frames = mpeg_frames(path)
    for junk in (b"\0" * 700, b"\xff\xfb\x90junk", bytes(range(256)) * 200):
        path.write_bytes(junk + frames)
        assert apply_mark(path, PURPLE).mark == PURPLE
        assert path.read_bytes().endswith(junk + frames)
        apply_mark(path, None)
        assert path.read_bytes() == junk + frames


def test_noise_with_a_few_headers_is_no_mpeg_audio(tone: CopyTone) -> None:
    path = tone("bare-tone.mp3")
    frames = mpeg_frames(path)
    second = frames.index(frames[:2], 4)
    third = frames.index(frames[:2], second + 4)
    for data in (frames[: third + 40] + bytes(9000), bytes(50) + frames[: third + 40], frames[:100]):
        path.write_bytes(data)
        with pytest.raises(TagError, match="no audio"):
            read_state(path)
    for whole in (1, 3):
        path.write_bytes(frames[: second if whole == 1 else third + 40])
        assert apply_mark(path, PURPLE).mark == PURPLE


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.mp3"
    if hasattr(os, "mkfifo"):
        os.mkfifo(pipe)
    for path in (pipe, tmp_path, tmp_path / "gone.mp3"):
        with pytest.raises(TagError):
            read_state(path)
        with pytest.raises(TagError):
            apply_mark(path, PURPLE)


@pytest.mark.parametrize("name", ["tone.wav", "tone.m4a", "tone.ogg"])
def test_id3_in_front_of_other_formats_is_refused(name: str, tone: CopyTone) -> None:
    path = tone(name)
    path.write_bytes(b"ID3\x03\x00\x00\x00\x00\x00\x0a" + bytes(10) + path.read_bytes())
    with pytest.raises(TagError, match="ID3 tag"):
        read_state(path)
