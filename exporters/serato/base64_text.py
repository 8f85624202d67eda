"""Base64 as Serato writes it: lines of 72 characters, and no padding.

Of n bytes Serato writes 4n/3 characters, rounded down, so that the last byte's lower bits may be missing; it
always is a byte that says nothing, often of chance value. Text of other writers is kept in their own way.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from moodzone_agent.errors import TagError

_DAMAGED: Final = (
    "Serato's data in the file is not encoded as Serato does, so that it can't be changed safely. "
    "Have Serato analyze the file anew."
)


class Ending(Enum):
    """What is done with bytes that do not fill four characters."""

    CUT = auto()
    """The last byte's lower bits are left out, as Serato does."""
    WHOLE = auto()
    """All bits are written, and nothing more."""
    PADDED = auto()
    """``=`` fills up, as the standard (RFC 4648) has it."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a text was written."""

    width: int = 72
    """Characters per line."""
    ending: Ending = Ending.CUT
    last_line_ends: bool = False
    """Whether a line feed follows the last line, too."""


SERATO: Final = Style()

_FILL: Final = {Ending.CUT: ("", "A==", "A="), Ending.WHOLE: ("", "", "", "="), Ending.PADDED: ("",)}


def decode(text: bytes) -> tuple[bytes, Style]:
    """The bytes, bits that Serato left out as 0, and the style that ``encode`` needs to give the same text.

    Raises TagError where there is no such style.
    """
    last_line_ends = text.endswith(b"\n")
    lines = (text[:-1] if last_line_ends else text).split(b"\n")
    width = len(lines[0]) if len(lines) > 1 else max(SERATO.width, len(lines[0]))
    characters = b"".join(lines)
    rest = len(characters) % 4
    ending = Ending.PADDED if characters.endswith(b"=") else Ending.WHOLE if rest == 3 else Ending.CUT
    style = Style(width, ending, last_line_ends)
    try:
        fill = _FILL[ending][rest]
        data = binascii.a2b_base64(characters + fill.encode(), strict_mode=True)
    except (binascii.Error, IndexError) as error:
        raise TagError(_DAMAGED) from error
    if not width or encode(data, style) != text:
        raise TagError(_DAMAGED)
    return data, style


def encode(data: bytes, style: Style = SERATO) -> bytes:
    """The text of these bytes."""
    characters = binascii.b2a_base64(data, newline=False)
    if style.ending is not Ending.PADDED:
        characters = characters.rstrip(b"=")
    if style.ending is Ending.CUT:
        characters = characters[: 4 * len(data) // 3]
    lines = [characters[place : place + style.width] for place in range(0, len(characters), style.width)]
    return b"\n".join(lines) + (b"\n" if style.last_line_ends else b"")
