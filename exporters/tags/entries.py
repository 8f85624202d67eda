"""What all tag formats have in common: a list of entries, of which one is ours and one is partly ours.

An entry is its raw bytes with its header (an ID3 frame, a Vorbis comment, an MP4 item, a RIFF INFO chunk);
entries of others are only ever copied. A ``Dialect`` spells the few entries that concern us.

Our entries come last where they fit into the padding, and first where the tag had to grow by ``GROWTH``. So a
look at a tag tells whether it has to shrink again, when they go, to give back the bytes as they were.

Some readers show an entry of another name where the visible one is missing: a stand-in, which a new visible
entry would hide. So the new one has the stand-in's text, too, and a NUL at the end of our own field tells that it
goes again with our token. An equal one without that NUL may be the user's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from exporters.tags import mapping
from moodzone_agent.errors import TagError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from moodzone_agent.types import Mark

GROWTH: Final = 1024
"""Bytes by which a tag without room for our entries grows; what they leave is room for later changes."""


MARKERS2: Final = "Serato Markers2"
MARKERS: Final = "Serato Markers_"
"""The payloads of Serato's that hold the track's colour, the newer and the older."""

_COPIED: Final = "\0"
"""Ends our own field where a visible entry was made from a stand-in; ID3 allows it, and readers don't show it."""


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
    """The texts of all entries that show the chosen field, by preference; a WAV file has two lists of them."""
    artist: str
    title: str
    stand_in: str = ""
    """The text that readers show where there is no visible one in ID3; no token in it is ours."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one edit does to our own field and to the visible tokens."""

    old: Mark | None
    """The mark in our own field, which tells our tokens from the user's."""
    new: Mark | None
    """The mark to write; None takes out all that is ours."""
    field: TagField
    """Where the new token is to stand."""
    holders: Collection[TagField]
    """Where tokens of ours stand that are to be replaced or taken out."""
    inserts: bool
    """Whether the new token is added where none of ours stands."""

    @property
    def spellings(self) -> frozenset[str]:
        """The tokens that the edit puts in or takes out."""
        return frozenset(mark.token for mark in (self.old, self.new) if mark is not None)

    @property
    def takes_out(self) -> bool:
        """Whether all that is ours goes."""
        return self.new is None

    def applied(self, entries: Sequence[bytes], dialect: Dialect, *, in_front: bool = False) -> list[bytes]:
        """See ``with_mark``."""
        return with_mark(entries, dialect, self, in_front=in_front)

    def foreign(self, entries: Sequence[bytes], dialect: Dialect) -> list[bytes]:
        """All but our own field and tokens of the edit's spellings."""
        return foreign(entries, dialect, self.spellings)

    def is_grown(self, entries: Sequence[bytes], dialect: Dialect) -> bool:
        """Whether our own field comes first."""
        return bool(entries) and dialect.name(entries[0]) == dialect.own

    def replaced(self, text: str, field: TagField) -> str:
        """A field's text with our token replaced or taken out, where it is there."""
        if self.new is None or field is not self.field:
            return mapping.without_token(text, self.old)
        return self.added(text) if mapping.has_token(text, self.old) else text

    def added(self, text: str) -> str:
        """The text with the new token, which a genre gets at its end."""
        if self.new is None:
            return text
        return mapping.with_token(text, self.new, self.old, at_end=self.field is TagField.GENRE)


class EntryEdit(Protocol):
    """What one edit does to a tag's entries."""

    @property
    def takes_out(self) -> bool:
        """Whether it only takes out what is ours, so that what was made for that goes too."""

    def applied(self, entries: Sequence[bytes], dialect: Dialect, *, in_front: bool = False) -> list[bytes]:
        """The entries as the edit wants them; new ones at the end or, if ``in_front``, at the start."""

    def foreign(self, entries: Sequence[bytes], dialect: Dialect) -> list[bytes]:
        """What of the entries the edit leaves as it is."""

    def is_grown(self, entries: Sequence[bytes], dialect: Dialect) -> bool:
        """Whether the tag was created or made longer for the entries that the edit concerns."""


class PayloadDialect(Protocol):
    """How one tag format writes Serato's payloads, such as ``MARKERS2``."""

    @property
    def is_text(self) -> bool:
        """Whether their values are text, so that Serato encodes them in base64."""

    def name(self, entry: bytes) -> str:
        """The payload's name; empty if the entry is none, ``?`` if it may be one but cannot be read."""

    def value(self, entry: bytes) -> bytes:
        """The value of an entry that is a payload."""

    def with_value(self, entry: bytes, value: bytes) -> bytes:
        """The entry with another value and all else as it is."""

    def make(self, name: str, value: bytes) -> bytes:
        """A new entry. Raises TagError where the format has no place for a payload of this name."""


class Dialect(Protocol):
    """How one tag format writes entries."""

    @property
    def payloads(self) -> PayloadDialect | None:
        """How it writes payloads; None where it has no place for them."""

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
    def stand_ins(self) -> Mapping[TagField, str]:
        """Name of the entry that readers show in place of the one to create."""

    @property
    def artist(self) -> str:
        """Name of the entry that holds the artist."""

    @property
    def title(self) -> str:
        """Name of the entry that holds the title."""

    def name(self, entry: bytes) -> str:
        """What an entry is, so that entries of one name mean the same; with ``?`` for one that cannot be read."""

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

    visible = tuple(dialect.text(entries[index]) for index in _visible(entries, dialect, field))
    stand_in = "" if visible else _stand_in(entries, dialect, field)
    return Texts(joined(dialect.own), visible, joined(dialect.artist), joined(dialect.title), stand_in)


def foreign(entries: Sequence[bytes], dialect: Dialect, spellings: Collection[str]) -> list[bytes]:
    """What of the entries an edit leaves as it is: all but our own field and tokens of these spellings."""
    shown = {index: field for field in TagField for index in _visible(entries, dialect, field)}
    origins = {field: _origin(entries, dialect, field) for field in TagField}
    result = []
    for index, entry in enumerate(entries):
        if dialect.name(entry) == dialect.own:
            continue
        if index in shown:
            old = dialect.text(entry)
            text = mapping.without_spelled(old, spellings)
            rest = dialect.with_text(entry, text)
            origin = origins[shown[index]]
            is_copy = bool(origin) and rest == dialect.make(dialect.name(entry), origin)
            if text and not (is_copy and len(mapping.find_tokens(old, None)) == 1):
                result.append(rest)
        else:
            result.append(entry)
    return result


def with_mark(
    entries: Sequence[bytes], dialect: Dialect, plan: Plan, *, in_front: bool = False
) -> list[bytes]:
    """The entries as the plan wants them. Raises TagError where an unreadable one would be hidden.

    Every entry that shows our token is brought up to date. Entries that carry the mark already keep their
    bytes. New ones go to the end or, if ``in_front``, to the start; the visible one beside our own field.
    """
    owned = [index for index, entry in enumerate(entries) if dialect.name(entry) == dialect.own]
    in_front = in_front or owned[:1] == [0]
    kept: list[bytes | None] = [None if index in owned else entry for index, entry in enumerate(entries)]
    was_copied = copied = bool(owned) and _says_copied(entries[owned[0]], dialect)
    created: list[bytes] = []
    for field in plan.holders:
        origin = _origin(entries, dialect, field)
        stays = plan.new is not None and field is plan.field
        for index in _visible(entries, dialect, field):
            old = dialect.text(entries[index])
            if not mapping.has_token(old, plan.old):
                continue
            new = plan.replaced(old, field)
            entry = entries[index] if new == old else dialect.with_text(entries[index], new)
            rest = dialect.with_text(entries[index], mapping.without_token(old, plan.old))
            beside_ours = not owned or abs(owned[0] - index) == 1
            made_by_us = rest == dialect.make(dialect.name(entry), origin) and (origin or beside_ours)
            moves = stays and in_front and beside_ours  # along with our own field, whose place tells
            if made_by_us and moves:
                created.append(entry)
            kept[index] = None if made_by_us and (moves or not stays) else entry
            copied = copied and stays

    candidates = _visible(entries, dialect, plan.field)
    if plan.inserts and not any(mapping.has_token(dialect.text(entries[at]), plan.old) for at in candidates):
        _expect_readable(entries, dialect, plan.field)
        if candidates:
            entry = entries[candidates[0]]
            kept[candidates[0]] = dialect.with_text(entry, plan.added(dialect.text(entry)))
            copied = False
        elif plan.field in dialect.created:
            origin = _stand_in(entries, dialect, plan.field)
            created.append(dialect.make(dialect.created[plan.field], plan.added(origin)))
            copied = bool(origin)

    own: list[bytes] = []
    if plan.new is not None and dialect.own:
        has_it = bool(owned) and dialect.text(entries[owned[0]]) == plan.new.field and copied == was_copied
        made = dialect.make(dialect.own, plan.new.field + _COPIED * copied)
        own.append(entries[owned[0]] if has_it else made)

    ours = [*own, *created] if in_front else [*created, *own]
    place = 0 if in_front else owned[0] if owned else len(kept)
    before, after = ([entry for entry in part if entry is not None] for part in (kept[:place], kept[place:]))
    return [*before, *ours, *after]


def fit(
    entries: Sequence[bytes],
    dialect: Dialect,
    edit: EntryEdit,
    *,
    space: int,
    least: int = 0,
    measure: Callable[[Sequence[bytes]], int] = lambda entries: sum(map(len, entries)),
) -> tuple[list[bytes], int]:
    """The entries as the edit makes them, and the bytes they get together with their padding.

    ``space`` is what entries and padding take now, ``least`` the smallest padding the format can write if it
    writes any. The space stays as it is where it can, so that the audio keeps its offset.
    """

    def fits(length: int, space: int) -> bool:
        return space - length >= least or space == length

    new = edit.applied(entries, dialect)
    if new == list(entries):
        return new, space
    length = measure(new)
    grew = edit.is_grown(entries, dialect)
    if len(entries) == 1:  # first and last at once; growing leaves less than a step
        grew = grew and space - measure(entries) < GROWTH + least
    if edit.takes_out and grew and fits(length, space - GROWTH):
        return new, space - GROWTH
    if fits(length, space):
        return new, space
    new = edit.applied(entries, dialect, in_front=True)
    missing = measure(new) + least - space
    return new, space + GROWTH * -(-missing // GROWTH)


def _visible(entries: Sequence[bytes], dialect: Dialect, field: TagField) -> list[int]:
    """Indices of the entries that show a field, by preference."""
    names = [dialect.name(entry) for entry in entries]
    return [
        index
        for wanted in dialect.visible.get(field, ())
        for index, name in enumerate(names)
        if name == wanted
    ]


def _stand_in(entries: Sequence[bytes], dialect: Dialect, field: TagField) -> str:
    """Text of the first entry that stands in for the field's; empty if there is none."""
    wanted = dialect.stand_ins.get(field)
    found = (dialect.text(entry) for entry in entries if dialect.name(entry) == wanted)
    return next(found, "").replace("\0", "/")


def _origin(entries: Sequence[bytes], dialect: Dialect, field: TagField) -> str:
    """Text of the stand-in that the field's entry was made from; empty if it was not."""
    owned = next((entry for entry in entries if dialect.name(entry) == dialect.own), None)
    copied = owned is not None and _says_copied(owned, dialect)
    return _stand_in(entries, dialect, field) if copied else ""


def _says_copied(own: bytes, dialect: Dialect) -> bool:
    """Whether our own field says that a visible entry was made from a stand-in."""
    return bool(dialect.stand_ins) and own == dialect.make(dialect.own, dialect.text(own) + _COPIED)


def _expect_readable(entries: Sequence[bytes], dialect: Dialect, field: TagField) -> None:
    unreadable = {f"{name.removesuffix(':')}?" for name in dialect.visible.get(field, ())}
    if any(dialect.name(entry) in unreadable for entry in entries):
        raise TagError(
            f"The file's {field} is compressed, encrypted or damaged, and a new one would hide it. "
            "Save the tag with a tag editor first."
        )
