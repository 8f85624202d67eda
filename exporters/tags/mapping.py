"""Where the visible token stands in a text that belongs to the user. Pure text, no files.

A token is ``#YELLOW``, ``#GREEN`` or ``#PURPLE`` in any case, perhaps with ``?``, standing alone: not part of
a longer word and not inside rekordbox's My Tag section ``/* ... */``. ``without_token(with_token(text))``
gives back every text that held no token, to the character.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from moodzone_agent.types import Mark

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKEN: Final = re.compile(
    r"(?<![^\s\0,;|/(\[])#(?:YELLOW|GREEN|PURPLE)\??(?![^\s\0,;|/)\].!:])", re.IGNORECASE | re.ASCII
)
_MY_TAG: Final = re.compile(r"/\*.*?\*/", re.DOTALL)


def _leading_pattern() -> re.Pattern[str]:
    """What Mixed In Key and its like write at the start of a comment: a key, a tempo, an energy.

    Camelot keys may stand alone (``8A``, ``12B/1A``); a musical or Open Key name could be any word, so it
    counts only before a dash and a number (``F#m - 6``, ``1d - 5``).
    """
    camelot = r"(?:1[0-2]|0?[1-9])[AB]"
    named = r"(?:[A-G][#b]?m?|(?:1[0-2]|[1-9])[dm])"
    energy = r"(?:[Ee]nergy|ENERGY)[ ](?:10|[1-9])"
    number = rf"(?:{energy}|\d{{1,3}}(?:\.\d{{1,2}})?)"
    key = rf"{camelot}(?:/{camelot})*"
    alternatives = (
        rf"{key}(?:[ ]-[ ]{number}){{0,2}}",
        rf"{number}[ ]-[ ]{key}",
        rf"{named}(?:/{named})*(?:[ ]-[ ]{number}){{1,2}}",
        energy,
    )
    return re.compile(rf"\s*(?:{'|'.join(alternatives)})(?![^\s\0])", re.ASCII)


_LEADING: Final = _leading_pattern()


def find_tokens(text: str) -> list[Mark]:
    """The tokens of a text in their order; one is ours at most, others were typed by the user."""
    marks = (Mark.from_token(match[0]) for match in _tokens(text))
    return [mark for mark in marks if mark is not None]


def with_token(text: str, mark: Mark, *, at_end: bool = False) -> str:
    """The text with exactly one token, that of ``mark``; nothing else of it changes.

    A token that is there is replaced where it stands, further ones are taken out. A new one goes behind a
    leading key and energy pattern, else to the front; or to the end if ``at_end``.
    """
    found = list(_tokens(text))
    if found:
        first, *others = found
        rest = _cut(text, others)
        return rest[: first.start()] + mark.token + rest[first.end() :]
    if not text:
        return mark.token
    if at_end:
        return f"{text} {mark.token}"
    pattern = _LEADING.match(text)
    if pattern is not None:
        return f"{text[: pattern.end()]} {mark.token}{text[pattern.end() :]}"
    return f"{mark.token} {text}"


def without_token(text: str) -> str:
    """The text with all tokens taken out, each with the one space that parted it from its neighbour."""
    while found := list(_tokens(text)):
        text = _cut(text, found)
    return text


def _cut(text: str, tokens: list[re.Match[str]]) -> str:
    """Take tokens out, each with the space in front of it; one at the very start with the space behind it."""
    kept = []
    place = 0
    for token in tokens:
        start, end = token.span()
        if start > 0:
            kept.append(text[place : start - (text[start - 1] == " ")])
            place = end
    rest = "".join(kept) + text[place:]
    if tokens and tokens[0].start() == 0:
        end = tokens[0].end()
        return rest[end + rest.startswith(" ", end) :]
    return rest


def _tokens(text: str) -> Iterator[re.Match[str]]:
    sections = [section.span() for section in _MY_TAG.finditer(text)]
    for match in _TOKEN.finditer(text):
        if not any(start <= match.start() < end for start, end in sections):
            yield match
