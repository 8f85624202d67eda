"""What every target offers, and the rules of writing that all of them keep.

A **target** is a kind of place that shows zones: the tags of files, a rekordbox XML, Serato's crates and colours,
playlists. A **collection** is one of them on this machine: that XML file, this drive's ``_Serato_`` folder. It is
made of **places**: a field of one track that can hold a zone, as text, as colour, or as membership of a list.

Whatever stands in a place is one of three things: nothing, something of ours, or something of the user's. Only
the first two ever give way. What is ours is told from outside (``Want.ours``): a place itself cannot say it.

The way of one write: ``preview`` looks and plans, one `Change` a place, each with the value it expects to
replace; ``write`` looks again, and where it finds another value it writes nothing there and hands back what it
found. So a correction made in between wins.
"""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path, PurePath, PureWindowsPath
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from exporters.backup import back_up
from exporters.filesystem import explain
from exporters.journal import Changed, Run
from moodzone_agent.errors import CollectionError
from moodzone_agent.types import Mark, Zone

if TYPE_CHECKING:
    from exporters.census import Census
    from exporters.programs import Program

Settings = TypeVar("Settings")


class Field(StrEnum):
    """What about a track can hold a zone."""

    OWN = "own"
    """A field that only MoodZone writes and reads."""
    TEXT = "text"
    """A visible token in a comment, or another text of the user's."""
    COLOUR = "colour"
    LIST = "list"
    """Membership of one of our lists; of several, their names joined."""


@dataclass(frozen=True, slots=True)
class Place:
    """One spot of a collection that can hold a zone."""

    track: Path
    """The track's file, absolute, as this machine names it."""
    field: Field


@dataclass(frozen=True, slots=True)
class Sighting:
    """What stood in a place when it was looked at."""

    place: Place
    value: str
    """As the program keeps it: the whole text, the colour, the lists. Empty where nothing stands."""
    marks: tuple[Mark, ...]
    """The zones that the value stands for: none, one, or several that contradict each other."""
    time_ns: int | None = None
    """When it was put there, in nanoseconds since 1970, where the program records that."""


@dataclass(frozen=True, slots=True)
class Want:
    """A track and the mark it should carry in a collection."""

    path: Path
    mark: Mark | None
    """None takes out what is ours."""
    ours: Mapping[Field, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    """Values of ours that may stand in its places: tokens, colours, lists."""
    artist: str = ""
    title: str = ""
    duration: float | None = None
    """Seconds."""
    note: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """What the journal is to keep, so that undo finds a file that has moved."""


class WriteStatus(StrEnum):
    """What is to come, or came, of one place."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"
    """It holds the wanted value already."""
    KEPT = "kept"
    """It holds a value of the user's, which stays; the change tells it."""
    SKIPPED = "skipped"
    """The collection has no such place."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Change:
    """One place: what it holds, and what it is to hold."""

    want: Want
    field: Field
    before: str
    """What was found there; a write replaces this value only."""
    after: str
    ours: str = ""
    """What of ``after`` is ours: the token, the colour, the list."""
    status: WriteStatus = WriteStatus.WRITTEN
    reason: str = ""

    @property
    def place(self) -> Place:
        """The place."""
        return Place(self.want.path, self.field)

    @property
    def changed(self) -> Changed:
        """What the journal keeps of it."""
        return Changed(str(self.want.path), str(self.field), self.before, self.after)

    def kept(self, found: str, reason: str = "") -> Change:
        """The same, not done: ``found`` stands there."""
        reason = reason or f"holds {found or 'nothing'}, which MoodZone did not write"
        return replace(self, before=found, after=found, ours="", status=WriteStatus.KEPT, reason=reason)

    def skipped(self, reason: str) -> Change:
        """The same, not done: there is no such place."""
        return replace(self, after=self.before, ours="", status=WriteStatus.SKIPPED, reason=reason)

    def failed(self, reason: str) -> Change:
        """The same, not done for this reason."""
        return replace(self, after=self.before, ours="", status=WriteStatus.FAILED, reason=reason)


@dataclass(frozen=True, slots=True)
class Machine:
    """Where on this machine to look for collections."""

    home: Path
    music: Path
    documents: Path
    volumes: tuple[Path, ...] = ()
    """Where drives appear, the system's own among them."""
    tracks: Callable[[], Iterable[Path]] = tuple
    """The music files that are known."""

    def volume_of(self, path: Path) -> Path:
        """The volume that a path lies on: the innermost that holds it."""
        holders = [volume for volume in self.volumes if path.is_relative_to(volume)]
        return max(holders, key=lambda volume: len(volume.parts), default=Path(path.anchor))


@dataclass(frozen=True, slots=True)
class Withheld:
    """A collection that is here and that MoodZone may not, or cannot, use yet."""

    path: Path
    cure: str
    """What the user has to do."""
    consents: tuple[tuple[str, str], ...] = ()
    """Settings of the target that allow it, each with the question to ask; a no leaves out those behind it."""


@dataclass(frozen=True, slots=True)
class Target(Generic[Settings]):
    """One kind of collection. The module of each kind defines one, and `exporters.registry` lists it."""

    name: str
    """As the command line and the settings know it."""
    shown_in: str
    """Where the user sees it, in words."""
    carries: frozenset[Field]
    find: Callable[[Machine, Settings], list[Collection]]
    """The collections of this kind on this machine."""
    open: Callable[[Path, Machine, Settings], Collection]
    """The collection at a path; the first write makes it where there is none, if the kind allows that."""
    after: tuple[str, ...]
    """What the user has to know after a write: what shows by itself, what needs a step, what that overwrites."""
    program: Program | None = None
    withheld: Callable[[Machine, Settings], list[Withheld]] = lambda *_: []
    """Those that ``find`` leaves out until the user does something."""


class Collection(ABC):
    """One collection. Its methods raise CollectionError where it cannot be read or written safely."""

    target: ClassVar[str]
    """Name of the kind, as the command line knows it."""
    program: ClassVar[Program | None] = None
    """The program that must be closed while the collection is written; None where no program owns it."""
    carries: ClassVar[frozenset[Field]]
    is_store: ClassVar[bool] = False
    """Whether it is where its program keeps things, and not a file that it exports or imports now and then."""
    reads: ClassVar[frozenset[Field]] = frozenset()
    """Fields that are only read: a change that is seen there may be a correction."""
    in_file: ClassVar[frozenset[Field]] = frozenset()
    """Those of its fields that are kept in the track's own file."""
    by_file: ClassVar[bool] = False
    """Whether all of it is in the tracks' own files, which are then written one by one and know what is ours."""

    def __init__(self, path: Path, colours: Mapping[Zone, str] = MappingProxyType({})) -> None:
        self.path = path
        """The file or folder by which the user knows it."""
        self.colours = colours
        """The zones' colours, as the program keeps them. A zone that is left out gets none."""

    @abstractmethod
    def version(self) -> str:
        """The version of the format. Raises CollectionError for one that is unknown."""

    def holds(self, track: Path) -> bool:
        """Whether the track can be in this collection at all; those on other drives cannot."""
        del track
        return True

    @abstractmethod
    def census(self, ours: Callable[[Place], frozenset[str]] = lambda _: frozenset()) -> Census:
        """What stands in the collection, but for what is ``ours``."""

    @abstractmethod
    def read(self, among: frozenset[Path] | None = None) -> Iterator[Sighting]:
        """Every place, or those of the tracks ``among``, and what stands there.

        Needs no closed program, and no leave to write.
        """

    def tracks(self) -> Iterator[Path]:
        """The files that it names, there or not."""
        yield from dict.fromkeys(sighting.place.track for sighting in self.read())

    @abstractmethod
    def preview(self, wants: Iterable[Want]) -> Iterator[Change]:
        """What `write` would do, one change for each place of each track, in the order of the wants."""

    def write(self, changes: Sequence[Change], run: Run, backups: Path) -> Iterator[Change]:
        """Carry out those changes that are to be written; yields every change with what came of it.

        A copy of the collection's own files is put into the folder ``backups`` first. Raises CollectionError where
        the program runs, and JournalError where the way back cannot be kept.
        """
        todo = [change for change in changes if change.status is WriteStatus.WRITTEN]
        yield from (change for change in changes if change.status is not WriteStatus.WRITTEN)
        if todo:
            if self.program is not None:
                self.program.expect_closed()
            self.back_up(backups, f"{self.target} {run.id:06}")
            yield from self._apply(todo, run)

    def back_up(self, backups: Path, label: str) -> None:
        """Keep a copy of what a write may replace. Raises CollectionError where that is impossible."""
        back_up(self.files(), backups, label)

    def put_back(self, changed: Iterable[Changed], run: Run, backups: Path) -> list[Change]:
        """Undo changes by value: each goes back only where what we wrote is still there."""
        changes = [
            Change(Want(Path(track), None), Field(field_), before=after, after=before)
            for track, field_, before, after in dict.fromkeys(changed)
        ]
        return list(self.write(changes, run, backups))

    @property
    def name(self) -> str:
        """What the journal knows the collection by."""
        return f"{self.target}:{self.path}"

    @abstractmethod
    def files(self) -> list[Path]:
        """The collection's own files that a write may replace; the tracks' files are not among them."""

    def watched_files(self) -> list[Path]:
        """The files whose change means that there is something new to be read."""
        return self.files()

    @abstractmethod
    def _apply(self, changes: list[Change], run: Run) -> Iterator[Change]:
        """Do it: replace each value that is the expected one, by ``exporters.atomic``; hand back all others."""


def comparable(path: PurePath) -> str:
    """A text that is equal for two paths that name one file.

    Programs compose letters with marks (NFC) where macOS may not. Case counts except on a drive of Windows; there
    letters are compared as its file systems do, one by one: ``ß`` is no ``SS``.
    """
    text = unicodedata.normalize("NFC", path.as_posix())
    if isinstance(path, PureWindowsPath) and path.drive[1:] == ":":
        return "".join(upper if len(upper := letter.upper()) == 1 else letter for letter in text)
    return text


def read_collection_file(path: Path) -> bytes | None:
    """A file's bytes; None where there is none. Raises CollectionError where it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CollectionError(f"{path} cannot be read: {explain(error)}.") from error
