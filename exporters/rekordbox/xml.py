"""rekordbox's XML as a target: comments, colours and a folder of playlists, merged into a file that it exported.

rekordbox never reads the file by itself: the user exports it, MoodZone merges, the user imports. A file that
rekordbox exported gets no new tracks, for it shows what rekordbox holds; one that is made anew holds what was
wanted, and takes more later.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Final

from exporters.base import Collection, Field, Machine, Target, Want
from exporters.planning import expect_three
from exporters.rekordbox.hints import hints
from exporters.rekordbox.location import to_location
from exporters.rekordbox.xml_document import NEW, VERSION, RekordboxDocument
from exporters.rekordbox.xml_lists import Track
from exporters.tags.edit import read_state
from exporters.xml.collection import FIELDS, XmlCollection
from exporters.xml.splice import outermost_tag, without_forbidden
from moodzone_agent.errors import CollectionError, TagError
from moodzone_agent.types import Zone

_NOT_HELD: Final = "rekordbox's export does not hold it; import the file there and export again"
_HEAD: Final = 4096
"""Bytes in which the outermost element begins."""


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


class RekordboxXml(XmlCollection[RekordboxDocument, Track]):
    """One XML file; the first write makes it where there is none, and undo of that deletes it."""

    target: ClassVar[str] = "rekordbox-xml"
    carries: ClassVar[frozenset[Field]] = frozenset(FIELDS)

    def version(self) -> str:
        """The format's, and the program that wrote the file."""
        product = self._load().product
        return f"{VERSION} ({product})" if product else VERSION

    def _document(self, data: bytes | None) -> RekordboxDocument:
        return RekordboxDocument(NEW if data is None else data)

    def _absence(self, document: RekordboxDocument, track: Track | None, want: Want) -> str:
        if track is not None:
            return ""
        if not document.takes_tracks:
            return _NOT_HELD
        try:
            to_location(want.path)
        except CollectionError as error:
            return str(error)
        return ""

    def _found(self, document: RekordboxDocument, track: Track | None, want: Want, field: Field) -> str:
        """What stands in a place. The comment of a track that is to be added is that of its file, as in any import."""
        if track is None and field is Field.TEXT:
            with suppress(TagError):
                return without_forbidden(read_state(want.path).text)
        return document.value(track, field)


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
        *hints(RekordboxColour.LEMON, RekordboxColour.GREEN, RekordboxColour.VIOLET),
    ),
)
