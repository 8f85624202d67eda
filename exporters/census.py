"""What stands in a collection before MoodZone writes to it for the first time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from exporters.tags import mapping
from moodzone_agent.types import Zone

CROWDED: Final = 0.01
"""Share of the tracks at which a colour of the user's has a meaning that ours would blur."""

MIXED_IN_KEY: Final = "Mixed In Key"
MY_TAG: Final = "rekordbox My Tag"

_ENERGY: Final = re.compile(
    r"(?:^|[\s-])energy\s(?P<named>10|[1-9])(?!\d)"
    r"|^\s*(?:1[0-2]|0?[1-9])[AB](?:/(?:1[0-2]|0?[1-9])[AB])*\s-\s"
    r"(?:\d{2,3}(?:\.\d+)?\s-\s)?(?P<bare>10|[1-9])(?![\d.])",
    re.IGNORECASE,
)
_MY_TAG: Final = re.compile(r"/\*.*?\*/", re.DOTALL)
_HASHTAG: Final = re.compile(r"(?<!\S)#[^\W\d]\w*")


@dataclass(frozen=True, slots=True)
class Census:
    """Counts over a collection. Nothing in them is ours."""

    tracks: int = 0
    colours: Mapping[str, int] = field(default_factory=dict)
    """How many tracks have each colour."""
    comments: Mapping[str, int] = field(default_factory=dict)
    """How many tracks' comments hold each pattern: Mixed In Key, My Tag, a hashtag."""
    lists: tuple[str, ...] = ()
    """Lists, crates and folders called MoodZone that are there already."""
    energies: Mapping[Path, int] = field(default_factory=dict)
    """Mixed In Key's energy, 1 to 10, of the tracks whose comment tells it."""

    def crowded(self, colours: Mapping[Zone, str]) -> dict[Zone, float]:
        """The zones whose colour the user has given to a hundredth of the tracks or more, with that share."""
        if not self.tracks:
            return {}
        shares = {zone: self.colours.get(colour, 0) / self.tracks for zone, colour in colours.items()}
        return {zone: share for zone, share in shares.items() if share >= CROWDED}


def take_census(rows: Iterable[tuple[Path, str, str]], lists: Iterable[str] = ()) -> Census:
    """The census of tracks, each given as its path, comment and colour (empty for none)."""
    tracks, colours, comments = 0, Counter[str](), Counter[str]()
    energies: dict[Path, int] = {}
    for path, comment, colour in rows:
        tracks += 1
        if colour:
            colours[colour] += 1
        comments.update(_patterns(comment))
        energy = energy_of(comment)
        if energy is not None:
            energies[path] = energy
    return Census(tracks, dict(colours.most_common()), dict(comments.most_common()), tuple(lists), energies)


def energy_of(comment: str) -> int | None:
    """Mixed In Key's energy in a comment such as ``8A - 7``, ``8A - 128 - 7`` or ``Energy 7``."""
    found = _ENERGY.search(comment)
    return int(found["named"] or found["bare"]) if found else None


def _patterns(comment: str) -> set[str]:
    found = set()
    if energy_of(comment) is not None:
        found.add(MIXED_IN_KEY)
    if _MY_TAG.search(comment):
        found.add(MY_TAG)
    words = mapping.without_tokens(_MY_TAG.sub(" ", comment))
    return found | {hashtag.lower() for hashtag in _HASHTAG.findall(words)}
