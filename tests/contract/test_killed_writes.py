"""A write or an undo that is killed between two of its files says nothing in the user's name, and can be done again."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from exporters.base import Field
from exporters.journal import Changed, Journal, Run
from exporters.tags.edit import apply_mark
from exporters.undo import undo
from moodzone_agent.corrections import Verdict, find_corrections
from moodzone_agent.library.records import Analysis, FileRecord, FileStatus, Stamp
from moodzone_agent.library.store import Library
from moodzone_agent.types import Estimate, Mark, MarkState, Zone
from moodzone_agent.writing import Want, remember_file, wanted, write_zones
from tests.contract.cases import CASES, Case
from tests.exporters.test_kill import MEMORY

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")

UNSURE = Mark(Zone.GREEN, MarkState.UNSURE)
FIRST = (UNSURE, Mark(Zone.YELLOW), Mark(Zone.GREEN), Mark(Zone.PURPLE))
THEN = (Mark(Zone.YELLOW), Mark(Zone.PURPLE), UNSURE, Mark(Zone.GREEN))
LAST = (Mark(Zone.PURPLE), UNSURE, Mark(Zone.YELLOW), UNSURE)
STEPS = frozenset({"os.rename", "os.remove"})
"""By one of these any file of a collection comes to be, changes or goes."""

Values = dict[tuple[str, Field], str]
"""What stands in the places that are written, by the name of their track."""


class World:
    """A collection, and a library that rates its four tracks."""

    def __init__(self, case: type[Case], tones: Path, home: Path) -> None:
        self.home = home
        self.case = case(tones, home / "machine")
        self.case.folder.mkdir()
        _, self.tracks = self.case.make()
        with self.library() as library:
            for track in self.tracks:
                record = FileRecord(track, Stamp.of(track.stat()), FileStatus.OK, audio_id=track.name)
                library.put_file(record)
                row = np.zeros(1, np.float32)
                library.put_analysis(Analysis(track.name, 1.0, 120.0, (), 0, row, row[None]))
        self.rate(FIRST)
        self.write()
        self.rate(THEN)

    def library(self) -> Library:
        return Library.open(self.home / "library")

    def rate(self, marks: tuple[Mark, ...]) -> None:
        with self.library() as library:
            for track, mark in zip(self.tracks, marks, strict=True):
                probabilities = tuple(0.8 if zone is mark.zone else 0.1 for zone in Zone)
                is_sure = mark.state is not MarkState.UNSURE
                estimate = Estimate(probabilities, 5.0, 5.0, sure=is_sure, model="test")  # type: ignore[arg-type]
                library.put_estimate(track.name, estimate, np.empty((0, 2)))

    def write(self) -> None:
        collection = self.case.open()
        with self.library() as library, Journal(self.home / "journal").start("write") as run:
            for track in self.tracks:
                remember_file(library, track)  # as a scan would
            wants = [want for want in wanted(library, self.tracks, again=True) if isinstance(want, Want)]
            for _ in write_zones(wants, collection, library, run, self.home / "backups"):
                pass

    def undo(self) -> None:
        """Of the newest run that isn't wholly undone."""

        def put_back(_: str, changed: list[Changed], run: Run) -> dict[str, str]:
            self.case.open().put_back(changed, run, self.home / "backups")
            return {}

        undo(self.journal, take_out=lambda copy, _: apply_mark(copy, None), put_back=put_back)

    @property
    def journal(self) -> Journal:
        return Journal(self.home / "journal")

    def values(self) -> Values:
        collection = self.case.open()
        return {
            (sight.place.track.name, sight.place.field): sight.value
            for sight in collection.read(frozenset(self.tracks))
            if sight.value and sight.place.track in self.tracks and sight.place.field in collection.carries
        }

    def corrections(self) -> list[Verdict]:
        with self.library() as library:
            return [finding.verdict for finding in find_corrections(self.case.open(), library)]

    def killed_in(self, job: Callable[[], None], step: int) -> bool:
        """Do a job in another process, which is killed before so many steps of it; False if it has fewer."""
        child = os.fork()
        if child == 0:
            left = step

            def count(event: str, _: object) -> None:
                nonlocal left
                if event in STEPS:
                    left -= 1
                    if left < 0:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(count)
            job()
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        assert status in {0, signal.SIGKILL}
        return status != 0


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def make_world(request: pytest.FixtureRequest, tones: Path) -> Iterator[Callable[[], World]]:
    with ExitStack() as stack:

        def make() -> World:
            folder = stack.enter_context(TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None))
            return World(request.param, tones, Path(folder))

        yield make


def test_a_write_is_ours_wherever_it_was_killed(make_world: Callable[[], World]) -> None:
    whole = make_world()
    whole.write()
    whole.rate(LAST)
    whole.write()
    for step in count():
        world = make_world()
        is_killed = world.killed_in(world.write, step)
        world.journal.recover()
        assert world.corrections() == [], step
        world.rate(LAST)
        world.write()
        assert world.values() == whole.values(), step
        assert world.corrections() == [], step
        if not is_killed:
            assert step > 0 or world.case.in_place
            return


def test_an_undo_says_nothing_new_wherever_it_was_killed(make_world: Callable[[], World]) -> None:
    for step in count():
        world = make_world()
        first = world.values()
        world.write()
        then = world.values()
        is_killed = world.killed_in(world.undo, step)
        world.journal.recover()
        now = world.values()
        for place in first.keys() | then.keys():
            on_its_way = {""} if place[1] is Field.LIST else set()
            assert now.get(place, "") in {first.get(place, ""), then.get(place, "")} | on_its_way, step
        assert set(world.corrections()) <= {Verdict.ECHO}, step
        if not is_killed:
            assert now == first
            assert step > 0 or world.case.in_place
            return
        world.undo()
        assert world.values() == first, step
