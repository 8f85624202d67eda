"""Ogg Vorbis and Opus: the comment packet, and the pages it is cut into (RFC 3533, RFC 7845)."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

from exporters.tags.entries import Texts
from exporters.tags.splice import Edit
from exporters.tags.vorbis import Comments, VorbisComment
from moodzone_agent.errors import TagError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from exporters.tags.entries import Dialect, EntryEdit, TagField
    from exporters.tags.splice import Source, Span

MAGIC: Final = b"OggS"
_HEADER: Final = 27
_CONTINUED, _FIRST, _LAST = 1, 2, 4
_SEQUENCE: Final = slice(18, 22)
_CHECKSUM: Final = slice(22, 26)
_MOST_SEGMENTS: Final = 255
_NO_PACKET_ENDS: Final = b"\xff" * 8
_CODECS: Final = {b"\x01vorbis": (b"\x03vorbis", 2), b"OpusHead": (b"OpusTags", 1)}
"""Start of the first packet: start of the comment packet, and the number of header packets from there on."""
_MIRRORED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class _Page(NamedTuple):
    start: int
    header: bytes
    """27 bytes."""
    lacing: bytes
    """Lengths of the segments; one shorter than 255 ends a packet."""

    @property
    def payload(self) -> int:
        """Offset of the payload."""
        return self.start + _HEADER + len(self.lacing)

    @property
    def end(self) -> int:
        """Offset of the next page."""
        return self.payload + sum(self.lacing)

    @property
    def flags(self) -> int:
        """Whether it continues a packet, and is the stream's first or last page."""
        return self.header[5]

    @property
    def granule(self) -> bytes:
        """Position of the last sample of the last packet that ends here."""
        return self.header[6:14]

    @property
    def serial(self) -> bytes:
        """Which stream it is of."""
        return self.header[14:18]

    @property
    def sequence(self) -> int:
        """Its number within the stream."""
        return int.from_bytes(self.header[_SEQUENCE], "little")


class OggFile:
    """One Vorbis or Opus stream in Ogg; further ones may follow it in a chain and are left alone."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._first = _expect_page(source, 0)
        opening = source.read(self._first.payload, self._first.end)
        codec = next((codec for codec in _CODECS if opening.startswith(codec)), None)
        if codec is None or not self._first.flags & _FIRST:
            raise TagError(
                "Of Ogg files only plain Vorbis and Opus can be tagged; this one holds something else."
            )
        self._magic, count = _CODECS[codec]
        self._pages = _header_pages(source, self._first, count)
        self._end = self._pages[-1].end
        self._packets = _packets(source, self._pages)
        if not self._packets[0].startswith(self._magic):
            raise TagError(
                "The Ogg file has no comment header where it belongs. It looks damaged; copy it anew."
            )
        self._comment = VorbisComment.parse(self._packets[0][len(self._magic) :], Comments())

    def texts(self, field: TagField) -> Texts:
        """What the comment packet says."""
        return self._comment.texts(field)

    def tag_spans(self) -> Sequence[Span]:
        """The header pages behind the first."""
        return [(self._pages[0].start, self._end)]

    def audio_spans(self) -> Iterator[Span]:
        """All pages past the headers, but for what changes with the number of header pages."""
        place = self._end
        while (page := _read_page(self._source, place)) is not None:
            yield page.start, page.start + _SEQUENCE.start
            yield page.start + _CHECKSUM.stop, page.end
            place = page.end
        yield place, self._source.size

    def entries(self) -> tuple[Sequence[bytes], Dialect]:
        """The comments."""
        return self._comment.entries, self._comment.dialect

    def foreign(self, edit: EntryEdit) -> list[bytes]:
        """The other header packets, and the comments that are not ours."""
        opening = self._source.read(0, self._first.end)
        return [opening, *self._packets[1:], *self._comment.foreign(edit)]

    def edits(self, edit: EntryEdit) -> list[Edit]:
        """New header pages, and new numbers for all further ones if there are more or fewer of them."""
        old = self._comment
        entries = edit.applied(old.entries, old.dialect)
        if tuple(entries) == old.entries:
            return []
        start = self._pages[0].start
        if b"".join(_lay_out(self._packets, self._pages)) != self._source.read(start, self._end):
            raise TagError("The Ogg file's header pages are unusual or damaged. Remux the file first.")
        comment = self._magic + old.with_entries(entries).dump()
        pages = _lay_out([comment, *self._packets[1:]], self._pages)
        edits = [Edit(start, self._end, b"".join(pages))]
        if len(pages) != len(self._pages):
            edits += self._renumbered(len(pages) - len(self._pages))
        return edits

    def _renumbered(self, by: int) -> Iterator[Edit]:
        """Every page of the stream behind the headers with its number raised."""
        place, flags = self._end, 0
        while not flags & _LAST and place < self._source.size:
            page = _expect_page(self._source, place)
            place = page.end
            if page.serial == self._first.serial:
                flags = page.flags
                data = bytearray(self._source.read(page.start, page.end))
                data[_SEQUENCE] = (page.sequence + by).to_bytes(4, "little")
                yield Edit(page.start + _SEQUENCE.start, page.start + _CHECKSUM.stop, _sealed(data)[18:26])


def _read_page(source: Source, place: int) -> _Page | None:
    """The page at an offset, if there is a whole one."""
    header = source.peek(place, _HEADER)
    if len(header) < _HEADER or header[:5] != MAGIC + b"\0":
        return None
    page = _Page(place, header, source.peek(place + _HEADER, header[26]))
    return page if len(page.lacing) == header[26] and page.end <= source.size else None


def _expect_page(source: Source, place: int) -> _Page:
    page = _read_page(source, place)
    if page is None:
        raise TagError("The Ogg file's pages are damaged or cut off. Copy the file anew.")
    return page


def _header_pages(source: Source, first: _Page, count: int) -> list[_Page]:
    """The pages behind the first that hold ``count`` packets and nothing else."""
    pages: list[_Page] = []
    place = first.end
    while count > 0:
        page = _expect_page(source, place)
        if page.serial != first.serial or page.flags & (_FIRST | _LAST):
            raise TagError("The Ogg file holds several streams or no audio. Extract its audio stream first.")
        pages.append(page)
        count -= sum(length < 255 for length in page.lacing)
        place = page.end
    if count < 0 or pages[-1].lacing[-1] == 255:
        raise TagError("The Ogg file has audio on its header pages. Remux the file first.")
    return pages


def _packets(source: Source, pages: Sequence[_Page]) -> list[bytes]:
    """The packets on the pages."""
    packets = [bytearray()]
    for page in pages:
        place = page.payload
        for length in page.lacing:
            packets[-1] += source.read(place, place + length)
            place += length
            if length < 255:
                packets.append(bytearray())
    return [bytes(packet) for packet in packets[:-1]]


def _lay_out(packets: Sequence[bytes], old: Sequence[_Page]) -> list[bytes]:
    """Pages for the packets, filled as the old ones were; the last of these takes up the change."""
    lacing = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets)
    payload = b"".join(packets)
    pages: list[bytes] = []
    continued = 0
    while lacing:
        index = len(pages)
        template = old[min(index, len(old) - 1)]
        count = len(template.lacing) if index < len(old) - 1 else _MOST_SEGMENTS
        segments, lacing = lacing[:count], lacing[count:]
        ends_packet = any(length < 255 for length in segments)
        is_same = index < len(old) and ends_packet == any(length < 255 for length in template.lacing)
        granule = template.granule if is_same else bytes(8) if ends_packet else _NO_PACKET_ENDS
        flags = template.flags & ~_CONTINUED | continued
        sequence = (old[0].sequence + index).to_bytes(4, "little")
        header = (
            MAGIC
            + bytes([0, flags])
            + granule
            + template.serial
            + sequence
            + bytes(4)
            + bytes([len(segments)])
        )
        data, payload = payload[: sum(segments)], payload[sum(segments) :]
        pages.append(_sealed(bytearray(header + segments + data)))
        continued = _CONTINUED if segments[-1] == 255 else 0
    return pages


def _sealed(page: bytearray) -> bytes:
    """The page with its checksum: CRC-32 in the bit order opposite to zlib's, from 0, not inverted."""
    page[_CHECKSUM] = bytes(4)
    crc = ~zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) & 0xFFFFFFFF
    page[_CHECKSUM] = crc.to_bytes(4, "big").translate(_MIRRORED)
    return bytes(page)
