"""Damaged files: only TagError may escape, nothing is changed by reading, and an edit that is done is harmless."""

from __future__ import annotations

from pathlib import Path

import mutagen.apev2
import mutagen.id3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporters.tags.edit import TagField, apply_mark, encoded_audio_digest, read_state
from moodzone_agent.errors import TagError
from moodzone_agent.types import Mark, Zone
from tests.audio_files import SUFFIXES, write_tone

PURPLE = Mark(Zone.PURPLE)
LONGEST_TAG = 3000
"""Damage is done within this many bytes of either end, where the structure is."""


KINDS = [prefix + suffix for suffix in (*SUFFIXES, ".ape.mp3") for prefix in ("", "marked")]
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """One short file per format and one with APEv2, and the same with a mark."""
    folder = tmp_path_factory.mktemp("small")
    files = {}
    texts = {"title": "Name", "comment": "8A - 7"}
    for suffix in (*SUFFIXES, ".ape.mp3"):
        path = write_tone(folder / f"a{suffix}", seconds=0.1, rate=8000, metadata=texts)
        if suffix == ".ape.mp3":
            mutagen.id3.delete(path)
            tags = mutagen.apev2.APEv2()
            tags.update(texts)
            tags.save(path)
        files[suffix] = path.read_bytes()
        apply_mark(path, PURPLE)
        files[f"marked{suffix}"] = path.read_bytes()
    return files


def edited_or_refused(path: Path, data: bytes) -> None:
    """The file is edited and keeps all else, or is refused; nothing else may happen."""
    path.write_bytes(data)
    try:
        state = read_state(path)
        audio = encoded_audio_digest(path)
    except TagError:
        state = None
    assert path.read_bytes() == data
    for mark in (Mark(Zone.GREEN), PURPLE, None):
        try:
            after = apply_mark(path, mark)
        except TagError:
            return
        assert state is not None
        assert after.mark == mark
        assert (after.artist, after.title) == (state.artist, state.title)
        assert encoded_audio_digest(path) == audio


@every_kind
def test_files_cut_off_anywhere(kind: str, small: dict[str, bytes], tmp_path: Path) -> None:
    data = small[kind]
    near_the_start = range(0, min(len(data), 400), 7)
    for end in {
        *near_the_start,
        *range(0, len(data), max(len(data) // 60, 1)),
        *range(len(data) - 20, len(data)),
    }:
        edited_or_refused(tmp_path / "file", data[:end])


@every_kind
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_bytes_changed_anywhere(
    kind: str, small: dict[str, bytes], tmp_path: Path, data: st.DataObject
) -> None:
    damaged = bytearray(small[kind])
    last = len(damaged) - 1
    places = st.one_of(
        st.integers(0, min(last, LONGEST_TAG)),
        st.integers(max(last - LONGEST_TAG, 0), last),
        st.integers(0, min(last, 100)),
    )
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=6)):
        damaged[place] = value
    edited_or_refused(tmp_path / "file", bytes(damaged))


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"ID3\3\0\0\0\0\1\0",
        b"fLaC\0\0\0\x22",
        b"OggS\0\2",
        b"RIFF\x40\0\0\0WAVE",
        b"FORM\0\0\0\x40AIFF",
        b"\0\0\0\x10ftypM4A \0\0\0\0\0\0\0\x40moov",
        b"\xff\xfb\x90\0",
    ],
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rest=st.binary(max_size=200))
def test_any_bytes_behind_a_known_start(start: bytes, rest: bytes, tmp_path: Path) -> None:
    edited_or_refused(tmp_path / "file", start + rest)


@every_kind
def test_what_is_taken_out_was_ours_alone(kind: str, small: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(small[kind])
    apply_mark(path, None, field=TagField.COMMENT)
    assert path.read_bytes() == small[kind.removeprefix("marked")]
