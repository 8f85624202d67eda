"""MP4 and M4A: items of ``moov.udta.meta.ilst`` (ISO 14496-12, and iTunes' additions).

Where the list does not fit into its place, everything behind it moves and the tracks' offsets are adjusted.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from exporters.tags import entries as common
from exporters.tags.entries import MARKERS, MARKERS2, TagField, Texts
from exporters.tags.splice import Edit
from moodzone_agent.errors import TagError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from exporters.tags.entries import Dialect, EntryEdit, PayloadDialect
    from exporters.tags.splice import Source, Span

_HEADER: Final = 8
_MOST_ATOMS: Final = 10_000
_FRAGMENTED: Final = {b"moof", b"sidx", b"mfra"}
_HDLR: Final = b"\0\0\0\x29hdlr" + bytes(8) + b"mdirappl" + bytes(8) + b"MoodZone\0"
_FULL_BOX: Final = bytes(4)
_UTF8, _UTF16 = b"\0\0\0\1", b"\0\0\0\2"


class _Atom(NamedTuple):
    kind: bytes
    start: int
    body: int
    end: int


class _Items:
    """The dialect: an entry is an item of the list, whose text is in its first ``data`` atom."""

    own: ClassVar[str] = "----:COM.APPLE.ITUNES:MOODZONE"
    visible: ClassVar[Mapping[TagField, Sequence[str]]] = {
        TagField.COMMENT: ("©cmt",),
        TagField.GROUPING: ("©grp",),
        TagField.GENRE: ("©gen",),
    }
    created: ClassVar[Mapping[TagField, str]] = {
        TagField.COMMENT: "©cmt",
        TagField.GROUPING: "©grp",
        TagField.GENRE: "©gen",
    }
    stand_ins: ClassVar[Mapping[TagField, str]] = {}
    artist: ClassVar[str] = "©ART"
    title: ClassVar[str] = "©nam"

    @property
    def payloads(self) -> PayloadDialect:
        """Serato's payloads."""
        return _PAYLOADS

    def name(self, entry: bytes) -> str:
        """The item's kind, with its mean and name in the free form; ends with ``?`` where it has no value."""
        kind = entry[4:_HEADER].decode("latin-1")
        if _data_of(entry) is None:
            return f"{kind}?"
        if kind != "----":
            return kind
        named = (atom for atom in _children(entry, _HEADER, len(entry)) if atom.kind in (b"mean", b"name"))
        return ":".join(
            [kind, *(entry[atom.body + 4 : atom.end].decode("latin-1").upper() for atom in named)]
        )

    def text(self, entry: bytes) -> str:
        """The first value."""
        data = _data_of(entry)
        return "" if data is None else data.text

    def with_text(self, entry: bytes, text: str) -> bytes:
        """The item with another first value; its type and locale and further values stay."""
        data = _data_of(entry)
        if data is None:
            return entry
        return _with_value(entry, data, text.encode(data.codec, "surrogatepass"))

    def make(self, name: str, text: str) -> bytes:
        """A new item of UTF-8."""
        data = _atom(b"data", _UTF8 + bytes(4) + text.encode())
        if name == self.own:
            return _free_form(b"com.apple.iTunes", b"MOODZONE", data)
        return _atom(name.encode("latin-1"), data)


class _Data(NamedTuple):
    """A ``data`` atom."""

    start: int
    end: int
    head: bytes
    """Type and locale."""
    codec: str
    text: str


def _data_of(entry: bytes) -> _Data | None:
    """The first value of an item, if it has one."""
    try:
        atom = next(atom for atom in _children(entry, _HEADER, len(entry)) if atom.kind == b"data")
    except (StopIteration, TagError):
        return None
    head, value = entry[atom.body : atom.body + 8], entry[atom.body + 8 : atom.end]
    if len(head) < 8:
        return None
    codec = "utf-16-be" if head[:4] == _UTF16 and len(value) % 2 == 0 else common.codec_of(value)
    return _Data(atom.start, atom.end, head, codec, value.decode(codec, "surrogatepass"))


def _with_value(entry: bytes, data: _Data, value: bytes) -> bytes:
    """The item with another first value."""
    new = _atom(b"data", data.head + value)
    return _atom(entry[4:_HEADER], entry[_HEADER : data.start] + new + entry[data.end :])


class _Payloads:
    """Serato's payloads as text in items of the free form."""

    is_text: bool = True
    _names: ClassVar[Mapping[str, str]] = {MARKERS2: "markersv2", MARKERS: "markers"}
    _mean: ClassVar[str] = "com.serato.dj"

    def name(self, entry: bytes) -> str:
        """The payload's name, by the item's mean and name in any case."""
        found = _ITEMS.name(entry)
        names = (name for name, key in self._names.items() if found == f"----:{self._mean}:{key}".upper())
        return "?" if found == "----?" else next(names, "")

    def value(self, entry: bytes) -> bytes:
        """The bytes of the first value."""
        data = _data_of(entry)
        return b"" if data is None else data.text.encode(data.codec, "surrogatepass")

    def with_value(self, entry: bytes, value: bytes) -> bytes:
        """The item with another first value."""
        data = _data_of(entry)
        return entry if data is None else _with_value(entry, data, value)

    def make(self, name: str, value: bytes) -> bytes:
        """A new item of UTF-8, as Serato writes it."""
        if name not in self._names:
            raise TagError(f"Serato keeps no {name} in MP4 files.")
        data = _atom(b"data", _UTF8 + bytes(4) + value)
        return _free_form(self._mean.encode(), self._names[name].encode(), data)


_ITEMS: Final = _Items()
_PAYLOADS: Final = _Payloads()


class _Place(NamedTuple):
    """Where the list of items is or is to be, in offsets within ``moov``."""

    start: int
    end: int
    """Behind the ``free`` atom that follows the list, if one does."""
    parents: tuple[_Atom, ...]
    """Those of ``moov``, ``udta`` and ``meta`` that are there."""
    items: tuple[bytes, ...] = ()
    room: int = 0
    """Bytes that items and ``free`` take."""
    siblings: tuple[bytes, ...] = ()
    """What else ``udta`` and ``meta`` hold."""
    made_by_us: _Atom | None = None
    """The outermost of ``udta`` and ``meta`` that we made and nobody else put anything into."""


class Mp4File:
    """MP4 with an audio track."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._atoms = _top_level(source)
        kinds = [atom.kind for atom in self._atoms]
        if kinds.count(b"moov") != 1 or not _FRAGMENTED.isdisjoint(kinds):
            raise TagError("The MP4 file is fragmented or has no index. Remux it first.")
        self._moov = self._atoms[kinds.index(b"moov")]
        self._data = source.read(self._moov.start, self._moov.end)
        if self._moov.body - self._moov.start != _HEADER or self._data[:4] == bytes(4):
            raise TagError("The MP4 file's index is written in an unusual way. Remux the file first.")
        self._children = _children(self._data, _HEADER, len(self._data))
        if any(atom.kind == b"mvex" for atom in self._children):
            raise TagError("The MP4 file is fragmented. Remux it first.")
        self._tracks = [_Track(self._data, atom) for atom in self._children if atom.kind == b"trak"]
        if not any(track.is_audio for track in self._tracks):
            raise TagError("The MP4 file holds no audio.")
        self._place = _find_place(self._data, self._children)

    def texts(self, field: TagField) -> Texts:
        """What the items say."""
        return common.texts(self._place.items, _ITEMS, field)

    def tag_spans(self) -> Iterator[Span]:
        """All of the index but the tracks, and metadata beside it."""
        for atom in self._children:
            if atom.kind != b"trak":
                yield self._moov.start + atom.start, self._moov.start + atom.end
        yield from ((atom.start, atom.end) for atom in self._atoms if atom.kind in (b"meta", b"uuid"))

    def audio_spans(self) -> Iterator[Span]:
        """The chunks of all audio tracks."""
        for track in self._tracks:
            if track.is_audio:
                yield from track.chunks()

    def entries(self) -> tuple[Sequence[bytes], Dialect]:
        """The items."""
        return self._place.items, _ITEMS

    def foreign(self, edit: EntryEdit) -> list[bytes]:
        """All atoms but the list and the ``free`` behind it; of tracks all but offsets, and their chunks."""
        place = self._place
        items = edit.foreign(place.items, _ITEMS)
        result = [
            atom.kind + self._source.sha256([(atom.body, atom.end)]).encode()
            for atom in self._atoms
            if atom is not self._moov
        ]
        result += [
            self._data[atom.start : atom.end]
            for atom in self._children
            if atom.kind != b"trak" and atom not in place.parents
        ]
        for track in self._tracks:
            result += [track.without_offsets(), self._source.sha256(track.chunks()).encode()]
        return [*result, *items, *place.siblings]

    def edits(self, edit: EntryEdit) -> list[Edit]:
        """A new list, in the same room where it fits; else sizes and offsets are adjusted."""
        place = self._place
        items, space = common.fit(place.items, _ITEMS, edit, space=place.room, least=_HEADER)
        if tuple(items) == place.items:
            return []
        if not items and place.made_by_us and edit.is_grown(place.items, _ITEMS):
            parents = tuple(atom for atom in place.parents if atom.start < place.made_by_us.start)
            return self._spliced(place.made_by_us.start, place.made_by_us.end, b"", parents)
        content = b"".join(items)
        new = _atom(b"ilst", content)
        if space > len(content):
            new += _atom(b"free", bytes(space - len(content) - _HEADER))
        if len(place.parents) < 3:
            new = _atom(b"meta", _FULL_BOX + _HDLR + new)
        if len(place.parents) < 2:
            new = _atom(b"udta", new)
        return self._spliced(place.start, place.end, new, place.parents)

    def _spliced(self, start: int, end: int, data: bytes, parents: Sequence[_Atom]) -> list[Edit]:
        """Replace a range of ``moov``; what is around it and points behind it is adjusted."""
        base = self._moov.start
        growth = len(data) - (end - start)
        edits = [Edit(base + start, base + end, data)]
        if growth:
            for atom in parents:
                size = base + atom.start
                edits.append(Edit(size, size + 4, _number(atom.end - atom.start + growth)))
            for track in self._tracks:
                edits += track.shifted(base, behind=base + end, by=growth)
        return edits


class _Track:
    """One track: what it is, and where its chunks are."""

    def __init__(self, moov: bytes, trak: _Atom) -> None:
        self._moov = moov
        self._trak = trak
        mdia = _child(moov, trak, b"mdia")
        hdlr = _child(moov, mdia, b"hdlr")
        self.is_audio = moov[hdlr.body + 8 : hdlr.body + 12] == b"soun"
        self._table = _child(moov, _child(moov, mdia, b"minf"), b"stbl")
        self._offsets = _child(moov, self._table, b"stco", b"co64")
        self._format = "I" if self._offsets.kind == b"stco" else "Q"
        self._chunks = [offset for (offset,) in _rows(moov, self._offsets, self._format)]

    def chunks(self) -> Iterator[Span]:
        """Where the chunks are in the file, in their order."""
        runs = _rows(self._moov, _child(self._moov, self._table, b"stsc"), "III")
        lengths = _child(self._moov, self._table, b"stsz")
        fixed = int.from_bytes(self._moov[lengths.body + 4 : lengths.body + 8], "big")
        count = int.from_bytes(self._moov[lengths.body + 8 : lengths.body + 12], "big")
        samples = [] if fixed else [length for (length,) in _rows(self._moov, lengths, "I", skip=4)]
        sample = run = 0
        for number, offset in enumerate(self._chunks, 1):
            while run + 1 < len(runs) and runs[run + 1][0] <= number:
                run += 1
            until = min(sample + (runs[run][1] if runs else 0), count)
            yield offset, offset + ((until - sample) * fixed if fixed else sum(samples[sample:until]))
            sample = until

    def without_offsets(self) -> bytes:
        """The track's bytes with zeros in place of the offsets."""
        blank = bytes(self._offsets.end - self._offsets.body)
        return (
            self._moov[self._trak.start : self._offsets.body]
            + blank
            + self._moov[self._offsets.end : self._trak.end]
        )

    def shifted(self, base: int, *, behind: int, by: int) -> list[Edit]:
        """The edit of the table when all from ``behind`` on moves; ``base`` is where ``moov`` starts."""
        new = [offset + by if offset >= behind else offset for offset in self._chunks]
        if new == self._chunks:
            return []
        start = base + self._offsets.body + 8
        try:
            data = struct.pack(f">{len(new)}{self._format}", *new)
        except struct.error as error:
            raise TagError("The MP4 file is too large for its tables of offsets. Remux it first.") from error
        return [Edit(start, start + len(data), data)]


def _find_place(data: bytes, children: Sequence[_Atom]) -> _Place:
    """Where the list of items is in ``moov``. Raises TagError where its place is taken by another kind."""
    moov = _Atom(b"moov", 0, _HEADER, len(data))
    udta = next((atom for atom in children if atom.kind == b"udta"), None)
    if udta is None:
        return _Place(moov.end, moov.end, (moov,))
    in_udta = _children(data, udta.body, udta.end)
    rest = data[in_udta[-1].end if in_udta else udta.body : udta.end]
    meta = next((atom for atom in in_udta if atom.kind == b"meta"), None)
    siblings = [*(data[atom.start : atom.end] for atom in in_udta if atom is not meta), *filter(None, [rest])]
    if meta is None:
        return _Place(udta.body, udta.body, (moov, udta), siblings=tuple(siblings))

    is_full_box = data[meta.body + 4 : meta.body + 8] != b"hdlr"
    in_meta = _children(data, meta.body + (len(_FULL_BOX) if is_full_box else 0), meta.end)
    kinds = [atom.kind for atom in in_meta]
    if kinds[:1] != [b"hdlr"] or data[in_meta[0].body + 8 : in_meta[0].body + 12] != b"mdir":
        raise TagError(
            "The MP4 file's metadata is of a kind that cannot be edited. Save it with a tag editor first."
        )
    parents = (moov, udta, meta)
    if b"ilst" not in kinds:
        siblings += [data[atom.start : atom.end] for atom in in_meta]
        return _Place(meta.end, meta.end, parents, siblings=tuple(siblings))

    at = kinds.index(b"ilst")
    ilst, after = in_meta[at], in_meta[at + 1 : at + 2]
    free = after[0] if after and after[0].kind == b"free" else None
    is_ours = data[in_meta[0].start : in_meta[0].end] == _HDLR and len(in_meta) == (3 if free else 2)
    others = [] if is_ours else [data[atom.start : atom.end] for atom in in_meta if atom not in (ilst, free)]
    return _Place(
        start=ilst.start,
        end=free.end if free else ilst.end,
        parents=parents,
        items=tuple(data[atom.start : atom.end] for atom in _children(data, ilst.body, ilst.end)),
        room=ilst.end - ilst.body + (free.end - free.start if free else 0),
        siblings=(*siblings, *others),
        made_by_us=None if not is_ours else meta if siblings else udta,
    )


def _top_level(source: Source) -> list[_Atom]:
    atoms: list[_Atom] = []
    place = 0
    while place < source.size:
        header = source.peek(place, 2 * _HEADER)
        length = int.from_bytes(header[:4], "big")
        body = place + _HEADER
        if length == 1:
            length = int.from_bytes(header[_HEADER:], "big")
            body += _HEADER
        end = source.size if length == 0 else place + length
        if not body <= end <= source.size or len(atoms) == _MOST_ATOMS:
            raise TagError("The MP4 file is malformed or cut off. Copy it anew.")
        atoms.append(_Atom(header[4:_HEADER], place, body, end))
        place = end
    return atoms


def _children(data: bytes, start: int, end: int) -> list[_Atom]:
    """The atoms that fill a range; QuickTime ends some lists with four zero bytes."""
    atoms = []
    while start < end and data[start:end] != bytes(4):
        length = int.from_bytes(data[start : start + 4], "big")
        if length < _HEADER or start + length > end:
            raise TagError("The MP4 file's index is malformed. Remux the file first.")
        atoms.append(_Atom(data[start + 4 : start + _HEADER], start, start + _HEADER, start + length))
        start += length
    return atoms


def _child(data: bytes, parent: _Atom, *kinds: bytes) -> _Atom:
    """The first child of one of these kinds. Raises TagError if there is none."""
    found = (atom for atom in _children(data, parent.body, parent.end) if atom.kind in kinds)
    if (atom := next(found, None)) is None:
        raise TagError("The MP4 file's index lacks a part. Remux the file first.")
    return atom


def _rows(data: bytes, table: _Atom, row: str, *, skip: int = 0) -> list[tuple[int, ...]]:
    """Rows of big-endian numbers, whose count stands in front of them."""
    start = table.body + len(_FULL_BOX) + skip
    count = int.from_bytes(data[start : start + 4], "big")
    end = start + 4 + count * struct.calcsize(f">{row}")
    if end > table.end:
        raise TagError("The MP4 file's index is malformed. Remux the file first.")
    return list(struct.iter_unpack(f">{row}", data[start + 4 : end]))


def _free_form(mean: bytes, name: bytes, data: bytes) -> bytes:
    """An item of the free form around its ``data`` atom."""
    return _atom(b"----", _atom(b"mean", _FULL_BOX + mean) + _atom(b"name", _FULL_BOX + name) + data)


def _atom(kind: bytes, body: bytes) -> bytes:
    return _number(_HEADER + len(body)) + kind + body


def _number(value: int) -> bytes:
    if value >> 32:
        raise TagError("The MP4 file's metadata is too large. Take pictures out of it first.")
    return value.to_bytes(4, "big")
