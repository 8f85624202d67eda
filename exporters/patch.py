"""Reverse patches: what it takes to rebuild a file as it was before an edit from the file after it.

An edit of tags moves the audio by a few bytes, and changes small things along the whole file: each page of an
Ogg file carries a number and a checksum, MP4 keeps a table of offsets, RIFF a size at the front. A patch is
therefore a list of ranges to copy from the new file, of bytes to change in place, and of bytes to insert.

Format: ``MAGIC``, then one zlib stream of: size of the old file and of the new one (``<QQ``), SHA-256 of the
old file (32 bytes), and instructions until the old file is complete. An instruction is one varint (LEB128),
``argument << 2 | kind``:

========  =============================================================================================
kind      meaning, where ``at`` is a position in the new file that starts at 0
========  =============================================================================================
COPY      the ``argument`` bytes of the new file from ``at`` on; ``at`` moves behind them
CHANGE    as COPY, but to each byte is added (modulo 256) the byte that follows the instruction
INSERT    the ``argument`` bytes that follow the instruction; ``at`` stays
SEEK      ``at`` becomes ``argument``
========  =============================================================================================

The files are read by blocks, never mapped: an unplugged drive raises OSError rather than SIGBUS.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from exporters.filesystem import BLOCK
from moodzone_agent.errors import FileChangedError, JournalError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAGIC: Final = b"MoodZone patch 1\n"

_HEADER: Final = struct.Struct("<QQ32s")
_RUN: Final = 32
"""Bytes in a row that must agree for a match: a shorter one saves no more than its instructions cost."""
_ALL_EQUAL: Final = b"\1" * _RUN
"""What the comparison of such a run gives."""
_NEAR: Final = 4096
"""How far a match at the same distance is looked for before anchors are computed."""
_ANCHORS: Final = 1 << 19
"""About as many anchors are kept of a file."""
_WORD: Final = 8

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint64]
Positions = NDArray[np.int64]


class PatchError(JournalError):
    """A patch is damaged, or does not belong to the file it was applied to."""


class Sink(Protocol):
    """Takes bytes, as an open file or a hash does behind ``write``."""

    def write(self, data: bytes, /) -> object: ...


class _Kind(IntEnum):
    COPY = 0
    CHANGE = 1
    INSERT = 2
    SEEK = 3


def reverse_patch(old: Path, new: Path, *, old_sha256: str) -> Iterator[bytes]:
    """The pieces of a patch that rebuilds ``old`` from ``new``.

    Takes time linear in the sizes and a few dozen megabytes at most. ``old_sha256`` goes into the patch, so
    that ``apply_patch`` can prove what it rebuilt.

    Raises FileChangedError where a file shrinks meanwhile, and OSError.
    """
    with old.open("rb") as old_file, new.open("rb") as new_file:
        pair = _Pair(_Blocks(old_file), _Blocks(new_file))
        deflate = zlib.compressobj(6)
        yield MAGIC
        yield deflate.compress(_HEADER.pack(pair.old.size, pair.new.size, bytes.fromhex(old_sha256)))
        for kind, argument, data in _instructions(pair):
            if piece := deflate.compress(_varint(argument << 2 | kind) + data):  # mostly it waits for more
                yield piece
        yield deflate.flush()


def apply_patch(new: Path, patch: BinaryIO, out: Sink) -> str:
    """Rebuild the old file from ``new`` into ``out``; returns its SHA-256, which is the one in the patch.

    ``patch`` is read from where it stands; what follows the patch in it is not looked at.

    Raises PatchError where the patch is damaged or made for another file (``out`` then holds rubbish), and
    OSError.
    """
    reader = _Reader(patch)
    old_size, new_size, old_sha256 = _HEADER.unpack(reader.take(_HEADER.size))
    digest = hashlib.sha256()
    with new.open("rb") as new_file:
        source = _Blocks(new_file)
        if source.size != new_size:
            raise PatchError("The undo patch belongs to another state of the file.")
        at = written = 0
        while written < old_size:
            kind, argument = reader.instruction()
            if kind is _Kind.SEEK:
                at = argument
                continue
            moves = kind is not _Kind.INSERT
            if argument > old_size - written or (moves and argument > new_size - at):
                raise PatchError("The undo patch is damaged: it reaches beyond the file.")
            for start in range(0, argument, BLOCK):
                length = min(BLOCK, argument - start)
                data = source.read(at + start, length) if moves else _as_bytes(reader.take(length))
                if kind is _Kind.CHANGE:
                    data = data + _as_bytes(reader.take(length))
                piece = data.tobytes()
                digest.update(piece)
                out.write(piece)
            written += argument
            at += argument if moves else 0
    reader.finish()
    if digest.digest() != old_sha256:
        raise PatchError("The undo patch does not rebuild the old file.")
    return digest.hexdigest()


class _Blocks:
    """An open file that is read at any position."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, 2)
        self._window = _as_bytes(b"")
        """What was read last, for most reads are short and near one another."""
        self._at = 0

    def read(self, at: int, length: int) -> Bytes:
        """Exactly ``length`` bytes from ``at`` on."""
        if at < self._at or at + length > self._at + len(self._window):
            self._at = max(0, at - _NEAR)
            self._file.seek(self._at)
            self._window = _as_bytes(self._file.read(at + length + BLOCK - self._at))
        start = at - self._at
        if start + length > len(self._window):
            raise FileChangedError("another program cut it short meanwhile; run again when that is done")
        return self._window[start : start + length]


class _Pair:
    """Two files that are compared by blocks."""

    def __init__(self, old: _Blocks, new: _Blocks) -> None:
        self.old = old
        self.new = new

    def equal(self, old_at: int, new_at: int, length: int) -> NDArray[np.bool_]:
        return np.equal(self.old.read(old_at, length), self.new.read(new_at, length))

    def forward(self, old_at: int, new_at: int, limit: int) -> int:
        """How many bytes from these positions on agree, at most ``limit``."""
        done, step = 0, _NEAR
        while done < limit:
            step = min(step * 2, BLOCK, limit - done)
            equal = self.equal(old_at + done, new_at + done, step)
            if not equal.all():
                return done + int(equal.argmin())
            done += step
        return limit

    def backward(self, old_end: int, new_end: int, limit: int) -> int:
        """How many bytes before these positions agree, at most ``limit``."""
        done, step = 0, _NEAR
        while done < limit:
            step = min(step * 2, BLOCK, limit - done)
            equal = self.equal(old_end - done - step, new_end - done - step, step)[::-1]
            if not equal.all():
                return done + int(equal.argmin())
            done += step
        return limit

    def resume(self, old_at: int, new_at: int, limit: int) -> int | None:
        """How far ahead of these positions ``_RUN`` bytes in a row first agree, within ``limit`` bytes."""
        done, step = 0, 2 * _RUN
        while limit - done >= _RUN:
            step = min(step * 2, BLOCK, limit - done)
            equal = self.equal(old_at + done, new_at + done, step).tobytes()
            start = equal.find(_ALL_EQUAL)
            if start >= 0:
                return done + start
            done += equal.rfind(0) + 1  # a run may go on in the next block
        return None

    def alike(self, old_at: int, new_at: int, length: int) -> bool:
        """Whether one byte in eight agrees, as in a table of offsets; by chance it is one in 256."""
        sample = min(length, BLOCK)
        return sample > 0 and 8 * int(np.count_nonzero(self.equal(old_at, new_at, sample))) >= sample


class _Anchor(NamedTuple):
    """A place that the two files have in common."""

    old: int
    new: int


def _instructions(pair: _Pair) -> Iterator[tuple[_Kind, int, bytes]]:
    """Kind, argument and data of each instruction of the patch."""
    shorter = min(pair.old.size, pair.new.size)
    old_at = new_at = pair.forward(0, 0, shorter)
    suffix = pair.backward(pair.old.size, pair.new.size, shorter - old_at)
    old_end, new_end = pair.old.size - suffix, pair.new.size - suffix
    anchors: _AnchorSearch | None = None
    if old_at:
        yield _Kind.COPY, old_at, b""
    while old_at < old_end:
        # First the cheap guess that some bytes were changed in place, then content that moved.
        room = min(old_end - old_at, pair.new.size - new_at)
        changed, anchor = pair.resume(old_at, new_at, min(room, _NEAR)), None
        if changed is None:
            anchors = anchors or _AnchorSearch(pair, (old_at, old_end), (new_at, new_end))
            anchor = anchors.next(old_at, old_end)
            changed = pair.resume(old_at, new_at, min(room, anchor.old + _RUN - old_at) if anchor else room)
        lost = (anchor.old if anchor else old_end) - old_at
        if changed is None and lost <= room and pair.alike(old_at, new_at, lost):
            changed = lost
        if changed is not None:
            yield from _change(pair, old_at, new_at, changed)
            old_at, new_at = old_at + changed, new_at + changed
        else:
            for start in range(0, lost, BLOCK):
                data = pair.old.read(old_at + start, min(BLOCK, lost - start)).tobytes()
                yield _Kind.INSERT, len(data), data
            old_at += lost
            if anchor:
                new_at = anchor.new
                yield _Kind.SEEK, new_at, b""
        same = pair.forward(old_at, new_at, min(old_end - old_at, pair.new.size - new_at))
        if same:
            yield _Kind.COPY, same, b""
        old_at, new_at = old_at + same, new_at + same
    if suffix:
        yield _Kind.SEEK, new_end, b""
        yield _Kind.COPY, suffix, b""


def _change(pair: _Pair, old_at: int, new_at: int, length: int) -> Iterator[tuple[_Kind, int, bytes]]:
    """Bytes changed in place, as differences: offsets that all grew by one amount then compress to little."""
    for start in range(0, length, BLOCK):
        size = min(BLOCK, length - start)
        difference = pair.old.read(old_at + start, size) - pair.new.read(new_at + start, size)
        yield _Kind.CHANGE, size, difference.tobytes()


class _AnchorSearch:
    """Finds content that moved by any distance.

    Anchors are 8-byte words that occur once in each file, among those whose hash has a fixed top: which words
    these are depends on content alone, so both files choose the same. One in ``2**bits`` words is chosen.
    """

    def __init__(self, pair: _Pair, old_range: tuple[int, int], new_range: tuple[int, int]) -> None:
        self._pair = pair
        longest = max(old_range[1] - old_range[0], new_range[1] - new_range[0])
        bits = max(3, (longest // _ANCHORS).bit_length())
        old_words, old_places = _chosen_words(pair.old, *old_range, bits)
        new_words, new_places = _chosen_words(pair.new, *new_range, bits)
        _, in_old, in_new = np.intersect1d(old_words, new_words, assume_unique=True, return_indices=True)
        order = np.argsort(old_places[in_old])
        self._old = old_places[in_old][order]
        self._new = new_places[in_new][order]

    def next(self, old_at: int, old_end: int) -> _Anchor | None:
        """Where the first match of ``_RUN`` bytes around an anchor begins, within ``[old_at, old_end)``."""
        pair = self._pair
        for index in range(int(np.searchsorted(self._old, old_at)), len(self._old)):
            old, new = int(self._old[index]), int(self._new[index])
            before = pair.backward(old, new, min(old - old_at, new))
            after = pair.forward(old, new, min(_RUN, old_end - old, pair.new.size - new))
            if before + after >= _RUN:
                return _Anchor(old - before, new - before)
        return None


def _chosen_words(file: _Blocks, start: int, end: int, bits: int) -> tuple[Words, Positions]:
    """The chosen words that occur once in a range of a file, sorted, and where each stands."""
    words: list[Words] = []
    places: list[Positions] = []
    for block in range(start, end - _WORD + 1, BLOCK):
        data = file.read(block, min(BLOCK + _WORD - 1, end - block)).tobytes()
        found = []
        for phase in range(min(_WORD, len(data) - _WORD + 1)):
            view = np.frombuffer(data, "<u8", (len(data) - phase) // _WORD, phase)
            # The top is 1, never 0: silence hashes to 0.
            hits = np.flatnonzero(view * np.uint64(0x9E37_79B9_7F4A_7C15) >> np.uint64(64 - bits) == 1)
            found.append((view[hits], hits * _WORD + (block + phase)))
        # Repetitions go at once, so that a file of one tone does not fill the memory.
        chosen = _once(np.concatenate([part for part, _ in found]), np.concatenate([at for _, at in found]))
        words.append(chosen[0])
        places.append(chosen[1])
    if not words:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    return _once(np.concatenate(words), np.concatenate(places))


def _once(words: Words, places: Positions) -> tuple[Words, Positions]:
    """Those words that occur once, sorted, each with its place."""
    unique, first, count = np.unique(words, return_index=True, return_counts=True)
    return unique[count == 1], places[first[count == 1]]


def _as_bytes(data: bytes) -> Bytes:
    return np.frombuffer(data, np.uint8)


def _varint(number: int) -> bytes:
    """LEB128: seven bits a byte, low ones first, the top bit set on all but the last."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


class _Inflated(io.RawIOBase):
    """The inflated stream of a patch; whatever is wrong with it is a PatchError."""

    def __init__(self, patch: BinaryIO) -> None:
        self._patch = patch
        self._inflate = zlib.decompressobj()
        if self._compressed(len(MAGIC)) != MAGIC:
            raise PatchError("The undo patch is damaged, or was written by a newer MoodZone: update it.")

    def _compressed(self, length: int) -> bytes:
        try:
            return self._patch.read(length)
        except OSError as error:
            raise PatchError(f"The undo patch cannot be read: {error.strerror}.") from error

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer)
        while not self._inflate.eof:
            compressed = self._inflate.unconsumed_tail or self._compressed(io.DEFAULT_BUFFER_SIZE)
            try:
                data = self._inflate.decompress(compressed, len(view))
            except zlib.error as error:
                raise PatchError("The undo patch is damaged.") from error
            if data:
                view[: len(data)] = data
                return len(data)
            if not compressed:
                raise PatchError("The undo patch is cut short.")
        return 0


class _Reader:
    """Reads the parts of a patch one after the other."""

    def __init__(self, patch: BinaryIO) -> None:
        self._stream = io.BufferedReader(_Inflated(patch))

    def take(self, length: int) -> bytes:
        """Exactly ``length`` bytes."""
        data = self._stream.read(length)
        if len(data) < length:
            raise PatchError("The undo patch is damaged: it ends early.")
        return data

    def instruction(self) -> tuple[_Kind, int]:
        """Kind and argument of the next instruction."""
        number = 0
        for shift in range(0, 70, 7):
            (byte,) = self.take(1)
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return _Kind(number & 3), number >> 2
        raise PatchError("The undo patch is damaged: it holds an endless number.")

    def finish(self) -> None:
        """Check that nothing is left; this also reads the stream's own checksum."""
        if self._stream.read(1):
            raise PatchError("The undo patch is damaged: it goes on after its end.")
