"""WAV (RIFF) and AIFF (FORM): chunks, among them an ID3 tag and, in WAV, a list of INFO texts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Final, Literal, NamedTuple

from exporters.tags import entries as common
from exporters.tags.entries import TagField, Texts
from exporters.tags.id3 import HEADER, Id3Tag, edited, frames_of, tag_length
from exporters.tags.splice import Edit
from moodzone_agent.errors import TagError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exporters.tags.entries import Dialect, EntryEdit, PayloadDialect
    from exporters.tags.splice import Source, Span

_HEADER: Final = 8
_FORM_HEADER: Final = 12
_MOST_CHUNKS: Final = 10_000
_Order = Literal["little", "big"]


class _Chunk(NamedTuple):
    name: bytes
    start: int
    body: Span
    end: int
    """Behind the pad byte."""


class _Change(NamedTuple):
    chunk: _Chunk | None
    """The chunk to replace; None to append one."""
    name: bytes
    data: bytes
    """Empty to take the chunk out."""


class _ChunkFile:
    """A file of chunks, one of which may hold an ID3 tag."""

    order: ClassVar[_Order]
    audio_name: ClassVar[bytes]
    id3_name: ClassVar[bytes]

    def __init__(self, source: Source) -> None:
        self._source = source
        self._declared = int.from_bytes(source.read(4, _HEADER), self.order)
        self._chunks = _read_chunks(source, self.order)
        if not any(chunk.name == self.audio_name for chunk in self._chunks):
            raise TagError("The file holds no audio.")
        if abs(self._declared - (source.size - _HEADER)) > 1:  # a pad byte at the end may be counted or not
            raise TagError(
                "The size in the file's header is false. Open the file in an audio editor and save it anew."
            )
        self._id3 = next((chunk for chunk in self._chunks if chunk.name.lower() == b"id3 "), None)
        self._tag, self._tag_tail = self._read_id3()
        self._carried: Sequence[bytes] = ()
        """Frames that a new ID3 tag begins with."""

    def texts(self, field: TagField) -> Texts:
        """What the ID3 tag says."""
        return (self._tag or Id3Tag.new()).texts(field)

    def tag_spans(self) -> Sequence[Span]:
        """All chunks but the audio."""
        return [(chunk.start, chunk.end) for chunk in self._chunks if chunk.name != self.audio_name]

    def audio_spans(self) -> Sequence[Span]:
        """The audio chunk's contents."""
        return [chunk.body for chunk in self._chunks if chunk.name == self.audio_name]

    def entries(self) -> tuple[Sequence[bytes], Dialect]:
        """The ID3 tag's frames."""
        tag = self._tag or Id3Tag.new(self._carried)
        return tag.entries, tag.frames

    def foreign(self, edit: EntryEdit) -> list[bytes]:
        """All other chunks in their order, and within ours all that is not ours."""
        result = [self._source.read(_HEADER, _FORM_HEADER)]
        for chunk in self._chunks:
            result += self._foreign_of(chunk, edit)
        if self._id3 is None:
            result += Id3Tag.new(self._carried).foreign(edit)
        return result

    def edits(self, edit: EntryEdit) -> list[Edit]:
        """New contents for the chunks that concern us, new chunks at the end, and the file's new size."""
        size = self._source.size
        changes = self._changes(edit)
        edits = []
        for change in changes:
            raw = self._chunk(change.name, change.data) if change.data else b""
            old = (size, size) if change.chunk is None else (change.chunk.start, min(change.chunk.end, size))
            edits.append(Edit(*old, raw))
        last = self._chunks[-1]
        if last.end > size and edits and all(change.chunk != last for change in changes):
            edits.insert(0, Edit(size, size, b"\0"))  # the pad byte that the last chunk lacks
        growth = sum(len(edit.data) - (edit.end - edit.start) for edit in edits)
        if growth:
            edits.append(Edit(4, _HEADER, self._number(self._declared + growth)))
        return edits

    def _changes(self, edit: EntryEdit) -> list[_Change]:
        return self._id3_changes(edit, ())

    def _id3_changes(self, edit: EntryEdit, carried: Sequence[bytes]) -> list[_Change]:
        data = edited(self._tag, edit, carried)
        if data is None:
            return []
        name = self.id3_name if self._id3 is None else self._id3.name
        return [_Change(self._id3, name, data + self._tag_tail)]

    def _foreign_of(self, chunk: _Chunk, edit: EntryEdit) -> list[bytes]:
        if chunk == self._id3 and self._tag is not None:
            return [*self._tag.foreign(edit), *filter(None, [self._tag_tail])]
        return [chunk.name, self._source.sha256([chunk.body]).encode()]

    def _read_id3(self) -> tuple[Id3Tag | None, bytes]:
        """The ID3 tag, and what follows it in its chunk."""
        if self._id3 is None:
            return None, b""
        data = self._source.read(*self._id3.body)
        length = tag_length(data[:HEADER])
        if not 0 < length <= len(data):
            raise TagError(
                "The file's id3 chunk holds no whole ID3 tag. Repair the tag with another program first."
            )
        return Id3Tag.parse(data[:length]), data[length:]

    def _chunk(self, name: bytes, data: bytes) -> bytes:
        return name + self._number(len(data)) + data + bytes(len(data) % 2)

    def _number(self, value: int) -> bytes:
        if value >> 32:
            raise TagError("The file would become larger than its format allows. Convert it to FLAC.")
        return value.to_bytes(4, self.order)


class AiffFile(_ChunkFile):
    """AIFF and AIFF-C, whose own chunks for names are read and left alone."""

    order = "big"
    audio_name = b"SSND"
    id3_name = b"ID3 "

    def texts(self, field: TagField) -> Texts:
        """What ID3 says; artist and title else from AIFF's own chunks."""
        id3 = super().texts(field)
        return replace(
            id3, artist=id3.artist or self._text_chunk(b"AUTH"), title=id3.title or self._text_chunk(b"NAME")
        )

    def _text_chunk(self, name: bytes) -> str:
        found = next((chunk for chunk in self._chunks if chunk.name == name), None)
        text = self._source.read(*found.body).rstrip(b"\0") if found else b""
        return text.decode(common.codec_of(text))


class WaveFile(_ChunkFile):
    """WAV. Most programs read ID3; the INFO list is for rekordbox, which reads nothing else."""

    order = "little"
    audio_name = b"data"
    id3_name = b"id3 "

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        chunks = [chunk for chunk in self._chunks if chunk.name == b"LIST"]
        self._lists = [chunk for chunk in chunks if source.peek(chunk.body[0], 4) == b"INFO"]
        self._list = self._lists[0] if self._lists else None
        self._info = _read_info(source.read(*self._list.body)) if self._list else []
        self._carried = _frames_of_info(self._info)

    def texts(self, field: TagField) -> Texts:
        """What ID3 and INFO say."""
        id3, info = super().texts(field), common.texts(self._info, _INFO, field)
        visible = id3.visible + info.visible
        artist, title = id3.artist or info.artist, id3.title or info.title
        return Texts(id3.own, visible, artist, title, id3.stand_in)

    def _changes(self, edit: EntryEdit) -> list[_Change]:
        info = edit.applied(self._info, _INFO)
        # A new tag says what INFO says; an old one goes if that is no more than INFO goes on to say.
        changes = self._id3_changes(edit, _frames_of_info(info) if self._tag else self._carried)
        if info != self._info:
            changes.append(_Change(self._list, b"LIST", b"INFO" + b"".join(info) if info else b""))
        if changes and len(self._lists) > 1:
            raise TagError(
                "The WAV file has two INFO lists, and programs differ in which they show. "
                "Open it in an audio editor and save it anew."
            )
        return changes

    def _foreign_of(self, chunk: _Chunk, edit: EntryEdit) -> list[bytes]:
        return edit.foreign(self._info, _INFO) if chunk == self._list else super()._foreign_of(chunk, edit)


class _Info:
    """The dialect of the INFO list: an entry is a chunk whose text ends with NUL."""

    own: ClassVar[str] = ""
    visible: ClassVar[Mapping[TagField, Sequence[str]]] = {
        TagField.COMMENT: ("ICMT",),
        TagField.GENRE: ("IGNR",),
    }
    created: ClassVar[Mapping[TagField, str]] = {TagField.COMMENT: "ICMT", TagField.GENRE: "IGNR"}
    payloads: PayloadDialect | None = None
    stand_ins: ClassVar[Mapping[TagField, str]] = {}
    artist: ClassVar[str] = "IART"
    title: ClassVar[str] = "INAM"

    def name(self, entry: bytes) -> str:
        """The chunk's name."""
        return entry[:4].decode("latin-1")

    def text(self, entry: bytes) -> str:
        """The text up to the NULs at its end."""
        text, _ = self._split(entry)
        return text.decode(common.codec_of(text))

    def with_text(self, entry: bytes, text: str) -> bytes:
        """The chunk with another text and as many NULs."""
        old, tail = self._split(entry)
        return self._chunk(entry[:4], text.encode(common.codec_of(old)) + tail)

    def make(self, name: str, text: str) -> bytes:
        """A new chunk."""
        return self._chunk(name.encode("latin-1"), text.encode() + b"\0")

    def _split(self, entry: bytes) -> tuple[bytes, bytes]:
        data = entry[_HEADER : _HEADER + int.from_bytes(entry[4:_HEADER], "little")]
        text = data.rstrip(b"\0")
        return text, data[len(text) :]

    def _chunk(self, name: bytes, data: bytes) -> bytes:
        return name + len(data).to_bytes(4, "little") + data + bytes(len(data) % 2)


_INFO: Final = _Info()
_INFO_IN_ID3: Final = {
    "INAM": "TIT2",
    "IART": "TPE1",
    "IPRD": "TALB",
    "ICRD": "TYER",
    "ITRK": "TRCK",
    "IGNR": "TCON",
    "ICMT": "COMM:",
}


def _frames_of_info(info: Sequence[bytes]) -> list[bytes]:
    """The ID3 frames that say what the INFO list says.

    Many readers look at INFO only where there is no ID3; a new tag without these would hide artist and comment.
    """
    said = {_INFO.name(entry): _INFO.text(entry) for entry in reversed(info)}
    return frames_of({frame: said.get(name, "") for name, frame in _INFO_IN_ID3.items()})


def _read_info(data: bytes) -> list[bytes]:
    """The entries of an INFO list, pad bytes included."""
    entries = []
    place = 4
    while place < len(data):
        length = int.from_bytes(data[place + 4 : place + _HEADER], "little")
        end = place + _HEADER + length + length % 2
        if end > len(data):
            raise TagError(
                "The file's INFO list is malformed. Open the file in an audio editor and save it anew."
            )
        entries.append(data[place:end])
        place = end
    return entries


def _read_chunks(source: Source, order: _Order) -> list[_Chunk]:
    """The chunks, which have to fill the file."""
    chunks: list[_Chunk] = []
    place = _FORM_HEADER
    while place < source.size:
        header = source.peek(place, _HEADER)
        length = int.from_bytes(header[4:], order)
        body = (place + _HEADER, place + _HEADER + length)
        if not header[:4].isascii() or body[1] > source.size or len(chunks) == _MOST_CHUNKS:
            raise TagError(
                "The file's chunks are malformed or cut off. Open it in an audio editor and save it anew."
            )
        end = body[1] + length % 2
        chunks.append(_Chunk(header[:4], place, body, end))
        place = end
    return chunks
