"""MP3 and its older layers: frames of audio between tags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exporters.tags import envelope
from exporters.tags.ape import texts_of_ape
from exporters.tags.id3 import HEADER, V1_SIZE, Id3Tag, edited, frames_of, tag_length, texts_of_v1
from exporters.tags.splice import Edit
from moodzone_agent.errors import TagError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporters.tags.entries import Dialect, EntryEdit, TagField, Texts
    from exporters.tags.splice import Source, Span

_SEARCH: Final = 1 << 16
"""How far behind the tags the first frame may start."""
_FRAMES: Final = 4
"""How many frames have to follow each other; noise often has two."""
_LONGEST: Final = 2881
"""Bytes of the longest frame: layer II at 160 kbit/s and 8 kHz."""

# kbit/s by bitrate index 1-14: MPEG 1 layers I to III, MPEG 2 layers I and II/III (ISO 11172-3, 13818-3)
_V1_L1: Final = (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448)
_V1_L2: Final = (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
_V1_L3: Final = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_V2_L1: Final = (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256)
_V2_L23: Final = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES: Final = (44100, 48000, 32000)


class MpegFile:
    """MPEG audio with ID3v2 in front; what is behind it is left alone."""

    def __init__(self, source: Source) -> None:
        self._source = source
        start = envelope.leading_end(source)
        self._trailing = envelope.trailing_tags(source, start)
        self._audio = (start, envelope.audio_end(source, self._trailing))
        length = min(_SEARCH + _FRAMES * _LONGEST, self._audio[1] - start)
        if not _has_frames(source.peek(start, length)):
            raise TagError("The file holds no audio in a format that MoodZone can tag.")
        self._tag_end = tag_length(source.peek(0, HEADER))
        self._tag = Id3Tag.parse(source.read(0, self._tag_end)) if self._tag_end else None
        spans = {tag.kind: tag.span for tag in self._trailing}
        texts = texts_of_v1(source.read(*spans["ID3v1"])[-V1_SIZE:]) if "ID3v1" in spans else {}
        self._unreadable: TagError | None = None
        try:
            texts |= texts_of_ape(source.read(*spans["APE"])) if "APE" in spans else {}
        except TagError as reason:
            self._unreadable = reason
        self._carried = frames_of(texts)

    @property
    def _readable(self) -> Id3Tag:
        return self._tag or Id3Tag.new(self._carried)

    def texts(self, field: TagField) -> Texts:
        """What ID3v2 says, or APEv2 and ID3v1 in a file without it."""
        return self._readable.texts(field)

    def tag_spans(self) -> Sequence[Span]:
        """All tags in front of and behind the audio."""
        return [(0, self._audio[0]), (self._audio[1], self._source.size)]

    def audio_spans(self) -> Sequence[Span]:
        """All bytes between the tags."""
        return [self._audio]

    def entries(self) -> tuple[Sequence[bytes], Dialect]:
        """The frames of the first tag."""
        return self._readable.entries, self._readable.frames

    def foreign(self, edit: EntryEdit) -> list[bytes]:
        """The first tag's foreign frames, and all other tags."""
        others = [(self._tag_end, self._audio[0]), (self._audio[1], self._source.size)]
        return [*self._readable.foreign(edit), self._source.sha256(others).encode()]

    def edits(self, edit: EntryEdit) -> list[Edit]:
        """A new first tag."""
        if any(tag.kind == "ID3v2" for tag in self._trailing):
            raise TagError(
                "The file has an ID3v2 tag at its end. Have a tag editor move it to the start first."
            )
        data = edited(self._tag, edit, self._carried)
        if data and self._tag is None and self._unreadable is not None:
            raise self._unreadable
        return [] if data is None else [Edit(0, self._tag_end, data)]


def _has_frames(data: bytes) -> bool:
    """Whether some frames follow each other in the data, or fewer are all there is; the last may be cut off."""
    place = data.find(b"\xff")
    while 0 <= place < _SEARCH:
        count, end = _run(data, place)
        if count >= _FRAMES or (place == 0 and count > 0 and end > len(data) - 4):
            return True
        place = data.find(b"\xff", place + 1)
    return False


def _run(data: bytes, place: int) -> tuple[int, int]:
    """Number of whole frames of one stream from ``place`` on, up to ``_FRAMES``, and the end of the last.

    The end is that of the data where a further frame is cut off.
    """
    first = data[place : place + 4]
    count = 0
    while count < _FRAMES:
        header = data[place : place + 4]
        length = _frame_length(header)
        if not length or not _same_stream(first, header):
            break
        if place + length > len(data):
            return count, len(data)
        place += length
        count += 1
    return count, place


def _same_stream(header: bytes, other: bytes) -> bool:
    """Whether version, layer and sampling rate agree."""
    return header[1] & 0xFE == other[1] & 0xFE and header[2] & 0x0C == other[2] & 0x0C


def _frame_length(header: bytes) -> int:
    """Length in bytes of the frame that starts with these four; 0 if they are no header."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return 0
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    bitrate, rate, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer == 4 or bitrate in (0, 15) or rate == 3:
        return 0
    is_v1 = version == 3
    table = (_V1_L1, _V1_L2, _V1_L3)[layer - 1] if is_v1 else _V2_L1 if layer == 1 else _V2_L23
    bits_per_second = table[bitrate - 1] * 1000
    samples_per_second = _RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    if layer == 1:
        return (12 * bits_per_second // samples_per_second + padding) * 4
    return (144 if is_v1 or layer == 2 else 72) * bits_per_second // samples_per_second + padding
