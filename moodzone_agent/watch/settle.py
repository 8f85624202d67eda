"""When a file that was written is at rest: its size and times stand still, and its container is whole."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, Self

from moodzone_agent.audio.container import HEAD_BYTES, TAIL_BYTES, is_cut_off, sniff
from moodzone_agent.audio.span import audio_span

_REMEMBERED: Final = 10_000
"""How many files' last reported looks are kept, so that late events tell nothing twice."""
_ATOM_HEADER: Final = 16
_MOST_ATOMS: Final = 10_000
_MOST_BLOCKS: Final = 1_000


class Look(NamedTuple):
    """What one look at a file shows. Not its inode: file systems in user space may give another each time."""

    size: int
    """Bytes."""
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        """The look of a file's ``stat``."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class _Waiting(NamedTuple):
    look: Look
    due: float


class Settling:
    """Files that have changed and may still be written to. Knows no clock: each call says what time it is.

    A path comes out of `ready` once two looks at it, `seconds` apart, are equal, and again only after a look
    that differs from the one it came out with. All cost per call is constant.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: OrderedDict[Path, _Waiting] = OrderedDict()
        """In the order of their next looks, since all wait equally long."""
        self._ready: list[Path] = []
        self._reported: OrderedDict[Path, Look] = OrderedDict()

    def __contains__(self, path: Path) -> bool:
        return path in self._waiting

    def note(self, path: Path, look: Look | None, now: float) -> None:
        """A look at ``path`` at the time ``now`` in seconds, which never goes back; None if it isn't there."""
        waiting = self._waiting.get(path)
        if look is None:
            self._waiting.pop(path, None)
            self._reported.pop(path, None)
        elif look == self._reported.get(path):
            self._waiting.pop(path, None)
        elif waiting is None or waiting.look != look:
            self._waiting[path] = _Waiting(look, now + self._seconds)
            self._waiting.move_to_end(path)
        elif now >= waiting.due:
            del self._waiting[path]
            self._ready.append(path)
            self._reported[path] = look
            self._reported.move_to_end(path)
            if len(self._reported) > _REMEMBERED:
                self._reported.popitem(last=False)

    def due(self) -> float | None:
        """When the next look is needed, or None."""
        return next((waiting.due for waiting in self._waiting.values()), None)

    def to_look(self, now: float) -> list[Path]:
        """The paths whose next look is due at ``now``; each shall be noted."""
        paths = []
        for path, waiting in self._waiting.items():
            if waiting.due > now:
                break
            paths.append(path)
        return paths

    def ready(self) -> list[Path]:
        """The paths that have come to rest since the last call."""
        ready, self._ready = self._ready, []
        return ready


def is_complete(path: Path) -> bool:
    """Whether the container at ``path`` is whole, as far as its ends and its outermost structure tell.

    Empty files, MP4 without its index, FLAC cut off in its header, WAV, AIFF and Ogg that are shorter than they say,
    and files whose beginning isn't filled in yet are not. Errors: `OSError`.
    """
    with path.open("rb") as file:
        start, end = audio_span(file)
        head = _read(file, start, HEAD_BYTES)
        if not head or not any(_read(file, 0, HEAD_BYTES)):
            return False
        match sniff(head):
            case "mov":
                return _has_index(file, start, end)
            case "flac":
                return _has_audio_frame(file, start, end)
            case _:
                tail = _read(file, max(start, end - TAIL_BYTES), TAIL_BYTES) if sniff(head) == "ogg" else b""
                return not is_cut_off(head, tail, end - start)


def _read(file: BinaryIO, start: int, length: int) -> bytes:
    file.seek(start)
    return file.read(length)


def _has_index(file: BinaryIO, place: int, end: int) -> bool:
    """Whether the atoms of an MP4 file (ISO 14496-12) are all there, its index ``moov`` among them."""
    found = False
    for _ in range(_MOST_ATOMS):
        header = _read(file, place, _ATOM_HEADER)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:], "big")
        elif length == 0:  # to the end of the file
            length = end - place
        if length < 8 or place + length > end:
            return False
        found = found or header[4:8] == b"moov"
        place += length
        if place == end:
            break
    return found


def _has_audio_frame(file: BinaryIO, place: int, end: int) -> bool:
    """Whether all metadata blocks of a FLAC file (RFC 9639) are there, and some audio behind them."""
    place += 4
    for _ in range(_MOST_BLOCKS):
        header = _read(file, place, 4)
        place += 4 + int.from_bytes(header[1:], "big")
        if len(header) < 4 or place >= end:
            return False
        if header[0] & 0x80:  # the last
            return True
    return False
