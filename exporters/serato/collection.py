"""Serato up to 3.x as a target: crates beside the tracks, and the track's colour in its file.

Serato keeps a folder ``_Serato_`` at the root of each drive, that of the system's drive in the user's music folder.
It holds crates, which name tracks relative to the drive's root, and a database, which is only read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, ClassVar, Final

from exporters.atomic import edit_file, replace_content
from exporters.base import (
    Change,
    Collection,
    Field,
    Machine,
    Place,
    Sighting,
    Target,
    Want,
    comparable,
    read_collection_file,
)
from exporters.census import Census, take_census
from exporters.list_files import ListStep, write_lists
from exporters.lists import FOLDER, LISTS, inside, list_marks, list_of, membership
from exporters.planning import colour_marks, expect_three, plan_colour, plan_value
from exporters.programs import SERATO
from exporters.serato import crate, database
from exporters.serato.colour import read_colour, write_colour
from exporters.serato.crate import Crate
from exporters.serato.crate_order import CrateOrder
from exporters.serato.palette import SeratoColour, shown_colour
from exporters.undo import COLLECTION
from moodzone_agent.errors import CollectionError, FileChangedError, FileError, TagError
from moodzone_agent.types import Zone

if TYPE_CHECKING:
    from exporters.journal import Run

_FOLDER: Final = "_Serato_"
_CRATES: Final = "Subcrates"
_DATABASE: Final = "database V2"
_ORDER: Final = "neworder.pref"
_MEANWHILE: Final = "another program changed its colour just now; nothing was written"
_NO_PLACE: Final = "Serato keeps no colour in files of this format"


@dataclass(frozen=True, slots=True)
class SeratoSettings:
    """The zones' colours, as Serato shows them."""

    yellow: SeratoColour = SeratoColour.YELLOW
    green: SeratoColour = SeratoColour.GREEN
    purple: SeratoColour = SeratoColour.VIOLET

    def __post_init__(self) -> None:
        expect_three(self.colours, "serato")

    @property
    def colours(self) -> dict[Zone, str]:
        """The colours by zone."""
        return {Zone.YELLOW: str(self.yellow), Zone.GREEN: str(self.green), Zone.PURPLE: str(self.purple)}


class SeratoCollection(Collection):
    """The ``_Serato_`` folder of one drive, and the colours in the files of that drive.

    A track's colour is that in its file; where the file holds none that can be read, that of the database.
    """

    target: ClassVar[str] = "serato"
    program = SERATO
    is_store: ClassVar[bool] = True
    carries: ClassVar[frozenset[Field]] = frozenset({Field.COLOUR, Field.LIST})
    in_file: ClassVar[frozenset[Field]] = frozenset({Field.COLOUR})

    def __init__(self, path: Path, machine: Machine, settings: SeratoSettings) -> None:
        super().__init__(path, settings.colours)
        self._machine = machine
        self._root = machine.volume_of(path)

    def version(self) -> str:
        """The database's version, or the crates' where there is no database yet."""
        self._database()
        self._tracks()
        self._order()
        return database.VERSION if (self.path / _DATABASE).exists() else crate.VERSION

    def holds(self, track: Path) -> bool:
        """Whether the track is on the folder's drive: a crate cannot name any other."""
        return self._machine.volume_of(track) == self._root

    def census(self, ours: Callable[[Place], frozenset[str]] = lambda _: frozenset()) -> Census:
        """Colours and comments of the tracks that Serato knows."""
        known = self._database()
        lists = [name for name in self._crate_names() if name.split("%%")[0] == FOLDER]
        return take_census(
            (
                (
                    place.track,
                    known[key][1] if key in known else "",
                    colour if colour not in ours(place) else "",
                )
                for key, place, colour in self._colours()
            ),
            lists,
        )

    def read(self, among: frozenset[Path] | None = None) -> Iterator[Sighting]:
        """Membership of our crates, and the colour of every track that Serato or the library knows."""
        lists = membership(self._tracks())
        paths = {comparable(path): path for tracks in self._tracks().values() for path in tracks}
        for key, value in lists.items():
            if among is None or paths[key] in among:
                yield Sighting(Place(paths[key], Field.LIST), value, list_marks(value))
        for _, place, colour in self._colours(among):
            yield Sighting(place, colour, colour_marks(colour, self.colours))

    def tracks(self) -> Iterator[Path]:
        """The files of Serato's database; none of them is opened."""
        yield from (path for path, _, _ in self._database().values())

    def preview(self, wants: Iterable[Want]) -> Iterator[Change]:
        """Two changes a track: its colour, and the crate that it should be in."""
        self.version()  # refuses what is damaged or unknown
        lists = membership(self._tracks())
        for want in wants:
            yield self._planned_colour(want)
            yield plan_value(want, Field.LIST, lists.get(comparable(want.path), ""), list_of(want.mark))

    def files(self) -> list[Path]:
        """Our crates, and the file with the crates' order."""
        return [*(self._crate(name) for name in LISTS), self.path / _ORDER]

    def _planned_colour(self, want: Want) -> Change:
        change = Change(want, Field.COLOUR, "", "")
        try:
            state = read_colour(want.path)
        except TagError as error:
            return change.failed(str(error))
        if not state.is_supported:
            return change.skipped(_NO_PLACE)
        return plan_colour(want, _hex(state.colour), self.colours)

    def _apply(self, changes: list[Change], run: Run) -> Iterator[Change]:
        self.version()
        lists = membership(self._tracks())
        moved = []
        for change in changes:
            found = lists.get(comparable(change.want.path), "")
            if change.field is Field.COLOUR:
                yield self._write_colour(change, run)
            elif found != change.before:
                yield change.kept(found)
            else:
                moved.append(change)
        if moved:
            if self.program is not None:
                self.program.expect_closed()  # writing colours takes its time
            write_lists(self, moved, self._crate, self._edit_crate, run)
            try:
                self._write_order(run)
            except FileError as error:
                raise CollectionError(
                    f"The order of crates in {self.path} could not be written: {error}."
                ) from error
            yield from moved

    def _write_colour(self, change: Change, run: Run) -> Change:
        found = change.before

        def edit(copy: Path) -> None:
            nonlocal found
            found = _hex(read_colour(copy).colour)
            if found != change.before:
                raise FileChangedError(_MEANWHILE)
            write_colour(copy, int(change.after, 16) if change.after else None)

        note = {**change.want.note, COLLECTION: self.name}
        try:
            edit_file(change.want.path, edit, run, note=note, changes=[change.changed])
        except FileError as error:
            return change.failed(str(error)) if found == change.before else change.kept(found, _MEANWHILE)
        return change

    def _edit_crate(self, old: bytes | None, step: ListStep) -> bytes | None:
        """Put tracks into one of our crates, or take them out; one that is left empty by us goes."""
        gone = {comparable(want.path) for want in step.taken}
        content = Crate.new() if old is None else Crate.parse(old)
        content = content.removed(
            {track for track in content.tracks if comparable(self._path(track)) in gone}
        )
        content = content.added([self._reference(want.path) for want in step.added])
        return content.dump() if content.tracks or not step.goes_if_empty else None

    def _write_order(self, run: Run) -> None:
        """List our crates in the file with the crates' order, where Serato has made one."""
        old = self._order()
        if old is None:
            return
        order = old
        names = [name for name in LISTS if self._crate(name).exists()]
        for name in (None, *LISTS):
            full = FOLDER if name is None else f"{FOLDER}%%{name}"
            wanted = bool(names) if name is None else name in names
            order = order.added(full) if wanted else order.removed(full)
        replace_content(self.path / _ORDER, old.dump(), order.dump(), run, note={COLLECTION: self.name})

    def _order(self) -> CrateOrder | None:
        data = read_collection_file(self.path / _ORDER)
        return None if data is None else CrateOrder.parse(data)

    def _crate(self, name: str) -> Path:
        return inside(self.path / _CRATES, crate.file_name(FOLDER, name))

    def _crate_names(self) -> list[str]:
        return sorted(path.stem for path in (self.path / _CRATES).glob(f"*{crate.SUFFIX}"))

    def _tracks(self) -> dict[str, list[Path]]:
        """Of each of our crates the tracks."""
        found = {name: read_collection_file(self._crate(name)) for name in LISTS}
        return {
            name: [self._path(track) for track in Crate.parse(data).tracks] if data is not None else []
            for name, data in found.items()
        }

    def _database(self) -> dict[str, tuple[Path, str, str]]:
        """Path, comment and colour of the tracks in Serato's database, by comparable path."""
        data = read_collection_file(self.path / _DATABASE)
        tracks = ((self._path(track.path), track) for track in (database.read_tracks(data) if data else ()))
        return {
            comparable(path): (
                path,
                track.comment,
                "" if track.colour is None else _hex(shown_colour(track.colour)),
            )
            for path, track in tracks
        }

    def _colours(self, among: frozenset[Path] | None = None) -> Iterator[tuple[str, Place, str]]:
        """Comparable path, place and colour of every track that Serato or the library knows on this drive."""
        known = self._database()
        paths = {key: path for key, (path, _, _) in known.items()}
        paths |= {comparable(path): path for path in self._machine.tracks() if self.holds(path)}
        for key, path in paths.items():
            if among is not None and path not in among:
                continue
            try:
                state = read_colour(path)
                colour = _hex(state.colour) if state.is_supported else None
            except TagError:
                colour = None
            if colour is None and key in known:
                colour = known[key][2]
            if colour is not None:
                yield key, Place(path, Field.COLOUR), colour

    def _path(self, reference: str) -> Path:
        return self._root / reference

    def _reference(self, track: Path) -> str:
        """How a crate names a track: relative to the drive's root, with ``/``."""
        return PurePath(os.path.relpath(track, self._root)).as_posix()


def _hex(colour: int | None) -> str:
    return "" if colour is None else f"{colour:06X}"


def _find(machine: Machine, settings: SeratoSettings) -> list[Collection]:
    folders = dict.fromkeys((machine.music / _FOLDER, *(volume / _FOLDER for volume in machine.volumes)))
    return [SeratoCollection(folder, machine, settings) for folder in folders if folder.is_dir()]


def _open(path: Path, machine: Machine, settings: SeratoSettings) -> Collection:
    return SeratoCollection(path if path.name == _FOLDER else path / _FOLDER, machine, settings)


TARGET: Final[Target[SeratoSettings]] = Target(
    name=SeratoCollection.target,
    shown_in="a _Serato_ folder",
    carries=SeratoCollection.carries,
    find=_find,
    open=_open,
    after=(
        "Serato up to 3.x shows the crates at its next start, and a colour when it reads the file anew.",
        "Serato 4 keeps a library of its own and ignores crates: there, only colours and comments in files can show.",
    ),
    program=SERATO,
)
