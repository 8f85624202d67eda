"""What all tag formats have in common: a list of entries, of which one is ours and one is partly ours.

An entry is its raw bytes with its header (an ID3 frame, a Vorbis comment, an MP4 item, a RIFF INFO chunk);
entries of others are only ever copied. A ``Dialect`` spells the few entries that concern us.

Our entries come last where they fit into the padding, and first where the tag had to grow by ``GROWTH``. So a
look at a tag tells whether it has to shrink again, when they go, to give back the bytes as they were.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from exporters.tags import mapping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from moodzone_agent.types import Mark

GROWTH: Final = 1024
"""Bytes by which a tag without room for our entries grows; what they leave is room for later changes."""


class TagField(StrEnum):
    """The field that shows the visible token."""

    COMMENT = "comment"
    GROUPING = "grouping"
    GENRE = "genre"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of a file's tags that concern us."""

    own: str
    """Value of our own field."""
    visible: tuple[str, ...]
    """The chosen field's text; a WAV file has it twice."""
    artist: str
    title: str


class Dialect(Protocol):
    """How one tag format writes entries."""

    @property
    def own(self) -> str:
        """Name of our own field."""

    @property
    def visible(self) -> Mapping[TagField, Sequence[str]]:
        """Names of the entries that show a field, by preference; empty where the format has none."""

    @property
    def created(self) -> Mapping[TagField, str]:
        """Name of the entry to create where none of them is there."""

    @property
    def artist(self) -> str:
        """Name of the entry that holds the artist."""

    @property
    def title(self) -> str:
        """Name of the entry that holds the title."""

    def name(self, entry: bytes) -> str:
        """What an entry is, so that entries of one name mean the same."""

    def text(self, entry: bytes) -> str:
        """Text of an entry. Raises TagError where it cannot be read reliably."""

    def with_text(self, entry: bytes, text: str) -> bytes:
        """The entry with another text and all else as it is."""

    def make(self, name: str, text: str) -> bytes:
        """A new entry."""


def codec_of(text: bytes) -> str:
    """UTF-8, or Latin-1 where the bytes are no UTF-8; either gives the same bytes back."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def texts(entries: Sequence[bytes], dialect: Dialect, field: TagField) -> Texts:
    """What the entries say; of several with one name (but for the visible one) all, joined by ``/``."""

    def joined(name: str) -> str:
        found = (dialect.text(entry) for entry in entries if dialect.name(entry) == name)
        return "/".join(text.replace("\0", "/") for text in found)

    shown = _find_visible(entries, dialect, field)
    visible = "" if shown is None else dialect.text(entries[shown])
    return Texts(joined(dialect.own), (visible,), joined(dialect.artist), joined(dialect.title))


def new_text(text: str, mark: Mark | None, field: TagField) -> str:
    """The visible text as it becomes with ``mark``: a genre gets the token at its end."""
    if mark is None:
        return mapping.without_token(text)
    return mapping.with_token(text, mark, at_end=field is TagField.GENRE)


def foreign(entries: Sequence[bytes], dialect: Dialect, field: TagField) -> list[bytes]:
    """What of the entries is not ours: all but our own field, and the visible text without its token."""
    shown = _find_visible(entries, dialect, field)
    result = []
    for index, entry in enumerate(entries):
        if dialect.name(entry) == dialect.own:
            continue
        if index == shown:
            text = mapping.without_token(dialect.text(entry))
            if text:
                result.append(dialect.with_text(entry, text))
        else:
            result.append(entry)
    return result


def with_mark(
    entries: Sequence[bytes], dialect: Dialect, mark: Mark | None, field: TagField, *, in_front: bool = False
) -> list[bytes]:
    """The entries with our own field and one visible token of ``mark``, or without anything of ours for None.

    Entries that carry the mark already keep their bytes. New ones go to the end or, if ``in_front``, to the
    start; the visible one beside our own field.
    """
    owned = [index for index, entry in enumerate(entries) if dialect.name(entry) == dialect.own]
    in_front = in_front or owned[:1] == [0]
    kept: list[bytes | None] = [None if index in owned else entry for index, entry in enumerate(entries)]
    ours: list[bytes] = []
    if mark is not None:
        has_it = bool(owned) and dialect.text(entries[owned[0]]) == mark.field
        if dialect.own:
            ours.append(entries[owned[0]] if has_it else dialect.make(dialect.own, mark.field))

    shown = _find_visible(entries, dialect, field)
    if shown is not None:
        old = dialect.text(entries[shown])
        new = new_text(old, mark, field)
        if new != old:
            entry = dialect.with_text(entries[shown], new)
            beside_ours = not owned or abs(owned[0] - shown) == 1
            made_by_us = beside_ours and entry == dialect.make(dialect.name(entry), "")
            kept[shown] = None if made_by_us else entry
    elif mark is not None and field in dialect.created:
        ours.insert(len(ours) if in_front else 0, dialect.make(dialect.created[field], mark.token))

    place = 0 if in_front else owned[0] if owned else len(kept)
    before, after = ([entry for entry in part if entry is not None] for part in (kept[:place], kept[place:]))
    return [*before, *ours, *after]


def is_grown(entries: Sequence[bytes], dialect: Dialect) -> bool:
    """Whether the tag was created or made longer for our entries."""
    return bool(entries) and dialect.name(entries[0]) == dialect.own


def fit(
    entries: Sequence[bytes],
    dialect: Dialect,
    mark: Mark | None,
    field: TagField,
    *,
    space: int,
    least: int = 0,
    measure: Callable[[Sequence[bytes]], int] = lambda entries: sum(map(len, entries)),
) -> tuple[list[bytes], int]:
    """The entries as ``with_mark`` makes them, and the bytes they get together with their padding.

    ``space`` is what entries and padding take now, ``least`` the smallest padding the format can write if it
    writes any. The space stays as it is where it can, so that the audio keeps its offset.
    """

    def fits(length: int, space: int) -> bool:
        return space - length >= least or space == length

    new = with_mark(entries, dialect, mark, field)
    if new == list(entries):
        return new, space
    length = measure(new)
    if mark is None and is_grown(entries, dialect) and fits(length, space - GROWTH):
        return new, space - GROWTH
    if fits(length, space):
        return new, space
    new = with_mark(entries, dialect, mark, field, in_front=True)
    missing = measure(new) + least - space
    return new, space + GROWTH * -(-missing // GROWTH)


def _find_visible(entries: Sequence[bytes], dialect: Dialect, field: TagField) -> int | None:
    """Index of the entry that has a token, else of the preferred one that could get it."""
    names = [dialect.name(entry) for entry in entries]
    candidates = [
        index
        for wanted in dialect.visible.get(field, ())
        for index, name in enumerate(names)
        if name == wanted
    ]
    with_token = (index for index in candidates if mapping.find_tokens(dialect.text(entries[index])))
    return next(with_token, candidates[0] if candidates else None)
