"""The text that stands for a payload in FLAC and MP4.

It is base64 of what an ID3 GEOB frame would hold: MIME type, an empty file name and the payload's name, each ended
by NUL, then the payload.
"""

from __future__ import annotations

from dataclasses import dataclass

from exporters.serato.base64_text import SERATO, Style, decode, encode
from moodzone_agent.errors import TagError


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload and what is around it."""

    head: bytes
    payload: bytes
    style: Style

    @classmethod
    def parse(cls, text: bytes, name: str) -> Envelope:
        """Take the text apart. Raises TagError unless it holds the payload of this name."""
        data, style = decode(text)
        parts = data.split(b"\0", 3)
        if len(parts) < 4 or parts[2] != name.encode():
            raise TagError(f"The file's {name} holds something else. Have Serato analyze the file anew.")
        place = len(data) - len(parts[3])
        return cls(data[:place], data[place:], style)

    @classmethod
    def new(cls, payload: bytes, name: str) -> Envelope:
        """What Serato puts around a payload."""
        return cls(b"application/octet-stream\0\0" + name.encode() + b"\0", payload, SERATO)

    def dump(self) -> bytes:
        """The text."""
        return encode(self.head + self.payload, self.style)
