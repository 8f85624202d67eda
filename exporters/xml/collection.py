"""A program's collection in one XML file: three places of each track, found, planned and replaced together."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from exporters.atomic import replace_content
from exporters.base import Change, Collection, Field, Place, Sighting, Want, WriteStatus, read_collection_file
from exporters.census import Census, take_census
from exporters.lists import FOLDER
from exporters.planning import marks_in, plan_place
from exporters.undo import COLLECTION
from moodzone_agent.errors import CollectionError, FileError
from moodzone_agent.types import Zone

if TYPE_CHECKING:
    from exporters.journal import Run

FIELDS: Final = (Field.TEXT, Field.COLOUR, Field.LIST)
"""In the order in which they are read and planned."""


class XmlTrack(Protocol):
    """A track of a document."""

    @property
    def path(self) -> Path: ...


class Lists(Protocol):
    """Our folder of lists in a document."""

    @property
    def is_there(self) -> bool: ...


Track = TypeVar("Track", bound=XmlTrack)


class XmlDocument(Protocol[Track]):
    """A document that was read, and its edits."""

    @property
    def tracks(self) -> Mapping[str, Track]:
        """By comparable path, in the document's order."""

    @property
    def lists(self) -> Lists: ...

    def track(self, path: Path) -> Track | None:
        """The track with this path."""

    def value(self, track: Track | None, field: Field) -> str:
        """What stands in a place; empty where nothing does."""

    def carry_out(self, changes: Iterable[Change]) -> None:
        """Edit places, of which each holds what its change expects."""

    def to_bytes(self) -> bytes:
        """The document with its edits. Raises CollectionError where the result couldn't be proven."""


Document = TypeVar("Document", bound=XmlDocument[Any])


class XmlCollection(Collection, Generic[Document, Track]):
    """One file, replaced as a whole. What is special to a program, its class adds."""

    def __init__(self, path: Path, colours: Mapping[Zone, str] = MappingProxyType({})) -> None:
        super().__init__(Path(os.path.abspath(path)), colours)  # noqa: PTH100 (a link stays a link)
        self._loaded: tuple[bytes | None, Document] | None = None
        """What was read last and has no edits."""

    def census(self, ours: Callable[[Place], frozenset[str]] = lambda _: frozenset()) -> Census:
        """Comments, and colours as the file keeps them."""
        document = self._load()
        rows = []
        for track in document.tracks.values():
            colour = document.value(track, Field.COLOUR)
            is_ours = colour in ours(Place(track.path, Field.COLOUR))
            rows.append((track.path, document.value(track, Field.TEXT), "" if is_ours else colour))
        return take_census(rows, [FOLDER] if document.lists.is_there else [])

    def read(self, among: frozenset[Path] | None = None) -> Iterator[Sighting]:
        """Three places of each track whose file can be on this machine."""
        document = self._load()
        for track in document.tracks.values():
            for field in FIELDS if among is None or track.path in among else ():
                value = document.value(track, field)
                yield Sighting(Place(track.path, field), value, marks_in(field, value, self.colours))

    def preview(self, wants: Iterable[Want]) -> Iterator[Change]:
        """One change for each place that is written; of a track that the file can't hold a single one says so."""
        document = self._load()
        for want in wants:
            track = document.track(want.path)
            if want.mark and (objection := self._absence(document, track, want)):
                yield Change(want, Field.LIST, "", "").skipped(objection)
                continue
            for field in FIELDS:
                if field in self.carries:
                    change = plan_place(want, field, self._found(document, track, want, field), self.colours)
                    objection = self._objection(track, field)
                    is_barred = objection and change.status is WriteStatus.WRITTEN
                    yield change.skipped(objection) if is_barred else change

    def files(self) -> list[Path]:
        """The one."""
        return [self.path]

    @abstractmethod
    def _document(self, data: bytes | None) -> Document:
        """The document in a file, or None where there is no file. Raises CollectionError for what is none."""

    @abstractmethod
    def _absence(self, document: Document, track: Track | None, want: Want) -> str:
        """Why the document has no places for a track; empty where it has, or will have."""

    def _objection(self, track: Track | None, field: Field) -> str:
        """Why one place of a track can't be written."""
        del track, field
        return ""

    def _found(self, document: Document, track: Track | None, want: Want, field: Field) -> str:
        """What stands in a place."""
        del want
        return document.value(track, field)

    def _apply(self, changes: list[Change], run: Run) -> Iterator[Change]:
        document = self._load()
        done = []
        for change in changes:
            track = document.track(change.want.path)
            found = self._found(document, track, change.want, change.field)
            objection = self._absence(document, track, change.want) or self._objection(track, change.field)
            if found != change.before:
                yield change.kept(found)
            elif objection:
                yield change.skipped(objection)
            else:
                done.append(change)
        if done:
            self._replace(document, done, run)
        yield from done

    def _replace(self, document: Document, changes: list[Change], run: Run) -> None:
        assert self._loaded is not None
        old, self._loaded = self._loaded[0], None
        document.carry_out(changes)
        changed = [change.changed for change in changes]
        try:
            replace_content(
                self.path, old, document.to_bytes(), run, note={COLLECTION: self.name}, changes=changed
            )
        except FileError as error:
            raise CollectionError(f"{self.path} could not be written: {error}.") from error

    def _load(self) -> Document:
        """What the file holds, read anew where it has changed."""
        data = read_collection_file(self.path)
        if self._loaded is None or self._loaded[0] != data:
            try:
                self._loaded = data, self._document(data)
            except CollectionError as error:
                raise CollectionError(f"{self.path}: {error}") from error
        return self._loaded[1]
