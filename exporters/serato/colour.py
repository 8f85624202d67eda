"""The track's colour in an audio file, as Serato's library shows it: read it, or write it into a private copy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporters.serato import markers, markers2
from exporters.serato.envelope import Envelope
from exporters.serato.palette import NO_COLOUR, shown_colour, stored_colour
from exporters.tags.payloads import MARKERS, MARKERS2, Payloads, read_payloads, write_payloads
from moodzone_agent.errors import TagError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class SeratoColourState:
    """What a file says of the colour."""

    colour: int | None
    """0xRRGGBB as shown; None for no colour."""
    source: str | None
    """Name of the payload that says so, ``Serato Markers_`` before ``Serato Markers2``; None if neither does."""
    is_supported: bool
    """Whether the file's format has a place for the colour that MoodZone can write."""


def read_colour(path: Path) -> SeratoColourState:
    """A file's colour. Opens it for reading only. Raises TagError."""
    return _state(read_payloads(path))


def write_colour(copy: Path, colour: int | None) -> SeratoColourState:
    """Edit a private copy in place so that Serato shows this colour, 0xRRGGBB, or none for None.

    "Serato Markers2" is made where there is none; "Serato Markers_" only changed where it is there. None sets
    the colours that are there to none, and takes out a "Serato Markers2" that nobody changed since it was made
    here; a file that had no colour then has the bytes it had before. Returns the new state.

    Raises TagError; the copy may then be half edited and is to be thrown away. Raises UsageError for a colour
    that Serato cannot show.
    """
    stored = stored_colour(colour)
    old = read_payloads(copy) or Payloads({}, is_text=False)
    values: dict[str, bytes | None] = {}
    if MARKERS2 in old.values or colour is not None:
        values[MARKERS2] = _new_markers2(old, stored)
    if MARKERS in old.values:
        payload = markers.with_track_colour(_payload(old, MARKERS), stored)
        values[MARKERS] = _with_payload(old, MARKERS, payload)
    write_payloads(copy, values)
    state = read_colour(copy)
    if state.colour != colour:
        raise TagError("The colour could not be read back; nothing was written. Please report this file.")
    return state


def _state(payloads: Payloads | None) -> SeratoColourState:
    if payloads is None:
        return SeratoColourState(None, None, is_supported=False)
    for name, read in ((MARKERS, markers.track_colour), (MARKERS2, markers2.track_colour)):
        if name in payloads.values and (stored := read(_payload(payloads, name))) is not None:
            return SeratoColourState(shown_colour(stored), name, is_supported=True)
    return SeratoColourState(None, None, is_supported=True)


def _new_markers2(old: Payloads, stored: int) -> bytes | None:
    """The value of "Serato Markers2" with this colour; None if it is to go."""
    size = markers2.TEXT_SIZE if old.is_text else markers2.ID3_SIZE
    if MARKERS2 not in old.values:
        payload = markers2.Markers2.new(stored, size).dump()
        return Envelope.new(payload, MARKERS2).dump() if old.is_text else payload
    payload = _payload(old, MARKERS2)
    before = markers2.track_colour(payload)
    if stored == NO_COLOUR:
        if before is None:
            return old.values[MARKERS2]
        if payload == markers2.Markers2.new(before, size).dump():
            return None
    return _with_payload(old, MARKERS2, markers2.with_track_colour(payload, stored))


def _payload(payloads: Payloads, name: str) -> bytes:
    value = payloads.values[name]
    return Envelope.parse(value, name).payload if payloads.is_text else value


def _with_payload(payloads: Payloads, name: str, payload: bytes) -> bytes:
    """The value with another payload in the envelope that it has."""
    if not payloads.is_text:
        return payload
    old = Envelope.parse(payloads.values[name], name)
    return Envelope(old.head, payload, old.style).dump()
