"""One recording has one audio id, whatever its tags; and tags change nothing of what is heard."""

from __future__ import annotations

import base64
import shutil
import wave
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutagen.aiff import AIFF
from mutagen.apev2 import APEv2
from mutagen.flac import FLAC, Picture
from mutagen.id3 import APIC, COMM, ID3, TIT2
from mutagen.mp4 import MP4, MP4Cover
from mutagen.oggflac import OggFLAC
from mutagen.oggopus import OggOpus
from mutagen.oggvorbis import OggVorbis
from mutagen.wave import WAVE

from exporters.tags.edit import apply_mark
from moodzone_agent.analysis import analyse
from moodzone_agent.audio.decode import AudioReader
from moodzone_agent.demo.encode import write_audio
from moodzone_agent.errors import AudioError
from moodzone_agent.types import Mark, MarkState, Zone
from tests.agent.audio.foreign_tags import LEADING, PICTURE, TRAILING, ape, id3v1, id3v2, lyrics3_v2
from tests.audio_files import SUFFIXES, write_tone


class Heard(NamedTuple):
    """All that a file gives away but its tags."""

    audio_id: str
    samples: bytes
    stated_duration: float | None
    warnings: list[str]


def hear(path: Path) -> Heard:
    with AudioReader(path) as reader:
        samples = np.concatenate(list(reader.blocks())).tobytes()
        return Heard(reader.audio_id, samples, reader.stated_duration, reader.warnings)


def identify(path: Path) -> str:
    with AudioReader(path) as reader:
        return reader.identify()


BARE_MPEG = {"write_xing": "0", "id3v2_version": "0"}


@pytest.fixture(params=["mp3", "mp3 without Xing header", "flac"])
def plain(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file of a format that programs wrap in foreign tags."""
    if request.param == "flac":
        return write_tone(tmp_path / "plain.flac")
    return write_tone(tmp_path / "plain.mp3", options=BARE_MPEG if "without" in request.param else None)


@pytest.mark.parametrize("name", TRAILING)
def test_each_trailing_tag(plain: Path, name: str) -> None:
    expected = hear(plain)
    plain.write_bytes(plain.read_bytes() + TRAILING[name])
    assert hear(plain) == expected
    assert identify(plain) == expected.audio_id


@pytest.mark.parametrize("name", LEADING)
def test_each_leading_tag(plain: Path, name: str) -> None:
    expected = hear(plain)
    plain.write_bytes(LEADING[name] + plain.read_bytes())
    assert hear(plain) == expected
    assert identify(plain) == expected.audio_id


@pytest.mark.parametrize(
    "names",
    [
        ("APEv2 with art", "ID3v1"),
        ("ID3v1", "APEv2 with art"),
        ("Lyrics3 v1", "ID3v1"),
        ("Lyrics3 v2", "ID3v1 extended"),
        ("appended ID3v2.4 with art", "APEv2", "Lyrics3 v2", "ID3v1"),
        ("APEv2", "APEv2 with art", "APEv1", "ID3v1", "ID3v1"),
    ],
)
def test_combinations(plain: Path, names: tuple[str, ...]) -> None:
    expected = hear(plain)
    tags = b"".join(TRAILING[name] for name in names)
    plain.write_bytes(LEADING["ID3v2.3 with art"] + plain.read_bytes() + tags)
    assert hear(plain) == expected


def test_an_ape_tag_of_131_bytes_is_no_id3v1(plain: Path) -> None:
    tag = ape((b"Title", bytes(53)))
    assert tag[-128:].startswith(b"TAG")
    expected = hear(plain)
    plain.write_bytes(plain.read_bytes() + tag)
    assert hear(plain) == expected


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    leading=st.lists(
        st.sampled_from([tag for name, tag in LEADING.items() if "APE" not in name]), max_size=3
    ),
    trailing=st.lists(
        st.one_of(
            st.sampled_from(list(TRAILING.values())),
            st.binary(min_size=1, max_size=500).map(lambda value: ape((b"Key", value))),
            st.binary(max_size=500).map(lambda value: id3v2(4, value, footer=True)),
            st.binary(max_size=120).map(id3v1),
            st.binary(max_size=500).map(lyrics3_v2),
        ),
        max_size=6,
    ),
)
def test_any_sequence(plain: Path, leading: list[bytes], trailing: list[bytes]) -> None:
    expected = hear(plain)
    tagged = plain.with_name("tagged")
    tagged.write_bytes(b"".join([*leading, plain.read_bytes(), *trailing]))
    assert hear(tagged) == expected


@pytest.mark.parametrize("plain", ["mp3", "flac"], indirect=True)
def test_features_are_equal_under_the_tags_that_become_packets(plain: Path) -> None:
    with AudioReader(plain) as reader:
        expected = analyse(reader)
    tags = TRAILING["APEv2 with art"] + TRAILING["Lyrics3 v2"] + TRAILING["appended ID3v2.4 with art"]
    plain.write_bytes(LEADING["two ID3v2"] + plain.read_bytes() + tags + TRAILING["ID3v1"])
    with AudioReader(plain) as reader:
        found = analyse(reader)
    np.testing.assert_array_equal(found.track, expected.track)
    np.testing.assert_array_equal(found.windows, expected.windows)
    assert (found.audio_id, found.duration, found.warnings) == (
        expected.audio_id,
        expected.duration,
        expected.warnings,
    )


def tag_id3(path: Path, *, version: int) -> None:
    tags = ID3()
    tags.add(TIT2(encoding=1, text=f"Title {version}"))
    tags.add(COMM(encoding=1, lang="eng", desc="", text="8A - 7"))
    tags.add(APIC(encoding=0, mime="image/jpeg", type=3, desc="", data=PICTURE))
    tags.save(path, v2_version=version)


def tag_ape(path: Path, *, art: bytes) -> None:
    tags = APEv2()
    tags["Title"] = "A title"
    tags["Cover Art (Front)"] = b"cover.jpg\0" + art
    tags.save(path)


def tag_flac(path: Path, *, art: bytes) -> None:
    file = FLAC(path)
    file["title"] = f"Title {len(art)}"
    picture = Picture()
    picture.data, picture.type, picture.mime = art, 3, "image/jpeg"
    file.clear_pictures()
    file.add_picture(picture)
    file.save()


def tag_ogg(path: Path, kind: type[OggVorbis | OggOpus | OggFLAC], *, art: bytes) -> None:
    file = kind(path)
    picture = Picture()
    picture.data, picture.type, picture.mime = art, 3, "image/jpeg"
    file["title"] = "A title"
    file["metadata_block_picture"] = base64.b64encode(picture.write()).decode()
    file.save()


def tag_mp4(path: Path, *, art: bytes) -> None:
    file = MP4(path)
    file["\xa9nam"] = "A title"
    file["----:com.apple.iTunes:MOODZONE"] = [b"PURPLE;state=rated"]
    file["covr"] = [MP4Cover(art, MP4Cover.FORMAT_JPEG)]
    file.save()


def tag_chunk(path: Path, kind: type[WAVE | AIFF], *, art: bytes) -> None:
    file = kind(path)
    if file.tags is None:
        file.add_tags()
    file.tags.add(TIT2(encoding=3, text=f"Title {len(art)}"))
    file.tags.add(APIC(encoding=0, mime="image/jpeg", type=3, desc="", data=art))
    file.save()


SMALL = PICTURE[:1000]
Step = Callable[[Path], object]
EDITS: dict[str, tuple[str, str | None, list[Step]]] = {
    "ID3 in MP3": (
        ".mp3",
        None,
        [lambda p: tag_id3(p, version=3), lambda p: tag_id3(p, version=4), lambda p: ID3().delete(p)],
    ),
    "APE in MP3": (
        ".mp3",
        None,
        [lambda p: tag_ape(p, art=SMALL), lambda p: tag_ape(p, art=PICTURE), lambda p: APEv2().delete(p)],
    ),
    "FLAC": (
        ".flac",
        None,
        [lambda p: tag_flac(p, art=SMALL), lambda p: tag_flac(p, art=PICTURE), lambda p: FLAC(p).delete()],
    ),
    "ID3 in FLAC": (".flac", None, [lambda p: tag_id3(p, version=4), lambda p: ID3().delete(p)]),
    "Ogg Vorbis": (
        ".ogg",
        None,
        [
            lambda p: tag_ogg(p, OggVorbis, art=SMALL),
            lambda p: tag_ogg(p, OggVorbis, art=PICTURE),
            lambda p: OggVorbis(p).delete(),
        ],
    ),
    "Ogg FLAC": (".ogg", "flac", [lambda p: tag_ogg(p, OggFLAC, art=SMALL), lambda p: OggFLAC(p).delete()]),
    "Opus": (
        ".opus",
        None,
        [
            lambda p: tag_ogg(p, OggOpus, art=SMALL),
            lambda p: tag_ogg(p, OggOpus, art=PICTURE),
            lambda p: OggOpus(p).delete(),
        ],
    ),
    "AAC": (
        ".m4a",
        None,
        [lambda p: tag_mp4(p, art=SMALL), lambda p: tag_mp4(p, art=PICTURE), lambda p: MP4(p).delete()],
    ),
    "ALAC": (".m4a", "alac", [lambda p: tag_mp4(p, art=PICTURE), lambda p: MP4(p).delete()]),
    "WAV": (
        ".wav",
        None,
        [
            lambda p: tag_chunk(p, WAVE, art=SMALL),
            lambda p: tag_chunk(p, WAVE, art=PICTURE),
            lambda p: WAVE(p).delete(),
        ],
    ),
    "AIFF": (
        ".aiff",
        None,
        [
            lambda p: tag_chunk(p, AIFF, art=SMALL),
            lambda p: tag_chunk(p, AIFF, art=PICTURE),
            lambda p: AIFF(p).delete(),
        ],
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_tags_added_changed_and_removed_by_mutagen(tmp_path: Path, name: str) -> None:
    suffix, codec, steps = EDITS[name]
    path = write_tone(tmp_path / f"a{suffix}", codec=codec, metadata={"title": "first", "comment": "one"})
    expected = hear(path)
    content = path.read_bytes()
    for step in steps:
        step(path)
        assert path.read_bytes() != content
        content = path.read_bytes()
        assert hear(path) == expected


def chunk(name: bytes, body: bytes, order: str) -> bytes:
    return name + len(body).to_bytes(4, order) + body + bytes(len(body) % 2)  # type: ignore[arg-type]


@pytest.mark.parametrize("place", ["in front of the samples", "behind them"])
@pytest.mark.parametrize(
    ("suffix", "name", "body"),
    [
        (".wav", b"LIST", b"INFOICMT\6\0\0\0#GREEN"),
        (".wav", b"id3 ", LEADING["ID3v2.3 with art"]),
        (".wav", b"bext", bytes(602)),
        (".wav", b"cue ", bytes(4)),
        (".aiff", b"NAME", b"A title"),
        (".aiff", b"ANNO", b"#GREEN"),
        (".aiff", b"(c) ", b"Someone"),
        (".aiff", b"ID3 ", LEADING["ID3v2.4 with art"]),
    ],
)
def test_chunks(tmp_path: Path, suffix: str, name: bytes, body: bytes, place: str) -> None:
    path = write_tone(tmp_path / f"a{suffix}")
    expected = hear(path)
    order = "little" if suffix == ".wav" else "big"
    content = path.read_bytes()
    at = len(content) if "behind" in place else content.index(b"data" if suffix == ".wav" else b"SSND")
    content = content[:at] + chunk(name, body, order) + content[at:]
    size = (len(content) - 8).to_bytes(4, order)  # type: ignore[arg-type]
    path.write_bytes(content[:4] + size + content[8:])
    assert hear(path) == expected


def test_index_in_front_or_behind(tmp_path: Path) -> None:
    for codec in ("aac", "alac"):
        behind = write_tone(tmp_path / "behind.m4a", codec=codec)
        front = write_tone(tmp_path / "front.m4a", codec=codec, options={"movflags": "faststart"})
        contents = [path.read_bytes() for path in (behind, front)]
        assert [content.index(b"moov") < content.index(b"mdat") for content in contents] == [False, True]
        assert hear(front) == hear(behind)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_marks_of_our_own(tmp_path: Path, suffix: str) -> None:
    path = write_tone(tmp_path / f"a{suffix}")
    expected = hear(path)
    for mark in (Mark(Zone.PURPLE), Mark(Zone.YELLOW, MarkState.UNSURE), None):
        apply_mark(path, mark)
        assert hear(path) == expected


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_different_audio_has_another_id(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(3)
    samples = rng.uniform(-0.5, 0.5, (44_100, 2)).astype(np.float32)
    ids = set()
    for number in range(3):
        path = tmp_path / f"{number}{suffix}"
        write_audio(path, samples)
        ids.add(identify(path))
        assert identify(Path(shutil.copy(path, tmp_path / "copy"))) in ids
        samples = samples.copy()
        samples[20_000:22_000] *= 0.8
    assert len(ids) == 3


def test_other_codecs_of_one_recording_have_other_ids(tmp_path: Path) -> None:
    samples = np.random.default_rng(3).uniform(-0.5, 0.5, (44_100, 2)).astype(np.float32)
    kinds = [*((suffix, None) for suffix in SUFFIXES), (".m4a", "alac"), (".wav", "pcm_s24le")]
    ids = set()
    for number, (suffix, codec) in enumerate(kinds):
        write_audio(tmp_path / f"{number}{suffix}", samples, codec=codec)
        ids.add(identify(tmp_path / f"{number}{suffix}"))
    assert len(ids) == len(kinds)
    assert all(len(audio_id) == 32 and int(audio_id, 16) for audio_id in ids)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_without_audio_there_is_no_id(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".flac":
        write_audio(path, np.zeros((0, 2), np.float32))
    else:
        with wave.open(str(path), "wb") as file:
            file.setparams((2, 2, 44_100, 0, "NONE", ""))
    with AudioReader(path) as reader, pytest.raises(AudioError, match="holds no audio"):
        reader.identify()
    with AudioReader(path) as reader:
        assert list(reader.blocks()) == []
        with pytest.raises(AudioError, match="holds no audio"):
            _ = reader.audio_id


@pytest.mark.shared
def test_real_files_keep_their_id_under_our_mark(tmp_path: Path, shared: Path) -> None:
    originals = [path for path in (shared / "fixtures" / "audio").rglob("*") if path.is_file()]
    assert originals
    for original in originals:
        copy = Path(shutil.copy(original, tmp_path / original.name))
        apply_mark(copy, Mark(Zone.GREEN))
        assert copy.read_bytes() != original.read_bytes()
        assert hear(copy) == hear(original)
