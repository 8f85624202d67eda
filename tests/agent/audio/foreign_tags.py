"""Tags that programs put around a stream of audio, byte by byte as their formats say."""

from __future__ import annotations

import random
import struct

PICTURE = random.Random(1).randbytes(300_000)
"""Random bytes look like MP3 headers here and there."""


def synchsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def id3v2(version: int, frames: bytes, *, padding: int = 0, footer: bool = False) -> bytes:
    """id3.org, ID3v2.2 to 2.4: in front of the audio, or appended if it has a footer."""
    body = frames + bytes(padding)
    rest = bytes((version, 0, 0x10 if footer else 0)) + synchsafe(len(body))
    return b"ID3" + rest + body + (b"3DI" + rest if footer else b"")


def id3_frame(version: int, name: bytes, body: bytes) -> bytes:
    size = synchsafe(len(body)) if version == 4 else len(body).to_bytes(4, "big")
    return name + size + b"\0\0" + body


def id3_frames(version: int, *, picture: bytes = b"") -> bytes:
    frames = id3_frame(version, b"TIT2", b"\0Title")
    return frames + (id3_frame(version, b"APIC", b"\0image/jpeg\0\3\0" + picture) if picture else b"")


def id3v1(title: bytes = b"Title", *, extended: bool = False) -> bytes:
    extension = b"TAG+" + title.ljust(223, b"\0") if extended else b""
    return extension + b"TAG" + title.ljust(125, b"\0")


def ape(*items: tuple[bytes, bytes], version: int = 2000) -> bytes:
    """APEv2 with header and footer, or APEv1 with a footer only (wiki.hydrogenaud.io)."""
    body = b"".join(struct.pack("<II", len(value), 0) + key + b"\0" + value for key, value in items)
    has_header = version == 2000

    def mark(*, is_header: bool) -> bytes:
        flags = (0x8000_0000 if has_header else 0) | (0x2000_0000 if is_header else 0)
        return b"APETAGEX" + struct.pack("<IIII8x", version, len(body) + 32, len(items), flags)

    return (mark(is_header=True) if has_header else b"") + body + mark(is_header=False)


def lyrics3_v1(words: bytes = b"la la la ") -> bytes:
    return b"LYRICSBEGIN" + words + b"LYRICSEND"


def lyrics3_v2(words: bytes = b"la la la ") -> bytes:
    body = b"LYRICSBEGIN" + b"IND0000211" + b"LYR%05d" % len(words) + words
    return body + b"%06d" % len(body) + b"LYRICS200"


LEADING = {
    "ID3v2.2": id3v2(2, b"TT2\0\0\6\0Title"),
    "ID3v2.3": id3v2(3, id3_frames(3), padding=2000),
    "ID3v2.3 with art": id3v2(3, id3_frames(3, picture=PICTURE)),
    "ID3v2.4": id3v2(4, id3_frames(4)),
    "ID3v2.4 with art": id3v2(4, id3_frames(4, picture=PICTURE), padding=10),
    "ID3v2.4 with footer": id3v2(4, id3_frames(4), footer=True),
    "two ID3v2": id3v2(3, id3_frames(3), padding=100) + id3v2(4, id3_frames(4, picture=PICTURE)),
    "APEv2 in front": ape((b"Title", b"x"), (b"Cover Art (Front)", b"c.jpg\0" + PICTURE)),
}
TRAILING = {
    "ID3v1": id3v1(),
    "ID3v1 extended": id3v1(extended=True),
    "APEv1": ape((b"Title", b"x"), version=1000),
    "APEv2": ape((b"Title", b"x")),
    "APEv2 with art": ape((b"Title", b"x"), (b"Cover Art (Front)", b"c.jpg\0" + PICTURE)),
    "Lyrics3 v1": lyrics3_v1(b"words " * 800),
    "Lyrics3 v2": lyrics3_v2(b"words " * 9000),
    "appended ID3v2.4": id3v2(4, id3_frames(4), footer=True),
    "appended ID3v2.4 with art": id3v2(4, id3_frames(4, picture=PICTURE), footer=True),
}
