"""From what looks like a correction to a label: it rests, is weighed with others, and is taken or held for a yes.

Held are what contradicts itself, what looks like an echo of an older mark of ours, and batches so large that a slip
of the mouse is likelier than a change of mind.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Final

from exporters.base import Collection, Field, Place
from moodzone_agent.corrections import Finding, Verdict, accepted
from moodzone_agent.errors import UsageError
from moodzone_agent.library.backup import RECOVERED
from moodzone_agent.library.corrections import Correction, Corrections, CorrectionState
from moodzone_agent.library.records import FileStatus, LabelEvent, PlaceEvent, PlaceEventKind
from moodzone_agent.library.store import Library
from moodzone_agent.types import Label, LabelOrigin, Zone

MOST_OF_ONE_ZONE: Final = 25
MOST_AGAINST_HAND: Final = 5
MOST_OF_LIBRARY: Final = 0.02
"""Share of the tracks that corrections of one day may touch,"""
LEAST_OF_LIBRARY: Final = 5
"""and how many they may touch in a small library."""

BY_HAND: Final = frozenset({"cli", "review", "setup"})
"""Sources of labels that the user gave to MoodZone itself."""

_DAY_NS: Final = 86_400_000_000_000
_WHY: Final = {
    Verdict.ECHO: "it shows a mark that MoodZone wrote earlier; a stale program or an old copy may have put it back",
    Verdict.CONFLICT: "it says several zones",
}
_MEANWHILE: Final = "you said {} elsewhere, and it isn't known which was said last"
_DISAGREE: Final = "two places say different zones, and it isn't known which was said last"
_RECOVERED: Final = "the library was made from a backup, which may not know what MoodZone wrote there"
_LATER: Final = "said otherwise later"


@dataclass(frozen=True, slots=True)
class _Look:
    """A look at all of a collection."""

    time_ns: int
    label_arrival: int
    """The last entry of the label history by then."""

    @classmethod
    def parse(cls, text: str | None) -> _Look:
        time_ns, _, arrival = (text or "0").partition(" ")
        return cls(int(time_ns), int(arrival or 0))

    def __str__(self) -> str:
        return f"{self.time_ns} {self.label_arrival}"


class Inbox:
    """The corrections of one library."""

    def __init__(self, library: Library, now: Callable[[], int] = time.time_ns) -> None:
        """``now``: nanoseconds since 1970."""
        self._library = library
        self._corrections = Corrections(library)
        self._now = now

    def held(self) -> list[Correction]:
        """What waits for a yes."""
        return [one for one in self._corrections.open() if one.state is CorrectionState.HELD]

    def resting(self) -> list[Correction]:
        """What will be taken when it has rested."""
        return [one for one in self._corrections.open() if one.state is CorrectionState.RESTING]

    def note(
        self, collection: Collection, findings: Iterable[Finding], among: frozenset[Path] | None = None
    ) -> int:
        """Note what a look at a collection, or at some of its tracks, found; returns how many are new.

        What rests or is held, and is not found any more, never happened.
        """
        target, path = collection.target, collection.path
        key = f"looked at {collection.name}"
        now, last_look = self._now(), _Look.parse(self._library.meta(key))
        # In files our own field tells what we wrote; elsewhere only the library did.
        recovered_ns = 0 if collection.by_file else int(self._library.meta(RECOVERED) or 0)
        found = {
            finding.sighting.place: finding for finding in findings if finding.verdict is not Verdict.VANISHED
        }
        new = 0
        with self._library.transaction():
            earlier = self._corrections.at(target, path)
            self._corrections.end(
                one
                for one in earlier
                if (among is None or one.place.track in among)
                and self._is_there(one.place.track)
                and (one.place not in found or found[one.place].sighting.value != one.value)
            )
            known = {(one.place, one.value) for one in earlier}
            for place, finding in found.items():
                if (place, finding.sighting.value) in known:
                    continue
                moment = finding.sighting.time_ns
                state, why = self._state_of(finding, last_look, recovered_ns)
                self._corrections.add(
                    finding.audio_id,
                    finding.zone,
                    finding.verdict,
                    target,
                    path,
                    place,
                    finding.sighting.value,
                    state=state,
                    why=why,
                    after_ns=last_look.time_ns if moment is None else moment,
                    until_ns=now if moment is None else moment,
                )
                if state is CorrectionState.TAKEN:
                    self._accept_value(target, path, place, finding.sighting.value)
                else:
                    new += 1
            if among is None:
                self._library.set_meta(key, str(_Look(now, self._library.last_arrival())))
        return new

    def settle(self) -> list[Correction]:
        """Take what rests, or hold it; returns what was settled, as it is now."""
        with self._library.transaction():
            resting = self.resting()
            overruled = [one for one in resting if self._is_overruled(one)]
            self._corrections.settle(overruled, CorrectionState.WITHDRAWN, _LATER)
            left = self._decide_disagreements([one for one in resting if one not in overruled])
            groups = defaultdict(list)
            for one in left:
                groups[one.target, one.collection].append(one)
            for group in groups.values():
                why = self._objection(group)
                if why:
                    self._corrections.settle(group, CorrectionState.HELD, why)
                else:
                    self._take(group)
        return [after for one in resting if (after := self._corrections.get(one.id))]

    def accept(self, number: int, zone: Zone | None = None) -> Correction:
        """Make a label of a held correction, which settles others of its track. Raises UsageError where it can't be."""
        with self._library.transaction():
            one = self._get(number, CorrectionState.HELD, CorrectionState.RESTING)
            wanted = zone or one.zone
            if wanted is None:
                raise UsageError(f"{number} says several zones; say which: yellow, green or purple")
            self._take([one], wanted)
            others = [other for other in self._corrections.open() if other.audio_id == one.audio_id]
            agreeing = [other for other in others if other.zone is wanted]
            self._take(agreeing)
            rest = (other for other in others if other.zone is not wanted)
            self._corrections.settle(rest, CorrectionState.WITHDRAWN, _LATER)
        return one

    def reject(self, number: int) -> Correction:
        """Say that a held correction is none; the next write replaces it, where it isn't a word of the user's."""
        with self._library.transaction():
            one = self._get(number, CorrectionState.HELD, CorrectionState.RESTING)
            self._reject(one)
        return one

    def take_back(self, number: int) -> Correction:
        """Take back the label that a correction gave; what was said before it holds again."""
        with self._library.transaction():
            one = self._get(number, CorrectionState.TAKEN)
            history = self._library.labels(one.audio_id)
            if not history or (history[-1].source, history[-1].time_ns) != (one.target, one.until_ns):
                raise UsageError(f"the track of {number} was labelled again since; use `moodzone label`")
            before = history[-2].label if len(history) > 1 else None
            if before is None or before.origin is LabelOrigin.WEAK:
                self._library.retract_label(one.audio_id, "cli", self._now())
            else:
                self._library.add_label(before)
            self._reject(one)
        return one

    def _reject(self, one: Correction) -> None:
        """Let the next write replace what stands there, where it isn't a word of the user's."""
        self._corrections.settle([one], CorrectionState.REJECTED)
        if one.place.field is not Field.TEXT:
            event = PlaceEvent(PlaceEventKind.PLANNED, one.value, one.value)
            self._library.add_place_events(one.target, one.collection, [(one.place, event)])

    def _accept_value(self, target: str, collection: Path, place: Place, value: str) -> None:
        """Note in the place's history that its value is the user's word."""
        event = accepted(place, value, self._library.place_history(target, collection, place))
        self._library.add_place_events(target, collection, [(place, event)])

    def _is_there(self, track: Path) -> bool:
        """Whether a place could be looked at: of a file that is away nothing is known."""
        record = self._library.file(track)
        return record is not None and record.mounted and record.status is FileStatus.OK

    def _state_of(self, finding: Finding, last_look: _Look, recovered_ns: int) -> tuple[CorrectionState, str]:
        """What becomes of what was found, and if it is held, why."""
        said = self._last_word(finding.audio_id)
        if said is not None and said.zone is not None and said.zone is finding.zone:
            return CorrectionState.TAKEN, ""  # it is known from now on, and no news when the label changes
        why = _WHY.get(finding.verdict, "")
        if not why and recovered_ns > max(last_look.time_ns, finding.since_ns):
            why = _RECOVERED
        if not why and said is not None and self._may_be_older(finding, said, last_look):
            why = _MEANWHILE.format(said.zone or "none")
        return (CorrectionState.HELD if why else CorrectionState.RESTING), why

    def _may_be_older(self, finding: Finding, said: LabelEvent, last_look: _Look) -> bool:
        """Whether it may have been put there before the user said what it contradicts."""
        if said.zone is not None and finding.replaced is said.zone and finding.since_ns >= said.time_ns:
            return False  # that is what it replaced
        moment = finding.sighting.time_ns
        if moment is not None:
            return said.time_ns > moment
        return self._is_after(said, last_look.label_arrival, last_look.time_ns)

    def _is_overruled(self, one: Correction) -> bool:
        """Whether the user said otherwise after it was found."""
        said = self._last_word(one.audio_id)
        if one.label_arrival is None or said is None or said.zone is one.zone:
            return False
        return self._is_after(said, one.label_arrival, one.until_ns)

    def _last_word(self, audio_id: str) -> LabelEvent | None:
        """What the user said last of a recording, be it that a label was taken back; hints are no words."""
        said = [event for event in self._library.labels(audio_id) if event.origin is not LabelOrigin.WEAK]
        return said[-1] if said else None

    def _is_after(self, said: LabelEvent, arrival: int, time_ns: int) -> bool:
        """Whether the last word on a recording came after an entry of the label history and after a time.

        One given by hand is ordered by arrival alone: the clock may have been wrong.
        """
        is_newer = self._library.last_arrival(said.audio_id) > arrival
        return is_newer and (said.source in BY_HAND or said.time_ns >= time_ns)

    def _get(self, number: int, *states: CorrectionState) -> Correction:
        one = self._corrections.get(number)
        if one is None:
            raise UsageError(f"there is no correction {number}; `moodzone corrections list` shows them")
        if one.state not in states:
            raise UsageError(f"correction {number} is {one.state} already")
        return one

    def _decide_disagreements(self, resting: list[Correction]) -> list[Correction]:
        """Of several that give one track different zones the last counts; if that isn't known, all are held."""
        by_track = defaultdict(list)
        for one in resting:
            by_track[one.audio_id].append(one)
        left = []
        for group in by_track.values():
            if len({one.zone for one in group}) == 1:
                left.extend(group)
            elif any(
                _overlap(one, other) for one, other in combinations(group, 2) if one.zone is not other.zone
            ):
                self._corrections.settle(group, CorrectionState.HELD, _DISAGREE)
            else:
                *earlier, last = sorted(group, key=lambda one: one.until_ns)
                self._corrections.settle(earlier, CorrectionState.WITHDRAWN, _LATER)
                left.append(last)
        return left

    def _objection(self, group: list[Correction]) -> str:
        """Why a batch of one collection is too large to be believed at once."""
        tracks = {one.audio_id: one.zone for one in group}
        zone, count = Counter(tracks.values()).most_common(1)[0]
        if count > MOST_OF_ONE_ZONE:
            return f"{count} tracks became {zone} at once"
        most = max(LEAST_OF_LIBRARY, MOST_OF_LIBRARY * self._library.count_rated())
        touched = len(tracks.keys() | self._corrections.taken_since(self._now() - _DAY_NS))
        if touched > most:
            return f"{touched} tracks were corrected within a day, over {MOST_OF_LIBRARY:.0%} of the library"
        labels = ((zone, self._library.label(audio_id)) for audio_id, zone in tracks.items())
        against = sum(
            label is not None and label.source in BY_HAND and label.zone is not zone for zone, label in labels
        )
        if against > MOST_AGAINST_HAND:
            return f"{against} of them contradict what you said by hand"
        return ""

    def _take(self, group: list[Correction], zone: Zone | None = None) -> None:
        for one in group:
            wanted = zone or one.zone
            label = self._library.label(one.audio_id)
            if wanted is not None and (label is None or label.zone is not wanted):
                confirmed = one.verdict == Verdict.CONFIRMED
                origin = LabelOrigin.CONFIRMED if confirmed else LabelOrigin.CORRECTED
                self._library.add_label(Label(one.audio_id, wanted, origin, one.target, one.until_ns))
            self._accept_value(one.target, one.collection, one.place, one.value)
        self._corrections.settle(group, CorrectionState.TAKEN)


def _overlap(one: Correction, other: Correction) -> bool:
    """Whether it isn't known which of two corrections came first."""
    return (one.after_ns < other.until_ns and other.after_ns < one.until_ns) or one.until_ns == other.until_ns
