"""The payload "Serato Markers2": cues, loops, flips and the track's colour (Holzhaus, serato-tags documentation).

It is ``01 01``, base64, and NULs up to a size of 470 bytes in ID3 and 515 in FLAC and MP4, or 512, 1024, ... more.
The base64 holds ``01 01`` again, entries, and a NUL. An entry is its name, NUL, the length of its data as
big-endian u32, and its data. COLOR is ``00 RR GG BB`` as stored; BPMLOCK is one byte.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from exporters.serato.base64_text import SERATO, Style, decode, encode
from moodzone_agent.errors import TagError

ID3_SIZE: Final = 470
TEXT_SIZE: Final = 515
_STEP: Final = 512
_VERSION: Final = b"\1\1"
_COLOUR: Final = b"COLOR"


_DAMAGED: Final = "The file's Serato Markers2 is damaged. Have Serato analyze the file anew."


class Entry(NamedTuple):
    """A named value."""

    name: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Markers2:
    """The payload, taken apart."""

    entries: tuple[Entry, ...]
    rest: bytes
    """What follows the entries within the base64: a NUL."""
    style: Style
    tail: bytes
    """What follows the base64: NULs, and in FLAC and MP4 a last byte of chance value."""
    size: int
    """Length of the payload."""

    @classmethod
    def parse(cls, payload: bytes) -> Markers2:
        """Take a payload apart. Raises TagError if putting it together would not give the same bytes."""
        if payload[:2] != _VERSION:
            raise TagError(_unknown(payload))
        end = payload.find(b"\0", 2)
        end = len(payload) if end < 0 else end
        content, style = decode(payload[2:end])
        if content[:2] != _VERSION:
            raise TagError(_unknown(content))
        entries, place = _split(content)
        markers = cls(entries, content[place:], style, payload[end:], len(payload))
        if markers.dump() != payload:
            raise TagError(_DAMAGED)
        return markers

    @classmethod
    def new(cls, colour: int, size: int) -> Markers2:
        """What an untouched track has and this stored colour, in an order that Serato does not write."""
        entries = (Entry(b"BPMLOCK", b"\0"), Entry(_COLOUR, colour.to_bytes(4, "big")))
        return cls(entries, b"\0", SERATO, b"\0", size)

    def dump(self) -> bytes:
        """The payload, of the same size where it fits. Raises TagError where it could not be read again."""
        content = _VERSION + _join(self.entries) + self.rest
        text = encode(content, self.style)
        if decode(text)[0].rstrip(b"\0") != content.rstrip(b"\0"):
            raise TagError(_DAMAGED)
        room = self.size - len(_VERSION) - len(text)
        least = min(len(self.tail), 1)
        if room < least:
            room += -(-(least - room) // _STEP) * _STEP
        tail = self.tail[len(self.tail) - room :] if room < len(self.tail) else self.tail.rjust(room, b"\0")
        if tail.strip(b"\0") != self.tail.strip(b"\0") or tail[:1] not in (b"", b"\0"):
            raise TagError(_DAMAGED)
        return _VERSION + text + tail

    @property
    def colour(self) -> int | None:
        """The stored colour, 0xFFFFFF for none; None if there is no entry for it."""
        at = self._colour_at()
        return None if at is None else int.from_bytes(self.entries[at].data[1:], "big")

    def with_colour(self, colour: int | None) -> Markers2:
        """The same with another stored colour, or without the entry; a new entry comes first, as in Serato."""
        at = self._colour_at()
        if at is None:
            new = [] if colour is None else [Entry(_COLOUR, colour.to_bytes(4, "big"))]
            return replace(self, entries=(*new, *self.entries))
        old = self.entries[at]
        kept = () if colour is None else (Entry(_COLOUR, old.data[:1] + colour.to_bytes(3, "big")),)
        return replace(self, entries=(*self.entries[:at], *kept, *self.entries[at + 1 :]))

    def _colour_at(self) -> int | None:
        found = [index for index, entry in enumerate(self.entries) if entry.name == _COLOUR]
        if len(found) > 1 or any(len(self.entries[index].data) != 4 for index in found):
            raise TagError(_DAMAGED)
        return found[0] if found else None


def track_colour(payload: bytes) -> int | None:
    """The stored colour, 0xFFFFFF for none; None if there is no entry for it. Raises TagError."""
    return Markers2.parse(payload).colour


def with_track_colour(payload: bytes, colour: int | None) -> bytes:
    """The payload with another stored colour, or without an entry for it; all else is kept. Raises TagError.

    Setting back what ``track_colour`` said gives the same bytes; but where an entry came or went, only if the
    payload kept its size and its base64 is as Serato writes it.
    """
    return Markers2.parse(payload).with_colour(colour).dump()


def _split(content: bytes) -> tuple[tuple[Entry, ...], int]:
    """The entries, and the place of the NUL that ends them."""
    entries = []
    place = len(_VERSION)
    while place < len(content) and content[place]:
        name, _, rest = content[place:].partition(b"\0")
        length = int.from_bytes(rest[:4], "big")
        if len(rest) < 4 + length:
            raise TagError(_DAMAGED)
        entries.append(Entry(name, rest[4 : 4 + length]))
        place += len(name) + 5 + length
    if place >= len(content):
        raise TagError(_DAMAGED)
    return tuple(entries), place


def _join(entries: tuple[Entry, ...]) -> bytes:
    return b"".join(entry.name + b"\0" + len(entry.data).to_bytes(4, "big") + entry.data for entry in entries)


def _unknown(data: bytes) -> str:
    return f"The file's Serato Markers2 is of an unknown version ({data[:2].hex(' ')}). Nothing was written."
