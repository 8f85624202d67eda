"""Our lists where each is a file of its own, so that one changes after another.

Every track leaves its list before any comes into another. Wherever that is interrupted, no track stands in two lists,
which only a user would do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from exporters.atomic import file_errors, replace_content
from exporters.base import Change, Collection, Want, read_collection_file
from exporters.journal import Run
from exporters.lists import LISTS, moves
from exporters.undo import COLLECTION
from moodzone_agent.errors import CollectionError, FileError


@dataclass(frozen=True, slots=True)
class ListStep:
    """What is done to one list at a time."""

    name: str
    taken: Sequence[Want] = ()
    added: Sequence[Want] = ()
    goes_if_empty: bool = True
    """Whether the list goes where nothing is left in it; not where a later step puts tracks into it."""


Edit = Callable[[bytes | None, ListStep], bytes | None]
"""The new content of a list's file, given what it holds; None stands for no file."""


def write_lists(
    collection: Collection, changes: Sequence[Change], path_of: Callable[[str], Path], edit: Edit, run: Run
) -> None:
    """Move tracks between our lists. Raises CollectionError where a file cannot be written; all are whole then."""
    by_track = {change.want.path: change.changed for change in changes}
    try:
        with file_errors():
            path_of(LISTS[0]).parent.mkdir(parents=True, exist_ok=True)
        for step in _steps(changes):
            path = path_of(step.name)
            old = read_collection_file(path)
            replace_content(
                path,
                old,
                edit(old, step),
                run,
                note={COLLECTION: collection.name},
                changes=[by_track[want.path] for want in (*step.taken, *step.added)],
            )
    except FileError as error:
        raise CollectionError(f"The lists in {collection.path} could not be written: {error}.") from error


def _steps(changes: Sequence[Change]) -> Iterator[ListStep]:
    by_name = {name: moves(name, changes) for name in LISTS}
    for name, (taken, added) in by_name.items():
        if taken:
            yield ListStep(name, taken=taken, goes_if_empty=not added)
    for name, (_, added) in by_name.items():
        if added:
            yield ListStep(name, added=added)
