"""What a library holds already that only hints at zones: weak labels, for the day when there are no others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from exporters.census import energy_of
from exporters.tags.edit import read_state
from exporters.tags.second_opinion import energy_level, stars
from moodzone_agent.errors import FileError, UsageError
from moodzone_agent.library.records import TrackRecord
from moodzone_agent.library.store import Library
from moodzone_agent.types import Label, LabelOrigin, Zone

MIXED_IN_KEY: Final = "mixed-in-key"
STARS: Final = "stars"
"""The sources of such labels, as they are stored."""


@dataclass(frozen=True, slots=True)
class EnergyMap:
    """Which of Mixed In Key's energies, 1 to 10, means which zone; what is neither is GREEN."""

    yellow_max: int = 4
    """Up to this, YELLOW."""
    purple_min: int = 7
    """From this, PURPLE."""

    def zone(self, energy: int) -> Zone:
        """The zone that an energy hints at."""
        if energy <= self.yellow_max:
            return Zone.YELLOW
        return Zone.PURPLE if energy >= self.purple_min else Zone.GREEN


@dataclass(frozen=True, slots=True)
class Hint:
    """What one track's tags hint at."""

    track: TrackRecord
    source: str
    value: int
    """The energy, or the number of stars."""
    zone: Zone

    @property
    def is_new(self) -> bool:
        """Whether the library doesn't hold it yet."""
        return self.track.hint is None or self.track.hint.zone is not self.zone


def mixed_in_key(library: Library, energies: EnergyMap) -> Iterator[Hint]:
    """Tracks of which the user never spoke and whose tags tell Mixed In Key's energy, in order of path.

    Reads tags; writes nothing.
    """
    for track, energy in _told(library, _energy):
        yield Hint(track, MIXED_IN_KEY, energy, energies.zone(energy))


def star_ratings(library: Library, zones: Mapping[int, Zone]) -> Iterator[Hint]:
    """Tracks of which the user never spoke and whose tags hold a number of stars that has a zone, in order of path.

    What stars mean only their owner knows, so there is no default. Reads tags; writes nothing.
    """
    for track, rating in _told(library, _stars):
        if rating in zones:
            yield Hint(track, STARS, rating, zones[rating])


def parse_stars(text: str) -> dict[int, Zone]:
    """``1=yellow,3=green,5=purple`` as zones by number of stars. Raises UsageError."""
    zones = {}
    for part in text.split(","):
        number, _, name = (piece.strip() for piece in part.partition("="))
        if number not in {"1", "2", "3", "4", "5"} or name.upper() not in set(Zone):
            raise UsageError(f"--stars {part!r} is no number of stars with its zone, such as 5=purple")
        zones[int(number)] = Zone(name.upper())
    return zones


def _told(library: Library, tell: Callable[[Path], int | None]) -> Iterator[tuple[TrackRecord, int]]:
    """The tracks of which the user never spoke, with what the first of their files tells."""
    for track in library.tracks(labelled=False):
        if any(event.origin is not LabelOrigin.WEAK for event in library.labels(track.audio_id)):
            continue  # a label was taken back
        value = next((told for path in track.paths if (told := tell(path)) is not None), None)
        if value is not None:
            yield track, value


def add(library: Library, hints: list[Hint]) -> int:
    """Store new hints as weak labels; returns how many. One of which the user has spoken takes none."""
    new = [hint for hint in hints if hint.is_new]
    before = library.last_arrival()
    with library.transaction():
        for hint in new:
            audio_id, now = hint.track.audio_id, time.time_ns()
            library.add_label(Label(audio_id, hint.zone, LabelOrigin.WEAK, hint.source, now))
        return library.last_arrival() - before


def _energy(path: Path) -> int | None:
    """By the field that Mixed In Key keeps for it, else by the comment; None where neither can be read."""
    try:
        with path.open("rb") as file:
            told = (energy_level(file) or "").strip()
        if told.isdecimal() and 1 <= int(told) <= 10:
            return int(told)
        return energy_of(read_state(path).text)
    except (OSError, FileError):
        return None


def _stars(path: Path) -> int | None:
    try:
        with path.open("rb") as file:
            return stars(file)
    except OSError:
        return None
