"""Whatever the user says, wherever, in whatever order: the last word is the label, and places show it."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from exporters.base import Field, Place
from exporters.journal import Journal
from moodzone_agent.corrections import find_corrections
from moodzone_agent.inbox import Inbox
from moodzone_agent.library.records import Analysis, FileRecord, FileStatus, Stamp
from moodzone_agent.library.store import Library
from moodzone_agent.types import Estimate, Label, LabelOrigin, Zone
from moodzone_agent.writing import Want, remember_file, wanted, write_zones
from tests.contract.cases import Case, Mixxx, Playlists, RekordboxExport, Serato, Tags

ZONES = st.sampled_from(list(Zone))


class LastWord(RuleBasedStateMachine):
    """A track that two collections hold, the user, and a model that changes its mind."""

    cases: ClassVar[tuple[type[Case], type[Case]]]
    tones: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self.home = TemporaryDirectory()
        home = Path(self.home.name)
        self.library = Library.open(home / "library")
        self.journal, self.backups = Journal(home / "journal"), home / "backups"
        self.clock = count(1)
        self.inbox = Inbox(self.library, now=lambda: next(self.clock))
        self.word: Zone | None = None
        self.places: dict[tuple[int, Field], Place] = {}
        """Where we wrote."""
        self.edited: set[tuple[int, Field]] = set()

    @initialize()
    def make(self) -> None:
        self.made = []
        for number, case in enumerate(self.cases):
            folder = Path(self.home.name) / str(number)
            folder.mkdir()
            one = case(self.tones, folder)
            _, (track, *_) = one.make()
            self.library.put_file(FileRecord(track, Stamp.of(track.stat()), FileStatus.OK, audio_id="id"))
            self.made.append((one, track))
        row = np.zeros(1, np.float32)
        self.library.put_analysis(Analysis("id", 1.0, 120.0, (), 0, row, row[None]))
        self.rate(Zone.GREEN)

    @rule(zone=ZONES)
    def rate(self, zone: Zone) -> None:
        """The model changes its mind."""
        probabilities = tuple(0.8 if other is zone else 0.1 for other in Zone)
        estimate = Estimate(probabilities, 5.0, 5.0, sure=True, model="test")  # type: ignore[arg-type]
        self.library.put_estimate("id", estimate, np.empty((0, 2)))
        self.model = zone

    @rule(zone=ZONES)
    def say(self, zone: Zone) -> None:
        self.library.add_label(Label("id", zone, LabelOrigin.CORRECTED, "cli", next(self.clock)))
        self.word = zone

    @rule()
    def say_nothing(self) -> None:
        if self.word is not None:
            self.library.retract_label("id", "cli", next(self.clock))
            self.word = None

    @rule()
    def write(self) -> None:
        for number, (case, track) in enumerate(self.made):
            collection = case.open()
            wants = [want for want in wanted(self.library, [track]) if isinstance(want, Want)]
            with self.journal.start(collection.target) as run:
                for _ in write_zones(wants, collection, self.library, run, self.backups):
                    pass
            self.look(number)
            for place, shown in self.shown(number).items():
                self.places[number, place.field] = place
                stays = place.field is not Field.LIST and (number, place.field) in self.edited
                assert shown == {self.word or self.model} or stays, f"{collection.target}: {place.field}"

    def shown(self, number: int) -> dict[Place, set[Zone]]:
        """What zones stand where in a collection."""
        case, track = self.made[number]
        collection = case.open()
        return {
            sight.place: {mark.zone for mark in sight.marks}
            for sight in collection.read(frozenset([track]))
            if sight.place.track == track and sight.place.field in collection.carries - {Field.OWN}
        }

    @precondition(lambda self: self.places)
    @rule(zone=ZONES, data=st.data())
    def edit(self, zone: Zone, data: st.DataObject) -> None:
        """In a place where we wrote, the user puts another zone."""
        number, field = data.draw(st.sampled_from(sorted(self.places)))
        place = self.places[number, field]
        if self.shown(number).get(place) == {zone}:
            return
        case, track = self.made[number]
        colours = case.open().colours
        value = {Field.COLOUR: colours.get(zone, ""), Field.LIST: str(zone)}.get(
            field, f"mine #{zone.lower()}"
        )
        case.edit(place, value)
        if case.open().in_file:
            remember_file(self.library, track)  # as a scan would
        self.edited.add((number, field))
        self.word = zone
        self.look(number)

    @rule(number=st.integers(0, 1))
    def look(self, number: int) -> None:
        """The agent looks, and the user says yes to what it isn't sure of."""
        collection = self.made[number][0].open()
        self.inbox.note(collection, list(find_corrections(collection, self.library)))
        self.inbox.settle()
        for one in self.inbox.held():
            self.inbox.accept(one.id)

    @invariant()
    def the_last_word_counts(self) -> None:
        label = self.library.label("id")
        assert (label and label.zone) == self.word

    def teardown(self) -> None:
        self.library.close()
        self.home.cleanup()


@pytest.mark.parametrize(
    "cases",
    [(Playlists, Mixxx), (Tags, RekordboxExport), (Serato, Playlists)],
    ids=lambda cases: "-".join(case.name for case in cases),
)
def test_the_last_word_is_the_label(cases: tuple[type[Case], type[Case]], tones: Path) -> None:
    class Machine(LastWord):
        pass

    Machine.cases = cases
    Machine.tones = tones
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=40, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
