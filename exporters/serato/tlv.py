"""Serato's tagged values: crates, smart crates and database V2 (Holzhaus, serato-tags documentation).

A value is four ASCII bytes of tag, its length as u32, and its data, all big-endian. The tag's first letter gives
the type: ``t`` and ``p`` text in UTF-16BE without mark or NUL (and ``vrsn``), ``u`` u32, ``s`` u16, ``b`` u8, ``o``
and ``r`` values in turn. What is unknown stays as it is: parsing and dumping give the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from moodzone_agent.errors import CollectionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_HEADER: Final = 8
_NUMBERS: Final = {"u": 4, "s": 2, "b": 1}


@dataclass(frozen=True, slots=True)
class Value:
    """One tagged value."""

    tag: str
    """Four ASCII characters."""
    data: bytes

    def text(self) -> str:
        """The data as text. Raises CollectionError if it is none."""
        try:
            if self.tag != "vrsn" and self.tag[0] not in "tp":
                raise _malformed(f"{self.tag} is no text")
            return self.data.decode("utf-16-be")
        except UnicodeDecodeError as error:
            raise _malformed(f"the text of {self.tag} is no UTF-16") from error

    def number(self) -> int:
        """The data as a number. Raises CollectionError if it is none."""
        if len(self.data) != _NUMBERS.get(self.tag[0]):
            raise _malformed(f"{self.tag} is no number")
        return int.from_bytes(self.data, "big")

    def children(self) -> tuple[Value, ...]:
        """The values within. Raises CollectionError if there are none."""
        if self.tag[0] not in "or":
            raise _malformed(f"{self.tag} holds no further values")
        return parse(self.data)


def parse(data: bytes) -> tuple[Value, ...]:
    """The values that fill ``data``. Raises CollectionError."""
    return tuple(_values(data))


def dump(values: Iterable[Value]) -> bytes:
    """The bytes of values in turn."""
    return b"".join(
        value.tag.encode("ascii") + len(value.data).to_bytes(4, "big") + value.data for value in values
    )


def text(tag: str, content: str) -> Value:
    """A value of text."""
    return Value(tag, content.encode("utf-16-be"))


def number(tag: str, content: int) -> Value:
    """A value of a number, whose size the tag tells."""
    return Value(tag, content.to_bytes(_NUMBERS[tag[0]], "big"))


def nested(tag: str, *children: Value) -> Value:
    """A value that holds others."""
    return Value(tag, dump(children))


def first(values: Iterable[Value], tag: str) -> Value | None:
    """The first value of that tag, if there is one."""
    return next((value for value in values if value.tag == tag), None)


def expect_version(values: tuple[Value, ...], version: str) -> None:
    """Raises CollectionError unless the values begin with ``vrsn`` of this text."""
    if not values or values[0].tag != "vrsn":
        raise CollectionError("Not a file of Serato's: it has no version. Have Serato write it anew.")
    found = values[0].text()
    if found != version:
        raise CollectionError(
            f"Serato's file is of version {found!r}, and MoodZone knows only {version!r}. Nothing was written."
        )


def _values(data: bytes) -> Iterator[Value]:
    place = 0
    while place < len(data):
        header = data[place : place + _HEADER]
        end = place + _HEADER + int.from_bytes(header[4:], "big")
        if len(header) < _HEADER or not header[:4].isascii() or end > len(data):
            raise _malformed(f"it breaks off at byte {place}")
        yield Value(header[:4].decode("ascii"), data[place + _HEADER : end])
        place = end


def _malformed(what: str) -> CollectionError:
    return CollectionError(
        f"Serato's file is damaged: {what}. Restore it from a backup, or have Serato write it anew."
    )
