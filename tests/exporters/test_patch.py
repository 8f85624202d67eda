"""A reverse patch rebuilds the old file from the new, is small for what tag edits do, and shows damage."""

from __future__ import annotations

import hashlib
import io
import random
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporters.patch import MAGIC, PatchError, apply_patch, reverse_patch
from moodzone_agent.errors import FileChangedError, JournalError

FIXED_COST = 100
"""Bytes of header, hash and a few instructions."""

any_number_of_times = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def make_patch(folder: Path, old: bytes, new: bytes) -> bytes:
    (folder / "old").write_bytes(old)
    (folder / "new").write_bytes(new)
    return b"".join(reverse_patch(folder / "old", folder / "new", old_sha256=sha256(old)))


def rebuild(folder: Path, patch: bytes) -> bytes:
    out = io.BytesIO()
    digest = apply_patch(folder / "new", io.BytesIO(patch), out)
    assert digest == sha256(out.getvalue())
    return out.getvalue()


def round_trip(folder: Path, old: bytes, new: bytes) -> int:
    """Size of the patch, which was seen to rebuild ``old``."""
    patch = make_patch(folder, old, new)
    assert rebuild(folder, patch) == old
    return len(patch)


def ogg_pages(audio: bytes, first_number: int, seed: int) -> bytes:
    """Audio in pages of 4 KB whose heads carry a running number and a checksum that depends on it."""
    checksums = random.Random(seed)
    pages = []
    for index, at in enumerate(range(0, len(audio), 4096)):
        number = (first_number + index).to_bytes(4, "little")
        head = b"OggS" + bytes(14) + number + checksums.randbytes(4) + b"\x11" + b"\xff" * 16 + b"\x10"
        pages.append(head + audio[at : at + 4096])
    return b"".join(pages)


# Bytes from a small alphabet repeat themselves, which is where a search for moved content goes wrong.
contents = st.one_of(
    st.binary(max_size=300),
    st.binary(max_size=8).map(lambda unit: unit * 200),
    st.builds(noise, st.integers(0, 20_000), st.integers(0, 3)),
)
edits = st.lists(
    st.tuples(
        st.sampled_from(["insert", "delete", "change", "move", "repeat"]),
        st.floats(0, 1),
        st.integers(0, 9000),
        st.floats(0, 1),
    ),
    max_size=6,
)


def edited(data: bytes, steps: list[tuple[str, float, int, float]]) -> bytes:
    for kind, where, length, target in steps:
        start = int(where * len(data))
        part, rest = data[start : start + length], data[:start] + data[start + length :]
        goal = int(target * len(rest))
        match kind:
            case "insert":
                data = data[:start] + noise(length % 500, length) + data[start:]
            case "delete":
                data = rest
            case "change":
                data = data[:start] + bytes(255 - byte for byte in part) + data[start + length :]
            case "move":
                data = rest[:goal] + part + rest[goal:]
            case "repeat":
                data = data[:start] + part + data[start:]
    return data


@given(old=contents, steps=edits)
@any_number_of_times
def test_any_edit_can_be_reversed(
    tmp_path: Path, old: bytes, steps: list[tuple[str, float, int, float]]
) -> None:
    round_trip(tmp_path, old, edited(old, steps))


@given(old=contents, new=contents)
@any_number_of_times
def test_unrelated_files_can_be_rebuilt(tmp_path: Path, old: bytes, new: bytes) -> None:
    assert round_trip(tmp_path, old, new) <= len(old) + len(old) // 100 + FIXED_COST


AUDIO = noise(3_000_000)
TAG = noise(300, seed=7)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(AUDIO, AUDIO, id="same"),
        pytest.param(AUDIO, TAG + AUDIO, id="tag in front (MP3, FLAC)"),
        pytest.param(AUDIO, AUDIO[:4] + b"size" + AUDIO[8:] + TAG, id="tag behind and size in front (WAV)"),
        pytest.param(
            AUDIO, AUDIO[:4] + b"size" + AUDIO[8:40] + TAG + AUDIO[40:] + TAG, id="tags on both sides (AIFF)"
        ),
        pytest.param(AUDIO, AUDIO[-50_000:] + AUDIO[:-50_000], id="index moved to the front (M4A)"),
        pytest.param(bytes(3_000_000), TAG + bytes(2_999_000) + TAG, id="silence"),
    ],
)
def test_moved_audio_costs_next_to_nothing(tmp_path: Path, old: bytes, new: bytes) -> None:
    assert round_trip(tmp_path, old, new) <= FIXED_COST + 50 + (len(TAG) if old == bytes(len(old)) else 0)
    assert round_trip(tmp_path, new, old) <= FIXED_COST + 50 + 2 * len(TAG)


def test_an_ogg_page_costs_its_checksum_and_little_more(tmp_path: Path) -> None:
    old = ogg_pages(AUDIO, first_number=2, seed=1)
    new = TAG * 20 + ogg_pages(AUDIO, first_number=3, seed=2)
    assert round_trip(tmp_path, old, new) <= FIXED_COST + len(AUDIO) // 4096 * 12


def test_a_table_of_offsets_that_all_grew_costs_little(tmp_path: Path) -> None:
    offsets = [40_000 + 700 * index + random.Random(index).randrange(300) for index in range(20_000)]

    def m4a(shift: int) -> bytes:
        table = b"".join((offset + shift).to_bytes(4, "big") for offset in offsets)
        return b"ftyp" + bytes(40) + table + b"meta" + TAG * (1 + shift // len(TAG)) + AUDIO

    assert round_trip(tmp_path, m4a(0), m4a(len(TAG))) < 20_000


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    size = 150_000_000
    for name, start in (("old", b"RIFF1"), ("new", b"RIFF22")):
        with (tmp_path / name).open("wb") as file:
            file.write(start)
            file.seek(size // 2)
            file.write(noise(2_000_000))
            file.truncate(size)
    old_sha256 = sha256((tmp_path / "old").read_bytes())
    tracemalloc.start()
    try:
        patch = b"".join(reverse_patch(tmp_path / "old", tmp_path / "new", old_sha256=old_sha256))
        with (tmp_path / "rebuilt").open("wb") as out:
            apply_patch(tmp_path / "new", io.BytesIO(patch), out)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40_000_000


def test_what_follows_a_patch_is_not_read_as_part_of_it(tmp_path: Path) -> None:
    patch = make_patch(tmp_path, b"old" + TAG, TAG)
    stream = io.BytesIO(b"before" + patch + patch)
    stream.seek(6)
    out = io.BytesIO()
    apply_patch(tmp_path / "new", stream, out)
    assert out.getvalue() == b"old" + TAG


@pytest.fixture
def small_patch(tmp_path: Path) -> bytes:
    return make_patch(tmp_path, TAG[:100] + b"something old" + TAG[110:], TAG)


def test_no_flipped_bit_yields_another_file(tmp_path: Path, small_patch: bytes) -> None:
    harmless = 0
    for bit in range(8 * len(small_patch)):
        damaged = bytearray(small_patch)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            rebuilt = rebuild(tmp_path, bytes(damaged))
        except PatchError:
            continue
        assert rebuilt == (tmp_path / "old").read_bytes()  # some bits of deflate mean nothing
        harmless += 1
    assert harmless < 8


def test_every_truncation_is_noticed(tmp_path: Path, small_patch: bytes) -> None:
    for length in range(len(small_patch)):
        with pytest.raises(JournalError):
            rebuild(tmp_path, small_patch[:length])


@given(rubbish=st.binary(max_size=200))
@any_number_of_times
def test_rubbish_is_refused(tmp_path: Path, rubbish: bytes) -> None:
    (tmp_path / "new").write_bytes(TAG)
    for patch in (rubbish, MAGIC + rubbish):
        with pytest.raises(PatchError):
            rebuild(tmp_path, patch)


@pytest.mark.parametrize("other", [TAG[:-1], TAG[:-1] + bytes([TAG[-1] ^ 1]), b""])
def test_a_patch_does_not_apply_to_another_file(tmp_path: Path, small_patch: bytes, other: bytes) -> None:
    (tmp_path / "new").write_bytes(other)
    with pytest.raises(PatchError):
        rebuild(tmp_path, small_patch)


def test_a_file_that_shrinks_meanwhile_is_an_error_not_a_crash(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(AUDIO)
    (tmp_path / "new").write_bytes(TAG + AUDIO + TAG)
    pieces = reverse_patch(tmp_path / "old", tmp_path / "new", old_sha256=sha256(AUDIO))
    next(pieces)
    (tmp_path / "old").write_bytes(AUDIO[:1000])
    with pytest.raises(FileChangedError):
        list(pieces)
