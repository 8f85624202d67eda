"""Bytes of a file: reading ranges of it, and replacing ranges of it in place."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final, TypeAlias

from moodzone_agent.errors import TagError

if TYPE_CHECKING:
    from collections.abc import Iterable

Span: TypeAlias = tuple[int, int]
"""Start and end of a range of bytes."""

_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Edit:
    """Put ``data`` in the place of the bytes from ``start`` to ``end``, offsets of the unedited file."""

    start: int
    end: int
    data: bytes


class Source:
    """Random access to an open file whose own claims about sizes may be false."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.size = file.seek(0, os.SEEK_END)

    def read(self, start: int, end: int) -> bytes:
        """The bytes from ``start`` to ``end``. Raises TagError unless the file has all of them."""
        if not 0 <= start <= end <= self.size:
            raise TagError("The file is shorter than its own headers say; it looks cut off. Copy it anew.")
        self._file.seek(start)
        data = self._file.read(end - start)
        if len(data) != end - start:
            raise TagError("The file became shorter while it was read. Try again when nothing else uses it.")
        return data

    def peek(self, start: int, length: int) -> bytes:
        """Up to ``length`` bytes from ``start``; fewer, or none, at the file's ends."""
        return self.read(start, min(start + length, self.size)) if 0 <= start <= self.size else b""

    def sha256(self, spans: Iterable[Span]) -> str:
        """Hex SHA-256 over the bytes of all spans in turn."""
        digest = hashlib.sha256()
        for start, end in spans:
            for block in range(start, end, _BLOCK):
                digest.update(self.read(block, min(block + _BLOCK, end)))
        return digest.hexdigest()


def splice(file: IO[bytes], edits: Iterable[Edit]) -> None:
    """Carry out edits that do not overlap, in place; of several at one offset the first given comes first.

    Memory is bounded; what keeps its length is written without moving the rest.
    """
    for edit in sorted(edits, key=lambda edit: edit.start)[::-1]:
        growth = len(edit.data) - (edit.end - edit.start)
        if growth:
            _shift(file, edit.end, growth)
        file.seek(edit.start)
        file.write(edit.data)
    file.flush()


def _shift(file: IO[bytes], start: int, by: int) -> None:
    """Move everything from ``start`` to the end by ``by`` bytes."""
    end = file.seek(0, os.SEEK_END)
    blocks = range(start, end, _BLOCK)
    for block in reversed(blocks) if by > 0 else blocks:
        file.seek(block)
        data = file.read(min(_BLOCK, end - block))
        file.seek(block + by)
        file.write(data)
    if by < 0:
        file.truncate(end + by)
