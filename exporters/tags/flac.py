"""FLAC: a chain of metadata blocks, then frames (RFC 9639)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from exporters.tags import envelope
from exporters.tags.entries import Texts, fit
from exporters.tags.splice import Edit
from exporters.tags.vorbis import OUR_VENDOR, FlacComments, VorbisComment
from moodzone_agent.errors import TagError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporters.tags.entries import Dialect, EntryEdit, TagField
    from exporters.tags.splice import Source, Span

MAGIC: Final = b"fLaC"
_STREAMINFO, _PADDING, _COMMENT, _INVALID = 0, 1, 4, 127
_HEADER: Final = 4
_LONGEST: Final = (1 << 24) - 1


class _Block(NamedTuple):
    kind: int
    data: bytes


class FlacFile:
    """FLAC, perhaps with ID3 around it, which is left alone."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._start = envelope.leading_end(source) + len(MAGIC)
        self._blocks, self._end = _read_blocks(source, self._start)
        self._audio_end = envelope.audio_end(source, envelope.trailing_tags(source, self._end))
        sync = source.read(self._end, self._end + 2)
        if self._audio_end <= self._end or sync[0] != 0xFF or sync[1] & 0xFE != 0xF8:
            raise TagError(
                "The FLAC file's metadata is malformed or its audio is missing. Test it with `flac -t`."
            )
        comments = [index for index, block in enumerate(self._blocks) if block.kind == _COMMENT]
        self._comment_at = comments[0] if comments else None
        paddings = [index for index, block in enumerate(self._blocks) if _is_padding(block)]
        self._padding_at = paddings[-1] if paddings else None
        data = (
            self._blocks[comments[0]].data
            if comments
            else VorbisComment(OUR_VENDOR, (), b"", FlacComments()).dump()
        )
        self._comment = VorbisComment.parse(data, FlacComments())

    def texts(self, field: TagField) -> Texts:
        """What the first comment block says."""
        return self._comment.texts(field)

    def tag_spans(self) -> Sequence[Span]:
        """All metadata blocks, and ID3 around the stream."""
        return [(0, self._end), (self._audio_end, self._source.size)]

    def audio_spans(self) -> Sequence[Span]:
        """All frames."""
        return [(self._end, self._audio_end)]

    def entries(self) -> tuple[Sequence[bytes], Dialect]:
        """The comments."""
        return self._comment.entries, self._comment.dialect

    def foreign(self, edit: EntryEdit) -> list[bytes]:
        """All blocks but padding, the comments that are none of the edit's, and ID3 around the stream."""
        around = self._source.sha256([(0, self._start), (self._audio_end, self._source.size)])
        result = [around.encode(), *self._comment.foreign(edit)]
        for index, block in enumerate(self._blocks):
            if index != self._comment_at and not _is_padding(block):
                result += [bytes([block.kind]), block.data]
        return result

    def edits(self, edit: EntryEdit) -> list[Edit]:
        """New metadata blocks; the last padding block takes up the change where it can."""
        old = self._comment
        vanishes = edit.takes_out and old.vendor == OUR_VENDOR and not edit.applied(old.entries, old.dialect)
        overhead = 0 if vanishes else _HEADER + len(old.with_entries(()).dump())
        room = sum(
            _HEADER + len(self._blocks[at].data)
            for at in (self._comment_at, self._padding_at)
            if at is not None
        )
        entries, space = fit(old.entries, old.dialect, edit, space=room - overhead, least=_HEADER)
        if tuple(entries) == old.entries:
            return []
        if sum(block.kind == _COMMENT for block in self._blocks) > 1:
            raise TagError(
                "The FLAC file has two comment blocks, and programs differ in which they show. "
                "Remove one with `metaflac --remove --block-number=N`."
            )

        blocks: list[_Block | None] = list(self._blocks)
        padding = space - sum(map(len, entries))
        new_padding = _Block(_PADDING, bytes(padding - _HEADER)) if padding else None
        if self._padding_at is None:
            blocks.append(new_padding)
        else:
            blocks[self._padding_at] = new_padding
        new_comment = None if vanishes else _Block(_COMMENT, old.with_entries(entries).dump())
        if self._comment_at is None:
            blocks.insert(1, new_comment)
        else:
            blocks[self._comment_at] = new_comment
        return [Edit(self._start, self._end, _dump_blocks([block for block in blocks if block is not None]))]


def _is_padding(block: _Block) -> bool:
    return block.kind == _PADDING and not block.data.strip(b"\0")


def _read_blocks(source: Source, place: int) -> tuple[list[_Block], int]:
    """The chain of metadata blocks, and where it ends."""
    blocks = []
    is_last = False
    while not is_last:
        header = source.read(place, place + _HEADER)
        is_last, kind = bool(header[0] & 0x80), header[0] & 0x7F
        end = place + _HEADER + int.from_bytes(header[1:], "big")
        blocks.append(_Block(kind, source.read(place + _HEADER, end)))
        place = end
    if blocks[0].kind != _STREAMINFO or any(block.kind == _INVALID for block in blocks):
        raise TagError("The FLAC file's metadata is malformed. Test it with `flac -t`.")
    return blocks, place


def _dump_blocks(blocks: Sequence[_Block]) -> bytes:
    result = bytearray()
    for index, block in enumerate(blocks):
        if len(block.data) > _LONGEST:
            raise TagError("The FLAC file's comments are too long. Take pictures out of them first.")
        is_last = 0x80 if index == len(blocks) - 1 else 0
        result += bytes([block.kind | is_last]) + len(block.data).to_bytes(3, "big") + block.data
    return bytes(result)
