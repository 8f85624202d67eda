"""Traktor's collection as a target: colours, a folder of playlists and, if wanted, comments, in its collection.nml.

Traktor reads the file when it starts and writes it anew when it quits, so it must be closed. The file shows what
Traktor holds: no track is ever added.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Final

from exporters.base import Collection, Field, Machine, Target, Want
from exporters.planning import expect_three
from exporters.programs import TRAKTOR
from exporters.traktor.document import TraktorDocument
from exporters.traktor.lists import Track
from exporters.traktor.location import system_volumes
from exporters.xml.collection import FIELDS, XmlCollection
from moodzone_agent.errors import CollectionError
from moodzone_agent.types import Zone

_NOT_HELD: Final = "Traktor's collection does not hold it; import the file there and close Traktor"
_NO_INFO: Final = "Traktor knows nothing of it but its name; play it there once and close Traktor"


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


class TraktorNml(XmlCollection[TraktorDocument, Track]):
    """One collection.nml, without its comments: they are read where they show a zone, and left alone."""

    target: ClassVar[str] = "traktor"
    program = TRAKTOR
    is_store: ClassVar[bool] = True
    carries: ClassVar[frozenset[Field]] = frozenset({Field.COLOUR, Field.LIST})
    reads: ClassVar[frozenset[Field]] = frozenset({Field.TEXT})

    def __init__(
        self,
        path: Path,
        colours: Mapping[Zone, str] = MappingProxyType({}),
        system: frozenset[str] | None = None,
    ) -> None:
        """``system`` are the names of the system's volume, by default those of this machine."""
        super().__init__(path, colours)
        self._system = system_volumes() if system is None else system

    def version(self) -> str:
        """The number of the format."""
        return self._load().version

    def _document(self, data: bytes | None) -> TraktorDocument:
        if data is None:
            raise CollectionError("It is not there. Start Traktor once, and close it.")
        return TraktorDocument(data, self._system)

    def _absence(self, document: TraktorDocument, track: Track | None, want: Want) -> str:
        del document, want
        return _NOT_HELD if track is None else ""

    def _objection(self, track: Track | None, field: Field) -> str:
        return "" if track is None or field is Field.LIST or track.infos else _NO_INFO


class TraktorNmlWithComments(TraktorNml):
    """One collection.nml, whose comments are written, too."""

    carries: ClassVar[frozenset[Field]] = frozenset(FIELDS)
    reads: ClassVar[frozenset[Field]] = frozenset()


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
