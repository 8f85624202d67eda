"""Our lists in a collection: one for each zone and one for the unsure, inside a folder called MoodZone.

A track's list place holds the names of those of our lists that hold the track. Tracks and lists of the user's stay
where the user put them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Generic, TypeVar

from exporters.base import Change, Want, comparable
from moodzone_agent.errors import CollectionError
from moodzone_agent.types import ZONES, Mark, MarkState, Zone

UNSURE: Final = "UNSURE"
"""The list of tracks whose zone the model is unsure of."""
LISTS: Final = (*(str(zone) for zone in ZONES), UNSURE)
"""The lists inside a collection's MoodZone folder, in their order."""
FOLDER: Final = "MoodZone"
"""The folder, parent crate or prefix that our lists stand under."""

_JOINT: Final = " + "
Member = TypeVar("Member")


@dataclass(slots=True)
class ListEdit(Generic[Member]):
    """What is to become of one list."""

    gone: set[Member] = field(default_factory=set)
    added: list[Member] = field(default_factory=list)


def list_of(mark: Mark | None) -> str:
    """The list that a track with this mark belongs to; empty for none."""
    if mark is None:
        return ""
    return UNSURE if mark.state is MarkState.UNSURE else str(mark.zone)


def joined_lists(names: Iterable[str]) -> str:
    """The value of a list place: the names of ours among ``names``, in our order."""
    found = set(names)
    return _JOINT.join(name for name in LISTS if name in found)


def split_lists(value: str) -> list[str]:
    """The lists that the value of a list place names."""
    return value.split(_JOINT) if value else []


def membership(tracks: Mapping[str, Iterable[Path]]) -> dict[str, str]:
    """The value of every track's list place, by its comparable path; given the tracks of each of our lists."""
    names: dict[str, list[str]] = {}
    for name, paths in tracks.items():
        for key in {comparable(path) for path in paths}:
            names.setdefault(key, []).append(name)
    return {key: joined_lists(found) for key, found in names.items()}


def moves(name: str, changes: Iterable[Change]) -> tuple[list[Want], list[Want]]:
    """The tracks that changes take out of the list of this name, and those they put into it."""
    taken, added = [], []
    for change in changes:
        was_in, is_in = (name in split_lists(value) for value in (change.before, change.after))
        if was_in and not is_in:
            taken.append(change.want)
        if is_in and not was_in:
            added.append(change.want)
    return taken, added


def list_edits(moves: Iterable[tuple[Member, str, str]]) -> dict[str, ListEdit[Member]]:
    """By list, who leaves it and who comes; given, of each member, the value of its place before and after."""
    edits: dict[str, ListEdit[Member]] = {name: ListEdit() for name in LISTS}
    for member, before, after in moves:
        was_in, is_in = split_lists(before), split_lists(after)
        for name in LISTS:
            if name in was_in and name not in is_in:
                edits[name].gone.add(member)
            if name in is_in and name not in was_in:
                edits[name].added.append(member)
    return edits


def list_marks(value: str) -> tuple[Mark, ...]:
    """The zones that membership stands for; the list of unsure tracks stands for none."""
    return tuple(Mark(Zone(name)) for name in split_lists(value) if name != UNSURE)


def inside(folder: Path, name: str) -> Path:
    """The path of our file ``name`` in a folder. Raises CollectionError where it would lead out of the folder."""
    path = folder / name
    if path.name != name or Path(os.path.realpath(path)).parent != Path(os.path.realpath(folder)):
        raise CollectionError(f"{path} leads out of its folder: remove that link, and run again.")
    return path
