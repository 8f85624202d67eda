"""Serato's payloads in the tags of one audio file: read them, or edit a private copy and prove that harmless.

ID3 (MP3, AIFF, WAV) holds a payload's bytes in a GEOB frame; FLAC and MP4 hold text, which Serato encodes in
base64. This module hands both on as they are. Ogg has a form of its own, which is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from exporters.tags.container import carry_out, opened, parse
from exporters.tags.entries import MARKERS, MARKERS2
from exporters.tags.second_opinion import payloads as as_others_read
from exporters.tags.splice import Source
from moodzone_agent.errors import TagError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from exporters.tags.entries import Dialect, PayloadDialect
    from exporters.tags.layout import TaggedFile

__all__ = ["MARKERS", "MARKERS2", "Payloads", "read_payloads", "write_payloads"]


@dataclass(frozen=True, slots=True)
class Payloads:
    """The payloads of one file."""

    values: Mapping[str, bytes]
    """Value by name, of ``MARKERS2`` and ``MARKERS`` as far as they are there."""
    is_text: bool
    """Whether the format holds payloads as text in base64."""


def read_payloads(path: Path) -> Payloads | None:
    """A file's payloads; None if its format has no place for them. Opens it for reading only.

    Raises TagError, also where a payload is there twice.
    """
    with opened(path, "rb") as file:
        return _payloads(parse(Source(file)))


def write_payloads(copy: Path, values: Mapping[str, bytes | None]) -> None:
    """Edit a private copy in place so that it holds these values; None takes a payload out.

    An entry that is there keeps its place, its head and its flags; a value that is there already changes no
    byte. All else is kept byte for byte, and the tag's length where its padding allows. Audio, foreign data
    and payloads are read back and compared, the payloads by mutagen too. Raises TagError; the copy may then be
    half edited and is to be thrown away.
    """
    expected = {name: value for name, value in values.items() if value is not None}
    with opened(copy, "r+b") as file:
        source = Source(file)
        before = parse(source)
        if expected and _payloads(before) is None:
            raise TagError("Serato's data in Ogg files has a form that MoodZone doesn't write.")
        witness = partial(as_others_read, names=values.keys())
        source = carry_out(file, before, _PayloadEdit(values), witness=witness, expected=expected)
        after = _payloads(parse(source))
    found = {} if after is None else after.values
    if {name: found[name] for name in values if name in found} != expected:
        raise TagError("The data could not be read back; nothing was written. Please report this file.")


@dataclass(frozen=True, slots=True)
class _PayloadEdit:
    """What one edit does to the payloads."""

    values: Mapping[str, bytes | None]

    @property
    def takes_out(self) -> bool:
        """Whether it writes none."""
        return all(value is None for value in self.values.values())

    def applied(self, entries: Sequence[bytes], dialect: Dialect, *, in_front: bool = False) -> list[bytes]:
        """The entries with the new values in place of the old ones, or without them."""
        payloads = dialect.payloads
        if payloads is None:
            return list(entries)
        old = _by_name(entries, payloads)
        result = []
        for entry in entries:
            name = payloads.name(entry)
            if name not in self.values:
                result.append(entry)
            elif (value := self.values[name]) is not None:
                result.append(entry if value == old[name] else payloads.with_value(entry, value))
        new = [
            payloads.make(name, value)
            for name, value in self.values.items()
            if value is not None and name not in old
        ]
        if new and any(payloads.name(entry) == "?" for entry in entries):
            raise TagError(
                "The file's tag has an entry that is compressed, encrypted or damaged and may be Serato's. "
                "Save the tag with a tag editor first."
            )
        return [*new, *result] if in_front else [*result, *new]

    def foreign(self, entries: Sequence[bytes], dialect: Dialect) -> list[bytes]:
        """All other entries."""
        payloads = dialect.payloads
        return [entry for entry in entries if payloads is None or payloads.name(entry) not in self.values]

    def is_grown(self, entries: Sequence[bytes], dialect: Dialect) -> bool:
        """Whether one of these payloads comes first."""
        payloads = dialect.payloads
        return bool(entries) and payloads is not None and payloads.name(entries[0]) in self.values


def _payloads(tagged: TaggedFile) -> Payloads | None:
    entries, dialect = tagged.entries()
    if dialect.payloads is None:
        return None
    found = _by_name(entries, dialect.payloads)
    return Payloads(
        {name: found[name] for name in (MARKERS2, MARKERS) if name in found}, dialect.payloads.is_text
    )


def _by_name(entries: Sequence[bytes], payloads: PayloadDialect) -> dict[str, bytes]:
    """Value by name. Raises TagError where one that concerns us is there twice."""
    found: dict[str, bytes] = {}
    for entry in entries:
        name = payloads.name(entry)
        if name in found and name in (MARKERS2, MARKERS):
            raise TagError(
                f"The file holds {name} twice, and programs differ in which they read. "
                "Remove one with a tag editor, or have Serato analyze the file anew."
            )
        if name not in ("", "?"):
            found[name] = payloads.value(entry)
    return found
