"""ID3 tags, spliced: foreign frames are copied unread, only ours are made (id3.org: v2.2, v2.3, v2.4 and v1).

A tag is taken apart only if putting it together again gives the same bytes; any other is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from exporters.tags import entries as common
from exporters.tags.entries import TagField, Texts
from moodzone_agent.errors import TagError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exporters.tags.entries import EntryEdit, PayloadDialect

HEADER: Final = 10
V1_SIZE: Final = 128

_UNSYNC, _EXTENDED, _EXPERIMENTAL = 0x80, 0x40, 0x20
_KNOWN_FLAGS: Final = {
    2: _UNSYNC,
    3: _UNSYNC | _EXTENDED | _EXPERIMENTAL,
    4: _UNSYNC | _EXTENDED | _EXPERIMENTAL,
}
_FRAME_UNSYNC, _FRAME_LENGTH = 0x02, 0x01
_FRAME_ID: Final = re.compile(rb"[A-Z0-9]{3}[A-Z0-9 \0]?")
_LONG_IDS: Final = {
    b"COM": b"COMM", b"TXX": b"TXXX", b"TT1": b"TIT1", b"GP1": b"GRP1",
    b"TCO": b"TCON", b"TT2": b"TIT2", b"TP1": b"TPE1", b"GEO": b"GEOB",
}  # fmt: skip
_SHORT_IDS: Final = {long: short for short, long in _LONG_IDS.items()}


def tag_length(header: bytes) -> int:
    """Length of the ID3v2 tag that starts with ``header``, its 10 bytes included; 0 if there is none."""
    if len(header) < HEADER or header[:3] != b"ID3" or 0xFF in header[3:5]:
        return 0
    return HEADER + _from_synchsafe(header[6:10]) + (HEADER if header[3] == 4 and header[5] & 0x10 else 0)


@dataclass(frozen=True, slots=True)
class Frames:
    """The dialect of one tag: how its version writes frames."""

    version: int
    plain_sizes: bool = False
    """Whether v2.4 sizes are written as in v2.3; old versions of iTunes do."""

    own: ClassVar[str] = "TXXX:MOODZONE"
    visible: ClassVar[Mapping[TagField, Sequence[str]]] = {
        TagField.COMMENT: ("COMM:",),
        TagField.GROUPING: ("GRP1", "TIT1"),  # Apple and Mixxx read GRP1 first
        TagField.GENRE: ("TCON",),
    }
    created: ClassVar[Mapping[TagField, str]] = {
        TagField.COMMENT: "COMM:",
        TagField.GROUPING: "TIT1",  # all but Apple read it
        TagField.GENRE: "TCON",
    }
    stand_ins: ClassVar[Mapping[TagField, str]] = {TagField.COMMENT: "TXXX:COMMENT"}  # FFmpeg writes it
    artist: ClassVar[str] = "TPE1"
    title: ClassVar[str] = "TIT2"

    def name(self, entry: bytes) -> str:
        """The v2.3 id, with the description of COMM and TXXX; then ``?`` if it is unreadable, ``-`` if empty."""
        frame_id = self._id(entry)
        if frame_id != b"COMM" and frame_id[:1] != b"T" and frame_id != b"GRP1":
            return frame_id.decode("latin-1")
        text = self._parse(entry)
        if text is None:
            return frame_id.decode("latin-1") + ("?" if len(entry) > self._header else "-")
        return frame_id.decode("latin-1") + (
            "" if text.description is None else f":{text.description.upper()}"
        )

    def text(self, entry: bytes) -> str:
        """The text of a text or comment frame."""
        text = self._parse(entry)
        return "" if text is None else text.text

    def with_text(self, entry: bytes, text: str) -> bytes:
        """The frame with another text; encoding, language, description, terminators and flags stay."""
        old = self._parse(entry)
        return entry if old is None else self._with_payload(entry, old.payload(text))

    def make(self, name: str, text: str) -> bytes:
        """A new frame, in an encoding that every reader knows: Latin-1, or UTF-16 for what that lacks."""
        frame_id, described, description = name.partition(":")
        parts = [description, text] if described else [text]
        try:
            encoding, encoded = b"\0", b"\0".join(part.encode("latin-1") for part in parts)
        except UnicodeEncodeError:
            encoding = b"\1"
            encoded = b"\0\0".join(b"\xff\xfe" + _encode(part, "utf-16-le") for part in parts)
        payload = encoding + (b"eng" if frame_id == "COMM" else b"") + encoded
        return self._new(frame_id.encode("latin-1"), payload)

    @property
    def payloads(self) -> PayloadDialect:
        """Serato's payloads."""
        return _Objects(self)

    def split(self, body: bytes) -> tuple[list[bytes], int]:
        """Frames of a tag's body, and the offset of its padding.

        Raises TagError unless frames and zero padding tile the body.
        """
        frames = []
        place = 0
        while place < len(body) and body[place]:
            header = body[place : place + self._header]
            end = place + self._header + self._payload_length(header)
            if (
                len(header) < self._header
                or not _FRAME_ID.fullmatch(header[: self._id_length])
                or end > len(body)
            ):
                raise TagError(
                    "A frame of the ID3 tag is malformed. Repair the tag with another program first."
                )
            frames.append(body[place:end])
            place = end
        if body[place:].strip(b"\0"):
            raise TagError(
                "The ID3 tag's padding holds other data. Repair the tag with another program first."
            )
        return frames, place

    @property
    def _id_length(self) -> int:
        return 3 if self.version == 2 else 4

    @property
    def _size_length(self) -> int:
        return 3 if self.version == 2 else 4

    @property
    def _header(self) -> int:
        return 6 if self.version == 2 else 10

    def _is_synchsafe(self) -> bool:
        return self.version == 4 and not self.plain_sizes

    def _size(self, length: int) -> bytes:
        return _to_synchsafe(length) if self._is_synchsafe() else length.to_bytes(self._size_length, "big")

    def _payload_length(self, header: bytes) -> int:
        size = header[self._id_length : self._id_length + self._size_length]
        return _from_synchsafe(size) if self._is_synchsafe() else int.from_bytes(size, "big")

    def _id(self, frame: bytes) -> bytes:
        frame_id = frame[: self._id_length]
        return _LONG_IDS.get(frame_id, frame_id) if self.version == 2 else frame_id

    def _new(self, long_id: bytes, payload: bytes) -> bytes:
        """A new frame of this v2.3 id."""
        flags = bytes(self._header - self._id_length - self._size_length)
        return self._with_payload(
            (_SHORT_IDS[long_id] if self.version == 2 else long_id) + self._size(0) + flags, payload
        )

    def _with_payload(self, frame: bytes, payload: bytes) -> bytes:
        """The frame's header in front of a payload, encoded as the header's flags say."""
        flags = frame[self._id_length + self._size_length : self._header]
        if self.version == 4:
            length = _to_synchsafe(len(payload)) if flags[1] & _FRAME_LENGTH else b""
            payload = length + (_unsync(payload) if flags[1] & _FRAME_UNSYNC else payload)
        return frame[: self._id_length] + self._size(len(payload)) + flags + payload

    def _payload(self, frame: bytes) -> bytes | None:
        """The frame's decoded payload, or None where it is compressed or encrypted or the like."""
        payload = frame[self._header :]
        format_flags = frame[self._header - 1] if self.version > 2 else 0
        if self.version == 4:
            if format_flags & _FRAME_LENGTH:
                payload = payload[4:]
            if format_flags & _FRAME_UNSYNC:
                payload = _resync(payload)
            format_flags &= ~(_FRAME_UNSYNC | _FRAME_LENGTH)
        return None if format_flags else payload

    def _parse(self, frame: bytes) -> _Text | None:
        payload = self._payload(frame)
        return _parse_text(self._id(frame), payload) if payload else None


class _Object(NamedTuple):
    """The payload of a GEOB frame, cut in two."""

    head: bytes
    """Encoding, MIME type, file name and description."""
    data: bytes
    description: str


@dataclass(frozen=True, slots=True)
class _Objects:
    """GEOB frames, in which Serato writes its payloads; the description names them."""

    frames: Frames

    @property
    def is_text(self) -> bool:
        """A frame holds bytes."""
        return False

    def name(self, entry: bytes) -> str:
        """The description of a GEOB frame, ``?`` if it is unreadable; empty for other frames."""
        if self.frames._id(entry) != b"GEOB":
            return ""
        found = self._parse(entry)
        return "?" if found is None else found.description

    def value(self, entry: bytes) -> bytes:
        """The object's data."""
        found = self._parse(entry)
        return b"" if found is None else found.data

    def with_value(self, entry: bytes, value: bytes) -> bytes:
        """The frame with other data; encoding, MIME type, names and flags stay."""
        found = self._parse(entry)
        return entry if found is None else self.frames._with_payload(entry, found.head + value)

    def make(self, name: str, value: bytes) -> bytes:
        """A new frame with the same head as Serato's own."""
        head = b"\0application/octet-stream\0\0" + name.encode("latin-1") + b"\0"
        return self.frames._new(b"GEOB", head + value)

    def _parse(self, entry: bytes) -> _Object | None:
        payload = self.frames._payload(entry)
        return _parse_object(payload) if payload else None


def _parse_object(payload: bytes) -> _Object | None:
    """Cut a GEOB frame's payload; None if it is malformed."""
    encoding = payload[0]
    if encoding > 3:
        return None
    wide = encoding in (1, 2)
    try:
        file_name = _find_terminator(payload, 1, wide=False) + 1
        start = _find_terminator(payload, file_name, wide) + (2 if wide else 1)
        end = _find_terminator(payload, start, wide)
        _, codec, raw = _split_bom(payload[start:end], encoding)
        description = raw.decode(codec)
    except (UnicodeDecodeError, ValueError):
        return None
    end += 2 if wide else 1
    return _Object(payload[:end], payload[end:], description)


class _Text(NamedTuple):
    """The payload of a text frame, cut so that the parts joined give it back."""

    head: bytes
    """Encoding, language and description."""
    bom: bytes
    codec: str
    text: str
    tail: bytes
    """Terminators."""
    description: str | None

    def payload(self, text: str) -> bytes:
        """The payload with another text."""
        bom = self.bom
        if not self.text and not bom and self.head[0] == 1:
            bom = b"\xff\xfe"
        return self.head + bom + _encode(text, self.codec) + self.tail


def _parse_text(frame_id: bytes, payload: bytes) -> _Text | None:
    """Cut a payload; None if it is not what its frame's id says."""
    encoding = payload[0]
    if encoding > 3:
        return None
    wide = encoding in (1, 2)
    head_end = 4 if frame_id == b"COMM" else 1
    description = None
    try:
        if frame_id in (b"COMM", b"TXXX"):
            description_end = _find_terminator(payload, head_end, wide)
            _, codec, raw = _split_bom(payload[head_end:description_end], encoding)
            description = raw.decode(codec)
            head_end = description_end + (2 if wide else 1)
        bom, codec, raw = _split_bom(payload[head_end:], encoding)
        length = len(raw.rstrip(b"\0"))
        if wide:
            length += length % 2
        text = raw[:length].decode(codec, "surrogatepass" if wide else "strict")
    except (UnicodeDecodeError, ValueError):
        return None
    return _Text(payload[:head_end], bom, codec, text, raw[length:], description)


def _find_terminator(payload: bytes, start: int, wide: bool) -> int:
    """Offset of the NUL that ends the string at ``start``. Raises ValueError if there is none."""
    if not wide:
        return payload.index(b"\0", start)
    end = payload.index(b"\0\0", start)
    while (end - start) % 2:
        end = payload.index(b"\0\0", end + 1)
    return end


def _split_bom(raw: bytes, encoding: int) -> tuple[bytes, str, bytes]:
    """Byte order mark, codec and the rest of an encoded string."""
    if encoding == 1:
        if raw[:2] == b"\xfe\xff":
            return raw[:2], "utf-16-be", raw[2:]
        bom = raw[:2] if raw[:2] == b"\xff\xfe" else b""
        return bom, "utf-16-le", raw[len(bom) :]
    return b"", ("latin-1", "", "utf-16-be", common.codec_of(raw))[encoding], raw


def _encode(text: str, codec: str) -> bytes:
    return text.encode(codec, "surrogatepass" if codec.startswith("utf-16") else "strict")


@dataclass(frozen=True, slots=True)
class Id3Tag:
    """One ID3v2 tag, taken apart."""

    version: int
    revision: int
    flags: int
    extended: bytes
    frames: Frames
    entries: tuple[bytes, ...]
    padding: int

    @classmethod
    def new(cls, entries: Sequence[bytes] = ()) -> Id3Tag:
        """A v2.3 tag of these frames, for a file that has none."""
        return cls(3, 0, 0, b"", Frames(3), tuple(entries), 0)

    @classmethod
    def parse(cls, data: bytes) -> Id3Tag:
        """Take a tag apart. Raises TagError, with the reason, if that cannot be done without guessing."""
        version, revision, flags = data[3:6]
        if version not in _KNOWN_FLAGS or flags & ~_KNOWN_FLAGS[version]:
            raise TagError(
                f"The ID3 tag (2.{version}, flags {flags:#04x}) is of a kind that cannot be edited safely. "
                "Save it as ID3v2.3 with a tag editor first."
            )
        body = data[HEADER:]
        if flags & _UNSYNC and version < 4:
            body = _resync(body)
        extended = body[: _extended_length(version, body)] if flags & _EXTENDED else b""
        body = body[len(extended) :]
        frames, entries, padding = _split_frames(version, body)
        tag = cls(version, revision, flags, extended, frames, tuple(entries), padding)
        if tag.dump() != data:
            raise TagError("The ID3 tag is written in an unusual way. Save it with a tag editor first.")
        return tag

    def dump(self) -> bytes:
        """The tag's bytes, header and padding included."""
        body = self._encode(self.entries) + bytes(self.padding)
        return b"ID3" + bytes((self.version, self.revision, self.flags)) + _to_synchsafe(len(body)) + body

    def with_edit(self, edit: EntryEdit) -> Id3Tag:
        """The tag as the edit wants it, in the same length where the padding allows."""
        entries, space = common.fit(
            self.entries,
            self.frames,
            edit,
            space=len(self._encode(self.entries)) + self.padding,
            measure=lambda entries: len(self._encode(entries)),
        )
        return replace(self, entries=tuple(entries), padding=space - len(self._encode(entries)))

    def texts(self, field: TagField) -> Texts:
        """What the frames say."""
        return common.texts(self.entries, self.frames, field)

    def foreign(self, edit: EntryEdit) -> list[bytes]:
        """Everything of the tag that the edit leaves as it is; nothing if there are no such frames."""
        entries = edit.foreign(self.entries, self.frames)
        return (
            [bytes((self.version, self.revision, self.flags)), self.extended[:6], *entries] if entries else []
        )

    def _encode(self, entries: Sequence[bytes]) -> bytes:
        extended = self.extended
        if extended and self.version == 3:
            extended = extended[:6] + self.padding.to_bytes(4, "big")
        body = extended + b"".join(entries)
        return _unsync(body) if self.flags & _UNSYNC and self.version < 4 else body


def edited(tag: Id3Tag | None, edit: EntryEdit, carried: Sequence[bytes] = ()) -> bytes | None:
    """Bytes that take the tag's place to carry the edit out; empty for no tag, None if nothing changes.

    A tag that had to be made has the ``carried`` frames, and goes again when nothing but these is left in it.
    """
    old = tag or Id3Tag.new(carried)
    new = old.with_edit(edit)
    if new == old:
        return None
    is_grown = edit.takes_out and edit.is_grown(old.entries, old.frames)
    made_by_us = is_grown and new.entries == tuple(carried) and new.padding % common.GROWTH == 0
    return b"" if made_by_us else new.dump()


def texts_of_v1(block: bytes) -> dict[str, str]:
    """What an ID3v1 block says, by the name of the v2.3 frame that says it too.

    Many readers look at ID3v1 only where there is no ID3v2; a new tag without these would hide the artist.
    """
    track = block[126] if block[125] == 0 else 0
    texts = {
        "TIT2": block[3:33],
        "TPE1": block[33:63],
        "TALB": block[63:93],
        "TYER": block[93:97],
        "COMM:": block[97:127],
        "TRCK": str(track).encode() if track else b"",
        "TCON": b"(%d)" % block[127] if block[127] != 0xFF else b"",
    }
    return {name: raw.partition(b"\0")[0].rstrip(b" ").decode("latin-1") for name, raw in texts.items()}


def frames_of(texts: Mapping[str, str]) -> list[bytes]:
    """The v2.3 frames of these texts by name; none for an empty text."""
    frames = Frames(3)
    return [frames.make(name, text) for name, text in texts.items() if text]


def _extended_length(version: int, body: bytes) -> int:
    """Length of the extended header. Raises TagError if it has a checksum or is malformed."""
    if version == 3 and body[:4] == b"\0\0\0\6" and body[4:6] == b"\0\0":
        return 10
    if version == 4 and body[:6] == b"\0\0\0\6\1\0":
        return 6
    raise TagError("The ID3 tag's extended header cannot be kept true. Save the tag with a tag editor first.")


def _split_frames(version: int, body: bytes) -> tuple[Frames, list[bytes], int]:
    """Dialect, frames and padding. Raises TagError if the body allows no reading, or two.

    A plain size beyond 127 swallows what follows the frame, and may so happen to end within the padding. That is
    no second reading: mutagen, too, then takes the standard's.
    """
    readings = []
    errors = []
    for frames in [Frames(version), Frames(version, plain_sizes=True)][: 2 if version == 4 else 1]:
        try:
            entries, end = frames.split(body)
        except TagError as reason:
            errors.append(reason)
        else:
            readings.append((frames, entries, len(body) - end))
    if not readings:
        raise errors[0]
    if len(readings) == 2 and readings[0][1] != readings[1][1] and readings[0][2] <= readings[1][2]:
        raise TagError("The ID3 tag's sizes can be read in two ways. Save the tag with a tag editor first.")
    return readings[0]


def _unsync(data: bytes) -> bytes:
    return re.sub(rb"\xff(?=[\0\xe0-\xff]|\Z)", b"\xff\0", data)


def _resync(data: bytes) -> bytes:
    return data.replace(b"\xff\0", b"\xff")


def _from_synchsafe(size: bytes) -> int:
    if max(size, default=0) >= 0x80:
        raise TagError("A size in the ID3 tag is malformed. Repair the tag with another program first.")
    return sum(byte << 7 * place for place, byte in enumerate(reversed(size)))


def _to_synchsafe(length: int) -> bytes:
    if length >> 28:
        raise TagError("The ID3 tag is too large. Take pictures out of it first.")
    return bytes(length >> shift & 0x7F for shift in (21, 14, 7, 0))
