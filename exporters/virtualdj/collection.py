"""VirtualDJ's lists as a target: a list for each zone, in a folder MoodZone.

VirtualDJ keeps a home folder, and one called VirtualDJ at the root of each drive that holds music. Since 2024 its
lists are files in ``MyLists``, and those inside the list or folder NAME lie in ``NAME.subfolders``. Ours are
``MyLists/MoodZone.subfolders/YELLOW.vdjfolder`` and so on; no ``MoodZone.vdjfolder`` is made, since nothing but
folders would be in it. A drive that has ``MyLists`` gets the lists of its own tracks, and the home folder those of
all others.

Colours and comments are in ``database.xml``, which is read and never written.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Final

from exporters.base import (
    Change,
    Collection,
    Field,
    Machine,
    Place,
    Sighting,
    Target,
    Want,
    WriteStatus,
    comparable,
    read_collection_file,
)
from exporters.census import Census, take_census
from exporters.list_files import ListStep, write_lists
from exporters.lists import FOLDER, LISTS, inside, list_marks, list_of, membership
from exporters.planning import colour_marks, expect_three, plan_value, text_marks
from exporters.programs import VIRTUALDJ
from exporters.virtualdj.files import KnownTrack, SongList, is_nameable, read_database
from moodzone_agent.errors import CollectionError, UsageError
from moodzone_agent.types import ZONES, Zone

if TYPE_CHECKING:
    from exporters.journal import Run

_HOME: Final = "VirtualDJ"
_LISTS: Final = "MyLists"
_OURS: Final = f"{FOLDER}.subfolders"
_DATABASE: Final = "database.xml"
_NO_LISTS: Final = (
    "VirtualDJ has no folder MyLists there, which it makes from 2024 on: start such a version once and close it, "
    "or use m3u8"
)
_UNNAMEABLE: Final = "a list cannot name it: rename the file, its path has characters that XML does not allow"
_RGB: Final = re.compile("[0-9A-Fa-f]{6}")
_OPAQUE: Final = 0xFF000000


@dataclass(frozen=True, slots=True)
class VirtualDjSettings:
    """Which home folder, and which colours of VirtualDJ's you give to tracks of a zone."""

    folder: str = ""
    """VirtualDJ's home folder; empty to look for it where VirtualDJ puts it."""
    yellow: str = "FFFF00"
    """Red, green and blue, two hexadecimal digits each."""
    green: str = "00FF00"
    purple: str = "8800CC"

    def __post_init__(self) -> None:
        for zone, colour in zip(ZONES, (self.yellow, self.green, self.purple), strict=True):
            if not _RGB.fullmatch(colour):
                raise UsageError(
                    f"[virtualdj] {zone.lower()} must be six hexadecimal digits like FFFF00, not {colour!r}"
                )
        expect_three(self.colours, "virtualdj")

    @property
    def colours(self) -> dict[Zone, str]:
        """The zones' colours as the database keeps them, ARGB as a decimal number."""
        told = {Zone.YELLOW: self.yellow, Zone.GREEN: self.green, Zone.PURPLE: self.purple}
        return {zone: str(_OPAQUE | int(colour, 16)) for zone, colour in told.items()}


class VirtualDjCollection(Collection):
    """The home folder, or the folder of one drive: our lists, and the database that is only read.

    Each track has one place, its list. Colours, comments and groupings of the database are told where they show
    a zone.
    """

    target: ClassVar[str] = "virtualdj"
    program = VIRTUALDJ
    is_store: ClassVar[bool] = True
    carries: ClassVar[frozenset[Field]] = frozenset({Field.LIST})
    reads: ClassVar[frozenset[Field]] = frozenset({Field.TEXT, Field.COLOUR})

    def __init__(
        self, path: Path, machine: Machine, shown: Mapping[Zone, str] = MappingProxyType({})
    ) -> None:
        """``shown`` are the colours by which the user shows zones; none is written."""
        super().__init__(Path(os.path.abspath(path)))  # noqa: PTH100 (a link stays a link)
        self._machine = machine
        self._shown = shown

    def version(self) -> str:
        """There is but one."""
        self._tracks()
        return "lists of VirtualDJ 2024"

    def holds(self, track: Path) -> bool:
        """Whether the track belongs to this folder's lists: those of its drive, or else those of the home folder."""
        drives = self._machine.volume_of(track) / _HOME
        has_lists = (drives / _LISTS).is_dir()
        if self.path.name == _HOME and self.path.parent in self._machine.volumes:
            return has_lists and self.path == drives
        return not has_lists

    def census(self, ours: Callable[[Place], frozenset[str]] = lambda _: frozenset()) -> Census:
        """Colours and comments of the database. None of them is ours."""
        del ours
        rows = ((known.path, known.comment, known.colour) for known in self._database())
        return take_census(rows, [name for name in LISTS if self._list(name).exists()])

    def read(self, among: frozenset[Path] | None = None) -> Iterator[Sighting]:
        """Every track of our lists, and what in the database shows a zone."""
        paths = {comparable(path): path for tracks in self._tracks().values() for path in tracks}
        for key, value in self._membership().items():
            if among is None or paths[key] in among:
                yield Sighting(Place(paths[key], Field.LIST), value, list_marks(value))
        for known in self._database():
            if among is None or known.path in among:
                yield from self._sightings(known)

    def tracks(self) -> Iterator[Path]:
        """The files of the database and of our lists."""
        listed = (path for tracks in self._tracks().values() for path in tracks)
        yield from dict.fromkeys((*(known.path for known in self._database()), *listed))

    def preview(self, wants: Iterable[Want]) -> Iterator[Change]:
        """One change a track: the list that it should be in."""
        lists = self._membership()
        for want in wants:
            found = lists.get(comparable(want.path), "")
            change = plan_value(want, Field.LIST, found, list_of(want.mark))
            objection = self._objection(change)
            yield change.skipped(objection) if objection else change

    def files(self) -> list[Path]:
        """Our lists."""
        return [self._list(name) for name in LISTS]

    def watched_files(self) -> list[Path]:
        """Our lists, and the database, which is only read."""
        return [*self.files(), self.path / _DATABASE]

    def _objection(self, change: Change) -> str:
        """Why a change can't be made."""
        if change.status is not WriteStatus.WRITTEN:
            return ""
        if not (self.path / _LISTS).is_dir():
            return _NO_LISTS
        return "" if is_nameable(change.want.path) else _UNNAMEABLE

    def _apply(self, changes: list[Change], run: Run) -> Iterator[Change]:
        lists = self._membership()
        done = []
        for change in changes:
            found = lists.get(comparable(change.want.path), "")
            objection = self._objection(change)
            if found != change.before:
                yield change.kept(found)
            elif objection:
                yield change.skipped(objection)
            else:
                done.append(change)
        if done:
            write_lists(self, done, self._list, self._edit, run)
        yield from done

    def _edit(self, old: bytes | None, step: ListStep) -> bytes | None:
        content = _parsed(self._list(step.name), old)
        content.edit((want.path for want in step.taken), step.added)
        return content.to_bytes(even_if_empty=not step.goes_if_empty)

    def _folder(self) -> Path:
        return inside(self.path / _LISTS, _OURS)

    def _list(self, name: str) -> Path:
        return inside(self._folder(), f"{name}.vdjfolder")

    def _tracks(self) -> dict[str, list[Path]]:
        """Of each of our lists the tracks."""
        files = {name: self._list(name) for name in LISTS}
        return {
            name: list(_parsed(path, read_collection_file(path)).tracks()) for name, path in files.items()
        }

    def _membership(self) -> dict[str, str]:
        return membership(self._tracks())

    def _database(self) -> list[KnownTrack]:
        path = self.path / _DATABASE
        data = read_collection_file(path)
        try:
            return [] if data is None else read_database(data)
        except CollectionError as error:
            raise CollectionError(f"{path}: {error}") from error

    def _sightings(self, known: KnownTrack) -> Iterator[Sighting]:
        texts = [text for text in (known.comment, known.grouping) if text]
        marks = tuple(mark for text in texts for mark in text_marks(text))
        yield Sighting(Place(known.path, Field.TEXT), "\n".join(texts), marks)
        yield Sighting(Place(known.path, Field.COLOUR), known.colour, colour_marks(known.colour, self._shown))


def _parsed(path: Path, data: bytes | None) -> SongList:
    try:
        return SongList() if data is None else SongList(data)
    except CollectionError as error:
        raise CollectionError(f"{path}: {error}") from error


def _find(machine: Machine, settings: VirtualDjSettings) -> list[Collection]:
    """The home folder, that of the settings or those that are where VirtualDJ puts it, and one a drive."""
    homes = [
        machine.documents / _HOME,
        machine.home / "Library" / "Application Support" / _HOME,
        machine.home / "AppData" / "Local" / _HOME,
    ]
    if settings.folder:
        homes = [Path(settings.folder).expanduser()]
    folders = dict.fromkeys((*homes, *(volume / _HOME for volume in machine.volumes)))
    return [_open(folder, machine, settings) for folder in folders if folder.is_dir()]


def _open(path: Path, machine: Machine, settings: VirtualDjSettings) -> Collection:
    return VirtualDjCollection(path, machine, settings.colours)


TARGET: Final[Target[VirtualDjSettings]] = Target(
    name=VirtualDjCollection.target,
    shown_in="a VirtualDJ folder",
    carries=VirtualDjCollection.carries,
    find=_find,
    open=_open,
    after=(
        "VirtualDJ 2024 and later shows the lists under My Lists > MoodZone at its next start; no step is needed,",
        "and nothing of yours is overwritten. Older versions have no such lists: use m3u8 there.",
        "VirtualDJ's own database is never written: for a token in its comments, write tags, then Reload tags there,",
        "which replaces comments that you typed into VirtualDJ only.",
    ),
    program=VIRTUALDJ,
)
