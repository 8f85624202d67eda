"""Tags that other programs put in front of and behind an audio stream of any kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from exporters.tags import ape
from exporters.tags.id3 import HEADER, V1_SIZE, tag_length

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporters.tags.splice import Source, Span

_LYRICS3_V1_LIMIT: Final = 5100
_V1_EXTENSION: Final = 227


def leading_end(source: Source) -> int:
    """Offset behind all ID3v2 tags at the file's start."""
    end = 0
    while length := tag_length(source.peek(end, HEADER)):
        end += length
    return end


class TrailingTag(NamedTuple):
    """A tag behind the audio."""

    kind: Literal["ID3v1", "APE", "Lyrics3", "ID3v2"]
    span: Span


def trailing_tags(source: Source, start: int) -> list[TrailingTag]:
    """The tags at the file's end, in the file's order.

    ``start`` is where the audio begins; a tag that claims to reach in front of it is no tag.
    """
    tags: list[TrailingTag] = []
    end = source.size
    while (tag := _tag_before(source, start, end)) is not None:
        tags.insert(0, tag)
        end = tag.span[0]
    return tags


def audio_end(source: Source, tags: list[TrailingTag]) -> int:
    """Where the tags at the file's end begin."""
    return tags[0].span[0] if tags else source.size


def _tag_before(source: Source, start: int, end: int) -> TrailingTag | None:
    """The tag that ends at ``end``."""
    for kind, length_before in _KINDS:
        length = length_before(source, end)
        if 0 < length <= end - start:
            return TrailingTag(kind, (end - length, end))
    return None


def _tail(source: Source, end: int, length: int) -> bytes:
    return source.read(end - length, end) if end >= length else b""


def _v1_length(source: Source, end: int) -> int:
    if _tail(source, end, V1_SIZE)[:3] != b"TAG" or _tail(source, end, V1_SIZE + 3)[:8] == ape.MAGIC:
        return 0
    extended = _tail(source, end - V1_SIZE, _V1_EXTENSION)[:4] == b"TAG+"
    return V1_SIZE + (_V1_EXTENSION if extended else 0)


def _ape_length(source: Source, end: int) -> int:
    footer = _tail(source, end, ape.FOOTER)
    if footer[:8] != ape.MAGIC:
        return 0
    length = int.from_bytes(footer[12:16], "little")
    header = _tail(source, end - length, ape.FOOTER)
    has_header = footer[23] & 0x80 and header[:8] == ape.MAGIC
    return length + (ape.FOOTER if has_header else 0)


def _lyrics3_length(source: Source, end: int) -> int:
    footer = _tail(source, end, 15)
    if footer[6:] == b"LYRICS200" and footer[:6].isdigit():
        return int(footer[:6]) + 15
    if footer[6:] == b"LYRICSEND":
        text = _tail(source, end, min(_LYRICS3_V1_LIMIT, end))
        place = text.rfind(b"LYRICSBEGIN")
        return len(text) - place if place >= 0 else 0
    return 0


def _appended_id3_length(source: Source, end: int) -> int:
    footer = _tail(source, end, HEADER)
    if footer[:3] != b"3DI":
        return 0
    return tag_length(b"ID3" + footer[3:])


_KINDS: Final[
    tuple[tuple[Literal["ID3v1", "APE", "Lyrics3", "ID3v2"], Callable[[Source, int], int]], ...]
] = (
    ("ID3v1", _v1_length),
    ("APE", _ape_length),
    ("Lyrics3", _lyrics3_length),
    ("ID3v2", _appended_id3_length),
)
