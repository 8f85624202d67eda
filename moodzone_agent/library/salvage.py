"""What a damaged library still holds of its histories, read from its pages without SQLite.

Histories are append-only, so that every entry found on any page, even on one that SQLite can no longer reach or has
given up, is true. Read are the leaves of tables in the file, and those in the write-ahead log that belong to complete
transactions. An entry too long for one page (some 4,000 bytes) is not read.

Format: https://www.sqlite.org/fileformat2.html
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

from moodzone_agent.library.records import PlaceEventKind
from moodzone_agent.types import LabelOrigin, Zone

_PAGE_SIZES: Final = frozenset(1 << power for power in range(9, 17))
_USUAL_PAGE_SIZE: Final = 4096
_HEAD: Final = 100
_LEAF_OF_TABLE: Final = 0x0D
_WAL_HEAD: Final = 32
_WAL_FRAME_HEAD: Final = 24
_WAL_MAGIC: Final = {0x377F0682: "<", 0x377F0683: ">"}
_INTEGERS: Final = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
"""Bytes of an integer by its serial type."""

Value = int | float | str | bytes | None


class LabelRow(NamedTuple):
    """One entry of the label history, as the database stores it."""

    audio_id: str
    zone: str | None
    origin: str
    source: str
    time_ns: int


class PlaceRow(NamedTuple):
    """One entry of the history of a place, as the database stores it."""

    collection: int
    volume: int
    path: bytes
    field: str
    kind: str
    value: str
    ours: str
    edited_ns: int | None
    time_ns: int


@dataclass(slots=True)
class Salvage:
    """What was found, with its number in its table. A number may come twice, and one of the two be damaged."""

    labels: list[tuple[int, LabelRow]] = field(default_factory=list)
    place_events: list[tuple[int, PlaceRow]] = field(default_factory=list)
    collections: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    """Target and path."""
    volumes: dict[int, tuple[str, bytes, bytes]] = field(default_factory=dict)
    """Id, where it last appeared, and what part of it."""
    last_label: int = 0
    """The highest number that a label ever had, by SQLite's own record."""

    def take(self, number: int, row: tuple[Value, ...]) -> None:
        """Keep a row if it is one of ours, told by the types and words in it."""
        match row:
            case (None, str(audio_id), (str() | None) as zone, str(origin), str(source), int(time_ns)):
                if audio_id and (zone is None or zone in _ZONES) and origin in _ORIGINS:
                    self.labels.append((number, LabelRow(audio_id, zone, origin, source, time_ns)))
            case (
                None,
                int(collection),
                int(volume),
                bytes(path),
                str(name),
                str(kind),
                str(value),
                str(ours),
                (int() | None) as edited_ns,
                int(time_ns),
            ) if kind in _KINDS:
                place = PlaceRow(collection, volume, path, name, kind, value, ours, edited_ns, time_ns)
                self.place_events.append((number, place))
            case ("label", int(last)):
                self.last_label = max(self.last_label, last)
            case (None, str(target), bytes(path)):
                self.collections[number] = (target, path)
            case (None, str(uid), bytes(mount), bytes(root)):
                self.volumes[number] = (uid, mount, root)


_ZONES: Final = frozenset(map(str, Zone))
_ORIGINS: Final = frozenset(map(str, LabelOrigin))
_KINDS: Final = frozenset(map(str, PlaceEventKind))


def salvage(path: Path) -> Salvage:
    """What can be read of the library at ``path`` and its write-ahead log, which may be missing.

    Errors: `OSError` where the disk fails.
    """
    found = Salvage()
    size = _page_size(path)
    for page in chain(_pages(path, size), _committed(Path(f"{path}-wal"))):
        if page[0] == _LEAF_OF_TABLE:
            for number, row in _rows(page, max(size, len(page))):
                found.take(number, row)
    return found


def _page_size(path: Path) -> int:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    told = int.from_bytes(head[16:18], "big")
    told = 1 << 16 if told == 1 else told
    return told if told in _PAGE_SIZES and len(head) == _HEAD else _USUAL_PAGE_SIZE


def _pages(path: Path, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(size)  # the first holds no rows of ours
        while page := file.read(size):
            yield page  # the last may be cut off


def _committed(log: Path) -> Iterator[bytes]:
    """The pages of complete transactions in a write-ahead log."""
    try:
        content = log.read_bytes()
    except FileNotFoundError:
        return
    if len(content) < _WAL_HEAD:
        return
    magic, _, size, _, salt_1, salt_2, sum_1, sum_2 = struct.unpack(">8I", content[:_WAL_HEAD])
    if magic not in _WAL_MAGIC or size not in _PAGE_SIZES:
        return
    order = _WAL_MAGIC[magic]
    sums = _checksum(content[:24], (0, 0), order)
    if sums != (sum_1, sum_2):
        return
    waiting = []
    for start in range(_WAL_HEAD, len(content) - size - _WAL_FRAME_HEAD + 1, size + _WAL_FRAME_HEAD):
        page = content[start + _WAL_FRAME_HEAD : start + _WAL_FRAME_HEAD + size]
        _, pages_after, *salts, sum_1, sum_2 = struct.unpack(">6I", content[start : start + _WAL_FRAME_HEAD])
        sums = _checksum(content[start : start + 8] + page, sums, order)
        if salts != [salt_1, salt_2] or sums != (sum_1, sum_2):
            return
        waiting.append(page)
        if pages_after:  # the last of its transaction
            yield from waiting
            waiting.clear()


def _checksum(data: bytes, start: tuple[int, int], order: str) -> tuple[int, int]:
    first, second = start
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for at in range(0, len(words), 2):
        first = (first + words[at] + second) & 0xFFFF_FFFF
        second = (second + words[at + 1] + first) & 0xFFFF_FFFF
    return first, second


def _rows(page: bytes, whole: int) -> Iterator[tuple[int, tuple[Value, ...]]]:
    """Number and values of each whole row of a table's leaf, or of what is left of it; no unsound one is among them."""
    count = int.from_bytes(page[3:5], "big")
    if 8 + 2 * count > len(page):
        return
    for (at,) in struct.iter_unpack(">H", page[8 : 8 + 2 * count]):
        try:
            payload, at_number = _varint(page, at)
            number, start = _varint(page, at_number)
            if 0 < payload <= whole - 35 and start + payload <= len(page):
                yield number, tuple(_values(page[start : start + payload]))
        except (IndexError, UnicodeDecodeError, _NotARowError):
            continue


class _NotARowError(Exception):
    """Bytes that are no row."""


def _values(record: bytes) -> Iterator[Value]:
    head, at = _varint(record, 0)
    body = head
    while at < head:
        kind, at = _varint(record, at)
        length = _INTEGERS.get(kind, 8 if kind == 7 else max(0, kind - 12) // 2)
        value = record[body : body + length]
        body += length
        if kind in {10, 11} or len(value) != length:
            raise _NotARowError
        if kind == 0:
            yield None
        elif kind in _INTEGERS:
            yield int.from_bytes(value, "big", signed=True)
        elif kind == 7:
            yield struct.unpack(">d", value)[0]
        elif kind in {8, 9}:
            yield kind - 8
        else:
            yield value.decode() if kind % 2 else value
    if at != head or body != len(record):
        raise _NotARowError


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of 1 to 9 bytes, seven bits in each, and where it ends. Raises IndexError behind the data's end."""
    value = 0
    for place in range(8):
        byte = data[at + place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + place + 1
    return value << 8 | data[at + 8], at + 9
