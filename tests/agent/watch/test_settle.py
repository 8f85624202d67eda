"""When a file counts as at rest: two equal looks, and a whole container."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moodzone_agent.watch.settle import Look, Settling, is_complete
from tests.audio_files import SUFFIXES, write_tone

SONG = Path("/music/song.mp3")
SECONDS = 2.0


def look(size: int) -> Look:
    return Look(size, 0, 0)


@given(st.lists(st.tuples(st.integers(1, 1000), st.floats(0, 100)), min_size=1))
def test_a_growing_file_is_never_ready(steps: list[tuple[int, float]]) -> None:
    settling = Settling(SECONDS)
    size, now = 0, 0.0
    for growth, pause in steps:
        size += growth
        now += pause
        settling.note(SONG, look(size), now)
        assert settling.ready() == []
        assert settling.due() == now + SECONDS


@given(st.lists(st.tuples(st.sampled_from([None, 1, 2]), st.floats(0, 3)), max_size=50))
def test_ready_exactly_once_for_each_change(steps: list[tuple[int | None, float]]) -> None:
    """Against the definition: equal looks over two seconds, unlike the one it last came out with."""
    settling = Settling(SECONDS)
    now = since = 0.0
    last = reported = None
    for size, pause in steps:
        now += pause
        settling.note(SONG, None if size is None else look(size), now)
        if size is None:
            reported = None
        if size != last:
            since = now
        last = size
        # What was reported and is seen again has been at rest ever since.
        expected = size is not None and size != reported and now >= since + SECONDS
        assert settling.ready() == [SONG] * expected
        if expected:
            reported = size
        assert (SONG in settling) == (size is not None and size != reported)
        assert (settling.due() is None) == (SONG not in settling)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2), st.floats(0, 3)), max_size=60))
def test_looks_are_due_in_the_order_of_time(notes: list[tuple[int, int, float]]) -> None:
    settling = Settling(SECONDS)
    now = 0.0
    for number, size, pause in notes:
        now += pause
        for path in settling.to_look(now):
            settling.note(path, look(99), now)
        settling.note(Path(f"/{number}"), look(size), now)
        due = settling.due()
        assert due is None or now <= due <= now + SECONDS
    for path in settling.to_look(now + SECONDS):
        settling.note(path, look(99), now + SECONDS)
    assert settling.to_look(now + SECONDS) == []


def test_a_late_event_of_what_was_reported_tells_nothing() -> None:
    settling = Settling(SECONDS)
    settling.note(SONG, look(1), 0)
    settling.note(SONG, look(1), 2)
    assert settling.ready() == [SONG]
    settling.note(SONG, look(1), 3)
    assert SONG not in settling
    assert settling.due() is None


def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moodzone_agent.watch.settle._REMEMBERED", 2)
    settling = Settling(SECONDS)
    for number in range(3):
        settling.note(Path(f"/{number}"), look(1), 0)
        settling.note(Path(f"/{number}"), look(1), 2)
    settling.note(Path("/0"), look(1), 3)
    settling.note(Path("/2"), look(1), 3)
    assert Path("/0") in settling
    assert Path("/2") not in settling


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_whole_files_are_complete(tmp_path: Path, suffix: str) -> None:
    assert is_complete(write_tone(tmp_path / f"a{suffix}", metadata={"title": "x" * 3000}))


@pytest.mark.parametrize(
    ("suffix", "share"),
    [(".wav", 0.5), (".aiff", 0.5), (".ogg", 0.5), (".opus", 0.9), (".m4a", 0.5), (".m4a", 0.99)]
    + [(suffix, 0) for suffix in SUFFIXES],
)
def test_cut_off_files_are_not(tmp_path: Path, suffix: str, share: float) -> None:
    path = write_tone(tmp_path / f"a{suffix}")
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    assert not is_complete(path)


def test_mp4_with_its_index_in_front_needs_its_audio_too(tmp_path: Path) -> None:
    path = write_tone(tmp_path / "a.m4a", options={"movflags": "faststart"})
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert is_complete(path)
    path.write_bytes(data[:-1])
    assert not is_complete(path)


def test_mp4_with_sizes_of_64_bits_and_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    start = b"\0\0\0\x10ftypM4A \0\0\0\0" + b"\0\0\0\x08moov"
    path.write_bytes(start + b"\0\0\0\1mdat" + (16 + 5).to_bytes(8, "big") + b"music")
    assert is_complete(path)
    path.write_bytes(start + b"\0\0\0\0mdatmusic")
    assert is_complete(path)
    path.write_bytes(start + b"\0\0\0\7mdatmusic")
    assert not is_complete(path)


def test_flac_cut_off_in_its_header(tmp_path: Path) -> None:
    path = write_tone(tmp_path / "a.flac", metadata={"comment": "x" * 3000})
    data = path.read_bytes()
    for length in (4, 6, 41, 42, 44, 3000):
        path.write_bytes(data[:length])
        assert not is_complete(path), length


def test_what_is_not_filled_in_yet(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(bytes(10_000) + b"\xff\xfb\x90\0")
    assert not is_complete(path)
    path.write_bytes(b"ID3\4\0\0\0\0\x7f\x7f" + bytes(100))  # a tag of 16 kB
    assert not is_complete(path)
    path.write_bytes(b"ID3\4\0\0\0\0\0\x08" + bytes(100) + b"\xff\xfb\x90\0")  # zeros behind the tag occur
    assert is_complete(path)


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        is_complete(tmp_path / "a.mp3")
