"""Vorbis comments, as FLAC, Ogg Vorbis and Opus have them (xiph.org/vorbis/doc/v-comment.html)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final

from exporters.tags import entries as common
from exporters.tags.entries import TagField, Texts
from moodzone_agent.errors import TagError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


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


@dataclass(frozen=True, slots=True)
class VorbisComment:
    """A comment header without what codecs put around it."""

    vendor: bytes
    entries: tuple[bytes, ...]
    tail: bytes
    """What follows the comments: a framing bit, padding or binary data."""

    dialect: ClassVar[Comments] = Comments()

    @classmethod
    def parse(cls, data: bytes) -> VorbisComment:
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
        return cls(vendor, tuple(entries), data[place:])

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

    def foreign(self, spellings: Collection[str]) -> list[bytes]:
        """Everything of the header but our own field and tokens of these spellings."""
        return [self.vendor, self.tail, *common.foreign(self.entries, self.dialect, spellings)]


def _prefixed(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


def _take(data: bytes, place: int) -> tuple[bytes, int]:
    """The string with its length in front that starts at ``place``, and its end."""
    start = place + 4
    end = start + int.from_bytes(data[place:start], "little")
    if end > len(data) or start > len(data):
        raise TagError("The Vorbis comments are malformed. Repair them with a tag editor first.")
    return data[start:end], end
