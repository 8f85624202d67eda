"""Where the visible token stands in a text that belongs to the user. Pure text, no files.

A token is ``#YELLOW``, ``#GREEN`` or ``#PURPLE`` in any case, perhaps with ``?``, standing alone: not part of
a longer word and not inside rekordbox's My Tag section ``/* ... */``. It may follow numbered genres at the
text's start, such as ``(17)``. Ours is the first that is spelled exactly as the mark of our own field spells it;
all others are the user's words and are never touched.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from moodzone_agent.types import Mark

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_TOKEN: Final = re.compile(
    r"(?<![^\s\0,;|/()\[])#(?:YELLOW|GREEN|PURPLE)\??(?![^\s\0,;|/)\].!:])", re.IGNORECASE | re.ASCII
)

_NUMBERED: Final = re.compile(r"(?:\((?:\d{1,3}|RX|CR)\))*", re.ASCII)
"""Genres as ID3v2.3 numbers them; what refines them follows without a space."""


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


def find_tokens(text: str, ours: Mark | None) -> list[tuple[Mark, bool]]:
    """The tokens of a text in their order, each with whether it is ours; none is where ``ours`` is None."""
    own = _find_ours(text, ours)
    found = (
        (Mark.from_token(token[0]), own is not None and token.span() == own.span()) for token in _tokens(text)
    )
    return [(mark, is_ours) for mark, is_ours in found if mark is not None]


def has_token(text: str, ours: Mark | None) -> bool:
    """Whether a token of the text is ours."""
    return _find_ours(text, ours) is not None


def with_token(text: str, mark: Mark, ours: Mark | None = None, *, at_end: bool = False) -> str:
    """The text with the token of ``mark`` in the place of ours, or added where none is; nothing else changes.

    A new one goes behind a leading key and energy pattern, else to the front; or to the end if ``at_end``.
    """
    old = _find_ours(text, ours)
    if old is not None:
        return text[: old.start()] + mark.token + text[old.end() :]
    if not text:
        return mark.token
    if at_end:
        return f"{text}{mark.token}" if _NUMBERED.fullmatch(text) else f"{text} {mark.token}"
    pattern = _LEADING.match(text)
    if pattern is not None:
        return f"{text[: pattern.end()]} {mark.token}{text[pattern.end() :]}"
    return f"{mark.token} {text}"


def without_token(text: str, ours: Mark | None) -> str:
    """The text with our token taken out, and with it the one space that parted it from its neighbour."""
    token = _find_ours(text, ours)
    return text if token is None else _cut(text, [token])


def without_spelled(text: str, spellings: Collection[str]) -> str:
    """The text with all tokens of these spellings taken out, whoever wrote them."""
    return _cut(text, [token for token in _tokens(text) if token[0] in spellings])


def without_tokens(text: str) -> str:
    """The text with all tokens taken out, whoever wrote them."""
    return _cut(text, list(_tokens(text)))


def _find_ours(text: str, ours: Mark | None) -> re.Match[str] | None:
    if ours is None:
        return None
    return next((token for token in _tokens(text) if token[0] == ours.token), None)


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
    sections = _my_tag_sections(text)
    section = next(sections, None)
    numbered = _NUMBERED.match(text)
    behind_numbers = numbered.end() if numbered else 0
    for match in _TOKEN.finditer(text):
        if match.start() != behind_numbers and text[match.start() - 1] == ")":
            continue
        while section is not None and section[1] <= match.start():
            section = next(sections, None)
        if section is None or match.start() < section[0]:
            yield match


def _my_tag_sections(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each My Tag section. A pattern would look for the end of every unclosed one anew."""
    start = text.find("/*")
    while start >= 0 and (close := text.find("*/", start + 2)) >= 0:
        yield start, close + 2
        start = text.find("/*", close + 2)
