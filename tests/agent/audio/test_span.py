"""The bytes between the tags."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Iterator
from itertools import cycle, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moodzone_agent.audio.span import ArrivingBytes, AudioBytes, audio_span
from tests.agent.audio.foreign_tags import LEADING, TRAILING, ape, id3v1, id3v2, lyrics3_v1

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


def arrived(file: bytes, sizes: Iterator[int], asked: int = 4096) -> bytes:
    """What comes out of `ArrivingBytes`, if so many bytes come in at a time."""
    left = io.BytesIO(file)
    arriving = ArrivingBytes(lambda most: left.read(min(next(sizes), most)))
    arriving.skip_tags()
    return b"".join(iter(lambda: arriving.read(asked), b""))


@pytest.mark.parametrize("audio", [MP3, FLAC, WAV, b"no music"], ids=["mp3", "flac", "wav", "unknown"])
@settings(deadline=None)
@given(
    leading=st.lists(st.sampled_from(list(LEADING)), max_size=2),
    inside=st.sampled_from([b"", *TRAILING.values(), b"APETAGEX", b"ID3\4\0\x10\0\0\1\0"]),
    trailing=st.lists(
        st.one_of(
            st.sampled_from(list(TRAILING.values())),
            st.binary(min_size=1, max_size=9000).map(lambda value: ape((b"Key", value))),
        ),
        max_size=4,
    ),
    sizes=st.lists(st.integers(100, 5000), min_size=1, max_size=20),
    seed=st.integers(0, 9),
)
def test_what_arrives_is_what_a_file_holds(
    audio: bytes, leading: list[str], inside: bytes, trailing: list[bytes], sizes: list[int], seed: int
) -> None:
    noise = random.Random(seed).randbytes(2100 + 1000 * seed)
    file = b"".join(LEADING[name] for name in leading if "APE" not in name)
    file += audio + noise + inside + noise + b"".join(trailing)
    start, end = audio_span(io.BytesIO(file))
    assert arrived(file, cycle(sizes)) == file[start:end]


def test_audio_arrives_before_there_is_more_of_it() -> None:
    """Of every 4 kB, all but the last 2 kB are given on at once."""
    sent = [MP3 + bytes(4096 - len(MP3)), bytes(4096), bytes(4096)]
    waiting = iter(sent)
    arriving = ArrivingBytes(lambda most: next(waiting))
    arriving.skip_tags()
    for count in (2048, 4096, 4096):
        assert len(arriving.read(1 << 20)) == count


@pytest.mark.parametrize("size", [1000, 20_000_000, 1 << 31])
def test_a_tag_that_claims_more_than_comes_is_audio(size: int) -> None:
    header = b"APETAGEX\xd0\7\0\0" + size.to_bytes(4, "little") + b"\1\0\0\0" + b"\0\0\0\xa0" + bytes(8)
    file = MP3 + bytes(5000) + header + bytes(5000)
    assert arrived(file, repeat(4096)) == file


def test_ctrl_c_ends_what_arrives() -> None:
    def receive(most: int) -> bytes:
        if left:
            return left.pop()
        raise KeyboardInterrupt

    left = [MP3 + bytes(4096)]
    arriving = ArrivingBytes(receive)
    arriving.skip_tags()
    assert b"".join(iter(lambda: arriving.read(4096), b"")) == MP3 + bytes(4096)
    assert arriving.is_stopped


def test_nothing_arrives() -> None:
    assert arrived(b"", repeat(4096)) == b""
