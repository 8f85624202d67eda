"""Track colours: what Serato stores, and what its library shows (Holzhaus, serato-tags documentation).

Colours are 0xRRGGBB. The shown one is the stored one less 0x666666, modulo 2^24 as three channels in one number.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from moodzone_agent.errors import UsageError

NO_COLOUR: Final = 0xFFFFFF
"""What is stored for no colour."""

_OFFSET: Final = 0x666666
_SHOWN: Final = {0x999999: 0x090909, 0x000000: 0x333333}
"""The exceptions."""
_STORED: Final = {shown: stored for stored, shown in _SHOWN.items()}


class SeratoColour(StrEnum):
    """The colours that Serato's picker offers, by hue, as they are shown."""

    MAGENTA = "993399"
    PINK = "993377"
    ROSE = "993355"
    RED = "993333"
    ORANGE = "995533"
    AMBER = "997733"
    YELLOW = "999933"
    LIME = "779933"
    GRASS = "559933"
    GREEN = "339933"
    MINT = "339955"
    TEAL = "339977"
    CYAN = "339999"
    AZURE = "337799"
    SKY = "335599"
    BLUE = "333399"
    VIOLET = "553399"
    PURPLE = "773399"

    @property
    def shown(self) -> int:
        """The colour as a number."""
        return int(self, 16)


def shown_colour(stored: int) -> int | None:
    """What the library shows of a stored colour; None for no colour."""
    if stored == NO_COLOUR:
        return None
    return _SHOWN.get(stored, (stored - _OFFSET) % (1 << 24))


def stored_colour(shown: int | None) -> int:
    """What has to be stored so that the library shows a colour, or none for None.

    Raises UsageError for what is no colour, and for 0x999999 and 0x99999A, which cannot be stored.
    """
    if shown is None:
        return NO_COLOUR
    stored = _STORED.get(shown, (shown + _OFFSET) % (1 << 24))
    if shown >> 24 or shown_colour(stored) != shown:
        raise UsageError(
            f"Serato cannot show the colour {shown:06X}. Choose one of {', '.join(SeratoColour)}."
        )
    return stored
