"""Containers by their first bytes."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from moodzone_agent.audio.container import (
    FORMATS,
    HEAD_BYTES,
    TAIL_BYTES,
    frame_length,
    is_cut_off,
    sniff,
    states_length,
)
from tests.agent.audio.foreign_tags import LEADING
from tests.audio_files import SUFFIXES, write_tone

CONTAINERS = {
    ".mp3": "mp3",
    ".flac": "flac",
    ".wav": "wav",
    ".aiff": "aiff",
    ".m4a": "mov",
    ".ogg": "ogg",
    ".opus": "ogg",
}


@pytest.mark.parametrize(("suffix", "container"), CONTAINERS.items())
def test_real_files(tmp_path: Path, suffix: str, container: str) -> None:
    head = write_tone(tmp_path / f"a{suffix}").read_bytes()[:HEAD_BYTES]
    assert sniff(head) == container
    assert container in FORMATS.split(",")


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100])
def test_mp3_without_any_tag(tmp_path: Path, rate: int) -> None:
    path = write_tone(tmp_path / "a.mp3", rate=rate, options={"id3v2_version": "0"})
    assert path.read_bytes()[0] == 0xFF
    assert sniff(path.read_bytes()[:HEAD_BYTES]) == "mp3"


def test_faststart_and_large_wav(tmp_path: Path) -> None:
    path = write_tone(tmp_path / "a.m4a", options={"movflags": "faststart"})
    assert sniff(path.read_bytes()[:HEAD_BYTES]) == "mov"
    assert sniff(b"RF64\xff\xff\xff\xffWAVE") == sniff(b"BW64\xff\xff\xff\xffWAVE") == "wav"
    assert sniff(b"FORM\0\0\1\0AIFC") == "aiff"


def test_leading_tags_announce_music() -> None:
    assert {sniff(tag[:HEAD_BYTES]) for tag in LEADING.values()} == {"mp3"}


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"R",
        b"\xff",
        b"\xff\xfb",
        b"A text about RIFF and ID3",
        "Text in UTF-16".encode("utf-16-le"),
        b"\xff\xfe" + "Text in UTF-16".encode("utf-16-le"),
        b"\xfe\xff" + "Text in UTF-16".encode("utf-16-be"),
        b"\xef\xbb\xbfText in UTF-8",
        b"\xff\xd8\xff\xe0\0\x10JFIF\0\1",
        b"\xff\xd8\xff\xe1\0\x10Exif\0\0",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"GIF89a\1\0\1\0",
        b"%PDF-1.7\n%\xe2\xe3\xcf",
        b"PK\3\4\x14\0\0\0\0\0",
        b"SQLite format 3\0",
        b"RIFF\x24\0\0\0AVI LIST",
        b"RIFF\x24\0\0\0WEBPVP8 ",
        b"FORM\0\0\1\0ILBM",
        b"\x1aE\xdf\xa3\x01\0\0\0\0\0\0\x1f",
        b"ffconcat version 1.0\n",
        b"#EXTM3U\n#EXTINF",
        b"<?xml version='1.0'?>",
        bytes(HEAD_BYTES),
        b"\xff" * HEAD_BYTES,
    ],
)
def test_not_music(head: bytes) -> None:
    assert sniff(head[:HEAD_BYTES]) is None


def test_a_file_shorter_than_its_header_says(tmp_path: Path) -> None:
    for suffix in (".wav", ".aiff"):
        whole = write_tone(tmp_path / f"a{suffix}").read_bytes()
        head = whole[:HEAD_BYTES]
        assert not is_cut_off(head, b"", len(whole))
        assert not is_cut_off(head, b"", len(whole) + 100)
        assert is_cut_off(head, b"", len(whole) - 100)
    for unknown in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80"):
        assert not is_cut_off(b"RIFF" + unknown + b"WAVE", b"", 10_000)
    assert not is_cut_off(b"fLaC\x10\x10\x10\x10WAVE", b"", 10_000)


@pytest.mark.parametrize("suffix", [".ogg", ".opus"])
def test_an_ogg_file_without_its_last_page(tmp_path: Path, suffix: str) -> None:
    whole = write_tone(tmp_path / f"a{suffix}", seconds=3).read_bytes()
    assert not is_cut_off(whole[:HEAD_BYTES], whole[-TAIL_BYTES:], len(whole))
    tagged = whole + b"TAG" + bytes(125)
    assert not is_cut_off(tagged[:HEAD_BYTES], tagged[-TAIL_BYTES:], len(tagged))
    last_page = whole.rindex(b"OggS")
    for length in (len(whole) - 1, last_page + 30, last_page + 10, last_page, len(whole) // 2):
        cut = whole[:length]
        assert is_cut_off(cut[:HEAD_BYTES], cut[-TAIL_BYTES:], length)


def test_which_files_state_their_length(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        assert states_length(write_tone(tmp_path / f"a{suffix}").read_bytes()[:TAIL_BYTES])
    options = {"write_xing": "0", "id3v2_version": "0"}
    assert not states_length(write_tone(tmp_path / "b.mp3", options=options).read_bytes()[:TAIL_BYTES])
    flac = bytearray((tmp_path / "a.flac").read_bytes()[:100])
    flac[21] &= 0xF0
    flac[22:26] = bytes(4)  # what an encoder leaves that writes into a pipe
    assert not states_length(flac)
    assert not states_length(b"\xff\xf1\x50\x80\0\0\0")
    assert not states_length(b"fLaC")


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 24_000, 32_000, 44_100, 48_000])
def test_an_mp3_frames_header_tells_its_length(tmp_path: Path, rate: int) -> None:
    path = write_tone(tmp_path / "a.mp3", seconds=2, rate=rate)
    with av.open(path) as container:
        frames = [bytes(packet) for packet in container.demux() if packet.size]
    assert len(frames) > 20
    assert {len(frame) - (frame_length(frame) or 0) for frame in frames} == {0}


def test_an_adts_frames_header_tells_its_length() -> None:
    assert frame_length(b"\xff\xf1\x50\x80\x2e\x7f\xfc") == 0x173
    for other in (b"", b"\xff\xf1\x50", b"OggS\0\0", b"\xff\xff\xff\xff\xff\xff"):
        assert frame_length(other) is None
