"""Vorbis comments, as FLAC, Ogg Vorbis and Opus have them (xiph.org/vorbis/doc/v-comment.html)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final

from exporters.tags import entries as common
from exporters.tags.entries import MARKERS2, TagField, Texts
from moodzone_agent.errors import TagError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exporters.tags.entries import EntryEdit, PayloadDialect

OUR_VENDOR: Final = b"MoodZone"


class Comments:
    """The dialect: an entry is a comment with its length in front. What is no UTF-8 stays as it is."""

    own: ClassVar[str] = "MOODZONE"
    visible: ClassVar[Mapping[TagField, Sequence[str]]] = {
        TagField.COMMENT: ("COMMENT", "DESCRIPTION"),
        TagField.GROUPING: ("GROUPING",),
        TagField.GENRE: ("GENRE",),
    }
    created: ClassVar[Mapping[TagField, str]] = {
        TagField.COMMENT: "COMMENT",
        TagField.GROUPING: "GROUPING",
        TagField.GENRE: "GENRE",
    }
    payloads: PayloadDialect | None = None
    stand_ins: ClassVar[Mapping[TagField, str]] = {}
    artist: ClassVar[str] = "ARTIST"
    title: ClassVar[str] = "TITLE"

    def name(self, entry: bytes) -> str:
        """The key in upper case."""
        return entry[4:].partition(b"=")[0].decode("latin-1").upper()

    def text(self, entry: bytes) -> str:
        """What follows the key."""
        value = entry[4:].partition(b"=")[2]
        return value.decode(common.codec_of(value))

    def with_text(self, entry: bytes, text: str) -> bytes:
        """The comment with its key as it is and another text."""
        key, _, value = entry[4:].partition(b"=")
        return _prefixed(key + b"=" + text.encode(common.codec_of(value)))

    def make(self, name: str, text: str) -> bytes:
        """A new comment."""
        return _prefixed(f"{name}={text}".encode())


class _FlacPayloads:
    """Serato's payloads as text; of those that concern us it writes but one to FLAC."""

    is_text: bool = True
    _markers: ClassVar[str] = "SERATO_MARKERS_V2"

    def name(self, entry: bytes) -> str:
        """The payload's name, by the key in any case."""
        key = entry[4:].partition(b"=")[0].decode("latin-1").upper()
        return MARKERS2 if key == self._markers else ""

    def value(self, entry: bytes) -> bytes:
        """What follows the key."""
        return entry[4:].partition(b"=")[2]

    def with_value(self, entry: bytes, value: bytes) -> bytes:
        """The comment with its key as it is and another value."""
        return _prefixed(entry[4:].partition(b"=")[0] + b"=" + value)

    def make(self, name: str, value: bytes) -> bytes:
        """A new comment."""
        if name != MARKERS2:
            raise TagError(f"Serato keeps no {name} in FLAC files.")
        return _prefixed(self._markers.encode() + b"=" + value)


class FlacComments(Comments):
    """The dialect of FLAC; Serato writes Ogg in another way, which is left alone."""

    payloads: PayloadDialect | None = _FlacPayloads()


@dataclass(frozen=True, slots=True)
class VorbisComment:
    """A comment header without what codecs put around it."""

    vendor: bytes
    entries: tuple[bytes, ...]
    tail: bytes
    """What follows the comments: a framing bit, padding or binary data."""
    dialect: Comments

    @classmethod
    def parse(cls, data: bytes, dialect: Comments) -> VorbisComment:
        """Take a comment header apart. Raises TagError if its lengths are not true."""
        vendor, place = _take(data, 0)
        count = int.from_bytes(data[place : place + 4], "little")
        place += 4
        entries = []
        if place > len(data) or count > (len(data) - place) // 4:
            raise TagError("The Vorbis comments are malformed. Repair them with a tag editor first.")
        for _ in range(count):
            start = place
            _, place = _take(data, start)
            entries.append(data[start:place])
        return cls(vendor, tuple(entries), data[place:], dialect)

    def dump(self) -> bytes:
        """The bytes again."""
        count = len(self.entries).to_bytes(4, "little")
        return _prefixed(self.vendor) + count + b"".join(self.entries) + self.tail

    def with_entries(self, entries: Sequence[bytes]) -> VorbisComment:
        """The header with other comments."""
        return replace(self, entries=tuple(entries))

    def texts(self, field: TagField) -> Texts:
        """What the comments say."""
        return common.texts(self.entries, self.dialect, field)

    def foreign(self, edit: EntryEdit) -> list[bytes]:
        """Everything of the header that the edit leaves as it is."""
        return [self.vendor, self.tail, *edit.foreign(self.entries, self.dialect)]


def _prefixed(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


def _take(data: bytes, place: int) -> tuple[bytes, int]:
    """The string with its length in front that starts at ``place``, and its end."""
    start = place + 4
    end = start + int.from_bytes(data[place:start], "little")
    if end > len(data) or start > len(data):
        raise TagError("The Vorbis comments are malformed. Repair them with a tag editor first.")
    return data[start:end], end
