"""rekordbox's XML as a target: comments, colours and a folder of playlists, merged into a file that it exported.

rekordbox never reads the file by itself: the user exports it, MoodZone merges, the user imports. A file that
rekordbox exported gets no new tracks, for it shows what rekordbox holds; one that is made anew holds what was
wanted, and takes more later.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Final

from exporters.atomic import replace_content
from exporters.base import Change, Collection, Field, Machine, Place, Sighting, Target, Want
from exporters.census import Census, take_census
from exporters.filesystem import explain
from exporters.lists import FOLDER, list_marks, list_of
from exporters.planning import colour_marks, expect_three, plan_colour, plan_text, plan_value, text_marks
from exporters.rekordbox_document import NEW, VERSION, RekordboxDocument
from exporters.rekordbox_lists import Track
from exporters.rekordbox_location import to_location
from exporters.tags.edit import read_state
from exporters.undo import COLLECTION
from exporters.xml_splice import outermost_tag, without_forbidden
from moodzone_agent.errors import CollectionError, FileError, TagError
from moodzone_agent.types import Mark, Zone

if TYPE_CHECKING:
    from exporters.journal import Run

_NOT_HELD: Final = "rekordbox's export does not hold it; import the file there and export again"
_HEAD: Final = 4096
"""Bytes in which the outermost element begins."""
_FIELDS: Final = (Field.TEXT, Field.COLOUR, Field.LIST)


class RekordboxColour(StrEnum):
    """The eight colours that rekordbox has for tracks, by its own names."""

    ROSE = "Rose"
    RED = "Red"
    ORANGE = "Orange"
    LEMON = "Lemon"
    GREEN = "Green"
    TURQUOISE = "Turquoise"
    BLUE = "Blue"
    VIOLET = "Violet"

    @property
    def hex(self) -> str:
        """As the XML keeps it, ``0xRRGGBB``."""
        return _HEX[self]


_HEX: Final = {
    RekordboxColour.ROSE: "0xFF007F",
    RekordboxColour.RED: "0xFF0000",
    RekordboxColour.ORANGE: "0xFFA500",
    RekordboxColour.LEMON: "0xFFFF00",
    RekordboxColour.GREEN: "0x00FF00",
    RekordboxColour.TURQUOISE: "0x25FDE9",
    RekordboxColour.BLUE: "0x0000FF",
    RekordboxColour.VIOLET: "0x660099",
}


@dataclass(frozen=True, slots=True)
class RekordboxXmlSettings:
    """Which file, and which colours."""

    xml: str = ""
    """The XML that rekordbox exported; empty to look for it in the usual folders."""
    yellow: RekordboxColour = RekordboxColour.LEMON
    green: RekordboxColour = RekordboxColour.GREEN
    purple: RekordboxColour = RekordboxColour.VIOLET

    def __post_init__(self) -> None:
        expect_three(self.colours, "rekordbox_xml")

    @property
    def colours(self) -> dict[Zone, str]:
        """The zones' colours as the XML keeps them."""
        return {Zone.YELLOW: self.yellow.hex, Zone.GREEN: self.green.hex, Zone.PURPLE: self.purple.hex}


class RekordboxXml(Collection):
    """One XML file; the first write makes it where there is none, and undo of that deletes it.

    Each track has three places. One that the file doesn't hold has none: its only change says so.
    """

    target: ClassVar[str] = "rekordbox-xml"
    carries: ClassVar[frozenset[Field]] = frozenset(_FIELDS)

    def __init__(self, path: Path, colours: Mapping[Zone, str] = MappingProxyType({})) -> None:
        super().__init__(Path(os.path.abspath(path)), colours)  # noqa: PTH100 (a link stays a link)
        self._loaded: tuple[bytes | None, RekordboxDocument] | None = None
        """What was read last and has no edits."""

    def version(self) -> str:
        """The format's, and the program that wrote the file."""
        product = self._load()[1].product
        return f"{VERSION} ({product})" if product else VERSION

    def census(self, ours: Callable[[Place], frozenset[str]] = lambda _: frozenset()) -> Census:
        """Comments, and colours as the XML keeps them."""
        _, document = self._load()
        rows = []
        for track in document.tracks.values():
            colour = document.value(track, Field.COLOUR)
            is_ours = colour in ours(Place(track.path, Field.COLOUR))
            rows.append((track.path, document.value(track, Field.TEXT), "" if is_ours else colour))
        return take_census(rows, [FOLDER] if document.lists.is_there else [])

    def read(self, among: frozenset[Path] | None = None) -> Iterator[Sighting]:
        """Three places of each track whose file can be on this machine."""
        _, document = self._load()
        for track in document.tracks.values():
            for field in _FIELDS if among is None or track.path in among else ():
                value = document.value(track, field)
                yield Sighting(Place(track.path, field), value, self._marks(field, value))

    def preview(self, wants: Iterable[Want]) -> Iterator[Change]:
        """One change each for comment, colour and lists."""
        _, document = self._load()
        for want in wants:
            track = document.track(want.path)
            objection = _objection(document, track, want)
            if want.mark and objection:
                yield Change(want, Field.TEXT, "", "").skipped(objection)
                continue
            yield plan_text(want, _found(document, track, want, Field.TEXT))
            yield plan_colour(want, document.value(track, Field.COLOUR), self.colours)
            yield plan_value(want, Field.LIST, document.value(track, Field.LIST), list_of(want.mark))

    def files(self) -> list[Path]:
        """The XML."""
        return [self.path]

    def _apply(self, changes: list[Change], run: Run) -> Iterator[Change]:
        old, document = self._load()
        done = []
        for change in changes:
            track = document.track(change.want.path)
            found = _found(document, track, change.want, change.field)
            objection = _objection(document, track, change.want)
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

    def _replace(self, old: bytes | None, new: bytes, done: list[Change], run: Run) -> None:
        changed = [change.changed for change in done]
        try:
            replace_content(self.path, old, new, run, note={COLLECTION: self.name}, changes=changed)
        except FileError as error:
            raise CollectionError(f"{self.path} could not be written: {error}.") from error

    def _load(self) -> tuple[bytes | None, RekordboxDocument]:
        """The file's bytes, if there is one, and the document that it holds or will hold."""
        try:
            data: bytes | None = self.path.read_bytes()
        except FileNotFoundError:
            data = None
        except OSError as error:
            raise CollectionError(f"{self.path} cannot be read: {explain(error)}.") from error
        if self._loaded is None or self._loaded[0] != data:
            try:
                self._loaded = data, RekordboxDocument(NEW if data is None else data)
            except CollectionError as error:
                raise CollectionError(f"{self.path}: {error}") from error
        return self._loaded

    def _marks(self, field: Field, value: str) -> tuple[Mark, ...]:
        if field is Field.TEXT:
            return text_marks(value)
        return colour_marks(value, self.colours) if field is Field.COLOUR else list_marks(value)


def _found(document: RekordboxDocument, track: Track | None, want: Want, field: Field) -> str:
    """What stands in a place. The comment of a track that is to be added is that of its file, as in any import."""
    if track is None and field is Field.TEXT:
        with suppress(TagError):
            return without_forbidden(read_state(want.path).text)
    return document.value(track, field)


def _objection(document: RekordboxDocument, track: Track | None, want: Want) -> str:
    """Why the document has no place for a track."""
    if track is not None:
        return ""
    if not document.takes_tracks:
        return _NOT_HELD
    try:
        to_location(want.path)
    except CollectionError as error:
        return str(error)
    return ""


def _find(machine: Machine, settings: RekordboxXmlSettings) -> list[Collection]:
    """The file of the settings, if it is there; else the newest export in the folders where users put them."""
    if settings.xml:
        named = Path(settings.xml).expanduser()
        return [RekordboxXml(named, settings.colours)] if named.exists() else []
    documents = machine.documents
    folders = (documents, documents / "rekordbox", machine.music, machine.home, machine.home / "Desktop")
    paths = [path for folder in dict.fromkeys(folders) for path in _exports(folder)]
    newest = max(paths, key=lambda path: path.stat().st_mtime_ns, default=None)
    return [RekordboxXml(newest, settings.colours)] if newest else []


def _exports(folder: Path) -> list[Path]:
    """The exports that lie in a folder itself."""
    with suppress(OSError):
        paths = sorted(folder.iterdir())
        return [
            path
            for path in paths
            if "rekordbox" in path.stem.lower() and path.suffix.lower() == ".xml" and _is_export(path)
        ]
    return []


def _is_export(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return outermost_tag(file.read(_HEAD)) == "DJ_PLAYLISTS"
    except (OSError, CollectionError):
        return False


TARGET: Final[Target[RekordboxXmlSettings]] = Target(
    name=RekordboxXml.target,
    shown_in="rekordbox, after you import its XML",
    carries=RekordboxXml.carries,
    find=_find,
    open=lambda path, _, settings: RekordboxXml(path, settings.colours),
    after=(
        "In rekordbox, turn on Preferences > View > Layout > rekordbox xml.",
        "Choose the file in Preferences > Advanced > Database > rekordbox xml.",
        "In the tree, under rekordbox xml > Playlists, right-click MoodZone: Import Playlist.",
        "Tracks that rekordbox has already do not change by that (since 5.6.1): select the tracks of the",
        "imported playlists, and Import To Collection once more.",
        "This may replace grids and cues of those tracks by the ones in the XML. So the XML must be fresh: File >",
        "Export Collection in xml format, then `moodzone export rekordbox-xml --into FILE`. Never use a file",
        "that was made anew (--out) for tracks that rekordbox has already.",
        "Sticks must be exported again.",
        "Names to type in Preferences > Advanced > Browse > Color, unless you set other colours:",
        "Lemon = YELLOW, Green = GREEN, Violet = PURPLE.",
    ),
)
