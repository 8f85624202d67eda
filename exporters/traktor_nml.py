"""Traktor's collection as a target: colours, a folder of playlists and, if wanted, comments, in its collection.nml.

Traktor reads the file when it starts and writes it anew when it quits, so it must be closed. The file shows what
Traktor holds: no track is ever added.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Final

from exporters.atomic import replace_content
from exporters.base import Change, Collection, Field, Machine, Place, Sighting, Target, Want, WriteStatus
from exporters.census import Census, take_census
from exporters.filesystem import explain
from exporters.lists import FOLDER, list_marks, list_of
from exporters.planning import colour_marks, expect_three, plan_colour, plan_text, plan_value, text_marks
from exporters.programs import TRAKTOR
from exporters.traktor_document import TraktorDocument
from exporters.traktor_lists import Track
from exporters.traktor_location import system_volumes
from exporters.undo import COLLECTION
from moodzone_agent.errors import CollectionError, FileError
from moodzone_agent.types import Mark, Zone

if TYPE_CHECKING:
    from exporters.journal import Run

_NOT_HELD: Final = "Traktor's collection does not hold it; import the file there and close Traktor"
_NO_INFO: Final = "Traktor knows nothing of it but its name; play it there once and close Traktor"
_FIELDS: Final = (Field.TEXT, Field.COLOUR, Field.LIST)


class TraktorColour(StrEnum):
    """The seven colours that Traktor has for tracks."""

    RED = "red"
    ORANGE = "orange"
    YELLOW = "yellow"
    GREEN = "green"
    BLUE = "blue"
    PURPLE = "purple"
    MAGENTA = "magenta"

    @property
    def number(self) -> str:
        """As the collection keeps it, ``1`` to ``7``."""
        return str(list(TraktorColour).index(self) + 1)


@dataclass(frozen=True, slots=True)
class TraktorSettings:
    """Which file, which colours, and whether comments are written."""

    nml: str = ""
    """The collection.nml; empty to look for it where Traktor puts it."""
    comment: bool = False
    """Put the token into the comment, too."""
    yellow: TraktorColour = TraktorColour.YELLOW
    green: TraktorColour = TraktorColour.GREEN
    purple: TraktorColour = TraktorColour.PURPLE

    def __post_init__(self) -> None:
        expect_three(self.colours, "traktor")

    @property
    def colours(self) -> dict[Zone, str]:
        """The zones' colours as the collection keeps them."""
        return {
            Zone.YELLOW: self.yellow.number,
            Zone.GREEN: self.green.number,
            Zone.PURPLE: self.purple.number,
        }


class TraktorNml(Collection):
    """One collection.nml, without its comments: they are read where they show a zone, and left alone.

    Each track has two places. One that the file doesn't hold has none: its only change says so.
    """

    target: ClassVar[str] = "traktor"
    program = TRAKTOR
    carries: ClassVar[frozenset[Field]] = frozenset({Field.COLOUR, Field.LIST})
    reads: ClassVar[frozenset[Field]] = frozenset({Field.TEXT})

    def __init__(
        self,
        path: Path,
        colours: Mapping[Zone, str] = MappingProxyType({}),
        system: frozenset[str] | None = None,
    ) -> None:
        """``system`` are the names of the system's volume, by default those of this machine."""
        super().__init__(Path(os.path.abspath(path)), colours)  # noqa: PTH100 (a link stays a link)
        self._system = system_volumes() if system is None else system
        self._loaded: tuple[bytes, TraktorDocument] | None = None
        """What was read last and has no edits."""

    def version(self) -> str:
        """The number of the format."""
        return self._load()[1].version

    def census(self, ours: Callable[[Place], frozenset[str]] = lambda _: frozenset()) -> Census:
        """Comments, and colours as numbers."""
        _, document = self._load()
        rows = []
        for track in document.tracks.values():
            colour = document.value(track, Field.COLOUR)
            is_ours = colour in ours(Place(track.path, Field.COLOUR))
            rows.append((track.path, document.value(track, Field.TEXT), "" if is_ours else colour))
        return take_census(rows, [FOLDER] if document.lists.is_there else [])

    def read(self, among: frozenset[Path] | None = None) -> Iterator[Sighting]:
        """The places of each track whose file can be on this machine, and every comment."""
        _, document = self._load()
        for track in document.tracks.values():
            for field in _FIELDS if among is None or track.path in among else ():
                value = document.value(track, field)
                yield Sighting(Place(track.path, field), value, self._marks(field, value))

    def preview(self, wants: Iterable[Want]) -> Iterator[Change]:
        """One change each for colour, lists and, if they are written, the comment."""
        _, document = self._load()
        for want in wants:
            track = document.track(want.path)
            if want.mark and track is None:
                yield Change(want, Field.LIST, "", "").skipped(_NOT_HELD)
                continue
            for change in self._planned(document, track, want):
                objection = _objection(track, change.field)
                is_barred = objection and change.status is WriteStatus.WRITTEN
                yield change.skipped(objection) if is_barred else change

    def files(self) -> list[Path]:
        """The collection.nml."""
        return [self.path]

    def _planned(self, document: TraktorDocument, track: Track | None, want: Want) -> Iterator[Change]:
        if Field.TEXT in self.carries:
            yield plan_text(want, document.value(track, Field.TEXT))
        yield plan_colour(want, document.value(track, Field.COLOUR), self.colours)
        yield plan_value(want, Field.LIST, document.value(track, Field.LIST), list_of(want.mark))

    def _apply(self, changes: list[Change], run: Run) -> Iterator[Change]:
        old, document = self._load()
        done = []
        for change in changes:
            track = document.track(change.want.path)
            found = document.value(track, change.field)
            objection = _objection(track, change.field)
            if found != change.before:
                yield change.kept(found)
            elif objection:
                yield change.skipped(objection)
            else:
                done.append(change)
        if done:
            self._loaded = None
            document.carry_out(done)
            self._replace(old, document.to_bytes(), done, run)
        yield from done

    def _replace(self, old: bytes, new: bytes, done: list[Change], run: Run) -> None:
        changed = [change.changed for change in done]
        try:
            replace_content(self.path, old, new, run, note={COLLECTION: self.name}, changes=changed)
        except FileError as error:
            raise CollectionError(f"{self.path} could not be written: {error}.") from error

    def _load(self) -> tuple[bytes, TraktorDocument]:
        """The file's bytes, and the document that they are."""
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise CollectionError(f"{self.path} cannot be read: {explain(error)}.") from error
        if self._loaded is None or self._loaded[0] != data:
            try:
                self._loaded = data, TraktorDocument(data, self._system)
            except CollectionError as error:
                raise CollectionError(f"{self.path}: {error}") from error
        return self._loaded

    def _marks(self, field: Field, value: str) -> tuple[Mark, ...]:
        if field is Field.TEXT:
            return text_marks(value)
        return colour_marks(value, self.colours) if field is Field.COLOUR else list_marks(value)


class TraktorNmlWithComments(TraktorNml):
    """One collection.nml, whose comments are written, too."""

    carries: ClassVar[frozenset[Field]] = frozenset(_FIELDS)
    reads: ClassVar[frozenset[Field]] = frozenset()


def _objection(track: Track | None, field: Field) -> str:
    """Why there is no such place."""
    if track is None:
        return _NOT_HELD
    return "" if field is Field.LIST or track.infos else _NO_INFO


def _find(machine: Machine, settings: TraktorSettings) -> list[Collection]:
    """The file of the settings, if it is there; else that of each version of Traktor, the newest first."""
    if settings.nml:
        named = Path(settings.nml).expanduser()
        return [_opened(named, settings)] if named.exists() else []
    paths: list[Path] = []
    with suppress(OSError):
        paths += (machine.documents / "Native Instruments").glob("Traktor */collection.nml")
    return [_opened(path, settings) for path in sorted(paths, key=_version_of, reverse=True)]


def _version_of(path: Path) -> tuple[list[int], str]:
    """To sort by: the numbers in the name of the file's folder, such as ``Traktor 3.11.1``."""
    return [int(number) for number in re.findall(r"\d+", path.parent.name)], path.parent.name


def _opened(path: Path, settings: TraktorSettings) -> TraktorNml:
    kind = TraktorNmlWithComments if settings.comment else TraktorNml
    return kind(path, settings.colours)


TARGET: Final[Target[TraktorSettings]] = Target(
    name=TraktorNml.target,
    shown_in="Traktor",
    carries=TraktorNml.carries,
    find=_find,
    open=lambda path, _, settings: _opened(path, settings),
    after=(
        "Traktor shows colours, and the folder MoodZone among its playlists, at its next start.",
        "It keeps all of it in memory while it runs and rewrites the file when you quit: what you correct there is",
        "read after that. Tracks that it does not hold are left out: import them, quit Traktor, and write again.",
        "In its collection the comment changes only with `comment = true` under [traktor] in the settings.",
    ),
    program=TRAKTOR,
)
