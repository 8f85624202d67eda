"""How the tests write what a real Mixxx then reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from exporters.base import Collection, Field, Want, WriteStatus
from exporters.journal import Journal
from moodzone_agent.types import Mark


def write_marks(
    collection: Collection,
    marks: Mapping[Path, Mark | None],
    ours: Mapping[Path, Mapping[Field, frozenset[str]]],
    journal: Journal,
) -> dict[Path, dict[Field, frozenset[str]]]:
    """Write marks with the program closed; returns what is then ours."""
    wants = [Want(path, mark, ours.get(path, {})) for path, mark in marks.items()]
    with journal.start(collection.target) as run:
        done = list(collection.write(list(collection.preview(wants)), run, journal.folder))
    assert {change.status for change in done} == {WriteStatus.WRITTEN}
    written: dict[Path, dict[Field, frozenset[str]]] = {}
    for change in done:
        written.setdefault(change.want.path, {})[change.field] = frozenset({change.ours})
    return written
