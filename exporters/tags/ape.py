"""The text items of an APEv2 tag, which are only read (hydrogenaudio's APEv2 specification)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from exporters.tags.entries import codec_of
from moodzone_agent.errors import TagError

if TYPE_CHECKING:
    from collections.abc import Mapping

FOOTER: Final = 32
"""Length of the footer, and of the header that may be there too."""
MAGIC: Final = b"APETAGEX"

_KIND: Final = 0b110
"""The bits of an item's flags that are 0 for text in UTF-8."""
_YEAR: Final = re.compile(r"\d{4}(?=-|\Z)", re.ASCII)
_FRAMES: Final = {
    "title": "TIT2",
    "subtitle": "TIT3",
    "artist": "TPE1",
    "album": "TALB",
    "album artist": "TPE2",
    "albumartist": "TPE2",
    "comment": "COMM:",
    "genre": "TCON",
    "grouping": "TIT1",
    "year": "TYER",
    "track": "TRCK",
    "disc": "TPOS",
    "bpm": "TBPM",
    "initialkey": "TKEY",
    "key": "TKEY",
    "composer": "TCOM",
    "conductor": "TPE3",
    "mixartist": "TPE4",
    "remixer": "TPE4",
    "label": "TPUB",
    "publisher": "TPUB",
    "copyright": "TCOP",
    "isrc": "TSRC",
    "compilation": "TCMP",
}
"""The v2.3 frame that says what an item says; where several items share one, the first here counts."""


def texts_of_ape(tag: bytes) -> dict[str, str]:
    """What an APEv2 tag says, by the name of the ID3v2.3 frame that says it too. Raises TagError if it is malformed.

    Many readers look at APEv2 only where there is no ID3v2; a new tag without these would hide the artist.
    Gain is left out: programs that change it in APEv2 would leave a wrong one in ID3v2.
    """
    said = read_items(tag)
    texts: dict[str, str] = {}
    for key, frame in _FRAMES.items():
        if text := said.get(key, ""):
            texts.setdefault(frame, text)
    if year := _YEAR.match(texts.get("TYER", "")):
        texts["TYER"] = year[0]
    return texts


def read_items(tag: bytes) -> Mapping[str, str]:
    """The text items by key in lower case; several values are joined by ``/``, as ID3v2.3 does.

    ``tag`` has its footer and, where there is one, its header. Of several items with one key the last counts,
    as in other readers. Raises TagError if the tag is malformed.
    """
    footer = tag[-FOOTER:]
    if len(footer) < FOOTER or footer[: len(MAGIC)] != MAGIC:
        raise _malformed()
    body = tag[FOOTER if tag.startswith(MAGIC) and len(tag) > FOOTER else 0 : -FOOTER]
    items: dict[str, str] = {}
    place = 0
    for _ in range(int.from_bytes(footer[16:20], "little")):
        length = int.from_bytes(body[place : place + 4], "little")
        flags = int.from_bytes(body[place + 4 : place + 8], "little")
        key_end = body.find(b"\0", place + 8)
        end = key_end + 1 + length
        if key_end < 0 or end > len(body):
            raise _malformed()
        if not flags & _KIND:
            value = body[key_end + 1 : end]
            parts = value.decode(codec_of(value)).split("\0")
            items[body[place + 8 : key_end].decode("latin-1").lower()] = "/".join(filter(None, parts))
        place = end
    return items


def _malformed() -> TagError:
    return TagError("The file's APEv2 tag is malformed. Repair it with another program first.")
