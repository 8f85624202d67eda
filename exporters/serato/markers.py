"""The payload "Serato Markers_": Serato's older form, version 2.5 (Holzhaus, serato-tags documentation).

It is ``02 05``, the number of cues and loops as big-endian u32, one entry for each, and the track's stored
colour in four bytes. In ID3 an entry has 22 bytes and the colour is spread over the lower 7 bits of its bytes; in
MP4 an entry has 19 bytes, the colour is ``00 RR GG BB``, and a NUL follows.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from moodzone_agent.errors import TagError

_VERSION: Final = b"\2\5"
_HEADER: Final = 6
_COLOUR: Final = 4
_ID3_ENTRY: Final = 22
_MP4_ENTRY: Final = 19


_DAMAGED: Final = "The file's Serato Markers_ is damaged. Have Serato analyze the file anew."


class _Place(NamedTuple):
    start: int
    bits: int
    """Bits of the colour in each byte."""


def track_colour(payload: bytes) -> int:
    """The stored colour, 0xFFFFFF for none. Raises TagError."""
    place = _find(payload)
    colour = 0
    for byte in payload[place.start : place.start + _COLOUR]:
        colour = colour << place.bits | byte
    if colour >> 24 or payload != _with_colour(payload, colour, place):
        raise TagError(_DAMAGED)
    return colour


def with_track_colour(payload: bytes, colour: int) -> bytes:
    """The payload with another stored colour, and all else as it is. Raises TagError."""
    track_colour(payload)
    return _with_colour(payload, colour, _find(payload))


def _with_colour(payload: bytes, colour: int, place: _Place) -> bytes:
    mask = (1 << place.bits) - 1
    new = bytes(colour >> place.bits * index & mask for index in reversed(range(_COLOUR)))
    return payload[: place.start] + new + payload[place.start + _COLOUR :]


def _find(payload: bytes) -> _Place:
    """Where the colour is. Raises TagError if the payload is of another version or form."""
    if payload[:2] != _VERSION:
        raise TagError(
            f"The file's Serato Markers_ is of an unknown version ({payload[:2].hex(' ')}). Nothing was written."
        )
    count = int.from_bytes(payload[2:_HEADER], "big")
    id3, mp4 = (_HEADER + count * entry for entry in (_ID3_ENTRY, _MP4_ENTRY))
    if len(payload) == id3 + _COLOUR:
        return _Place(id3, 7)
    if mp4 + _COLOUR <= len(payload) <= mp4 + _COLOUR + 1:
        return _Place(mp4, 8)
    raise TagError(_DAMAGED)
