"""The bytes between the tags."""

from __future__ import annotations

import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moodzone_agent.audio.span import AudioBytes, audio_span
from tests.agent.audio.foreign_tags import LEADING, TRAILING, id3v1, id3v2, lyrics3_v1

MP3 = b"\xff\xfb\x90\x64" + bytes(413)
FLAC = b"fLaC\x80\0\0\x22" + bytes(34)
WAV = b"RIFF\x24\0\0\0WAVEfmt "


@pytest.mark.parametrize("audio", [MP3, FLAC, b"no music"], ids=["mp3", "flac", "unknown"])
@given(
    leading=st.lists(
        st.sampled_from([tag for name, tag in LEADING.items() if "APE" not in name]), max_size=3
    ),
    trailing=st.lists(st.sampled_from(list(TRAILING.values())), max_size=6),
)
def test_what_is_between_the_tags_in_any_order(
    audio: bytes, leading: list[bytes], trailing: list[bytes]
) -> None:
    front = b"".join(leading)
    file = io.BytesIO(front + audio + b"".join(trailing))
    assert audio_span(file) == (len(front), len(front) + len(audio))


@pytest.mark.parametrize("name", LEADING)
def test_what_is_behind_each_leading_tag(name: str) -> None:
    assert audio_span(io.BytesIO(LEADING[name] + MP3)) == (len(LEADING[name]), len(LEADING[name] + MP3))


def test_where_the_container_says_the_end_nothing_is_cut() -> None:
    file = WAV + bytes(500) + id3v1()
    assert audio_span(io.BytesIO(file)) == (0, len(file))


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"ID3",
        b"TAG",
        MP3,
        MP3 + b"TAG" + bytes(124),
        MP3 + b"APETAGEX" + b"\xff" * 24,
        MP3 + b"999999LYRICS200",
        MP3 + lyrics3_v1()[11:],
        MP3 + b"3DI\4\0\x10\x7f\x7f\x7f\x7f",
    ],
    ids=len,
)
def test_what_is_no_whole_tag_stays(file: bytes) -> None:
    assert audio_span(io.BytesIO(file)) == (0, len(file))


@pytest.mark.parametrize("file", [b"ID3\3\0\0\xff\0\0\0" + MP3, MP3 + b"3DI\4\0\0\xff\0\0\0"])
def test_with_a_malformed_size_all_bytes_count(file: bytes) -> None:
    assert audio_span(io.BytesIO(file)) == (0, len(file))


def test_a_tag_longer_than_the_file_leaves_nothing() -> None:
    file = id3v2(3, bytes(1000))[:500]
    assert audio_span(io.BytesIO(file)) == (500, 500)


@given(
    data=st.binary(max_size=60),
    cut=st.tuples(st.integers(0, 60), st.integers(0, 60)),
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("read"), st.integers(0, 80)),
            st.tuples(st.sampled_from([os.SEEK_SET, os.SEEK_CUR, os.SEEK_END]), st.integers(0, 70)),
        )
    ),
)
def test_a_part_behaves_like_a_file_of_its_own(
    data: bytes, cut: tuple[int, int], steps: list[tuple[str | int, int]]
) -> None:
    start, end = sorted(min(place, len(data)) for place in cut)
    part, whole = AudioBytes(io.BytesIO(data), start, end), io.BytesIO(data[start:end])
    for how, number in steps:
        if isinstance(how, str):
            assert part.read(number) == whole.read(number)
        else:
            assert part.seek(number, how) == whole.seek(number, how)
        assert part.tell() == whole.tell()
