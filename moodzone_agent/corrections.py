"""What the user corrected, read back from where zones were written.

A correction is a change in a place, seen after we wrote there, away from what we wrote. What stood in a place before
we wrote there is never one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from exporters.base import Collection, Field, Place, Sighting, comparable
from exporters.planning import marks_in
from exporters.tags import mapping
from moodzone_agent.library.records import PlaceEvent, PlaceEventKind, values_of_ours
from moodzone_agent.library.store import Library, storable
from moodzone_agent.types import Mark, MarkState, Zone

MOST_AT_ONCE: Final = 3
"""Files from which a user removes the token by hand at a time."""

MOST_TIMES: Final = 3
"""How often a token is written once more, whoever removes it."""

_TAGS: Final = "tags"


class Verdict(StrEnum):
    """What a look at a place tells."""

    NOTHING = "nothing"
    """It stands as we left it, holds no zone, or was never written."""
    CORRECTED = "corrected"
    """The user put another zone there."""
    CONFIRMED = "confirmed"
    """The user took the question mark off."""
    ECHO = "echo"
    """It shows an earlier mark of ours again: a stale program or an old copy, more likely than the user."""
    CONFLICT = "conflict"
    """It shows several zones."""
    VANISHED = "vanished"
    """Our token is gone from a file whose own field is still there. That alone means nothing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One place that shows something else than what we wrote."""

    verdict: Verdict
    zone: Zone | None
    """None where it shows several."""
    replaced: Zone | None
    """The zone that stood there before, ours or an accepted one; None where that isn't known."""
    since_ns: int
    """When that was put there."""
    target: str
    sighting: Sighting
    audio_id: str


def find_corrections(
    collection: Collection, library: Library, among: frozenset[Path] | None = None
) -> Iterator[Finding]:
    """Look at every place of a collection, or those of some tracks; what is seen goes into the library's history.

    Nothing becomes a label here. Raises CollectionError where the collection cannot be read.
    """
    if collection.by_file:
        yield from _in_tags(collection, library, among)
        return
    histories, sightings = _look(collection, library, among)
    # Programs compose accents as they like; the library's spelling of a path counts.
    spelled = {(comparable(place.track), place.field): place for place in histories}
    seen = []
    for sighting in sightings:
        place = spelled.get((comparable(sighting.place.track), sighting.place.field))
        is_only_read = sighting.place.field in collection.reads
        if place is None:  # before our first write, or look, there is nothing to compare with
            if is_only_read and library.file(sighting.place.track) is not None:
                seen.append((sighting.place, PlaceEvent(PlaceEventKind.SEEN, sighting.value)))
            continue
        sighting, events = replace(sighting, place=place), histories[place]  # noqa: PLW2901
        if not events:  # written while we looked
            continue
        if not is_only_read and (finished := _finished(sighting, events)):
            seen.append((place, finished))
            continue
        verdict, zone = _judge_read(sighting, events, library) if is_only_read else judge(sighting, events)
        if events[-1].value != sighting.value or (
            # It has shown our newest mark, so that an older one is no echo any more.
            collection.is_store
            and place.field not in collection.in_file | collection.reads
            and events[-1].kind is PlaceEventKind.WROTE
        ):
            event = PlaceEvent(PlaceEventKind.SEEN, sighting.value, edited_ns=sighting.time_ns)
            seen.append((place, event))
        if verdict is Verdict.NOTHING:
            continue
        record = library.file(sighting.place.track)
        if record is not None and record.audio_id is not None:
            replaced = _zone_before(events, place.field, collection)
            yield Finding(verdict, zone, *replaced, collection.target, sighting, record.audio_id)
    if seen:
        library.add_place_events(collection.target, collection.path, seen)


def _look(
    collection: Collection, library: Library, among: frozenset[Path] | None
) -> tuple[dict[Place, list[PlaceEvent]], list[Sighting]]:
    """What is known of each place and what stands there; of one that is written meanwhile nothing is known."""
    before = library.last_place_event()
    histories = library.place_events(collection.target, collection.path)
    sightings = [replace(one, value=storable(one.value)) for one in collection.read(among)]
    if library.last_place_event() != before:
        now = library.place_events(collection.target, collection.path)
        histories = {place: events if histories.get(place) == events else [] for place, events in now.items()}
    return histories, sightings


def _finished(sighting: Sighting, events: Sequence[PlaceEvent]) -> PlaceEvent | None:
    """A write of ours of which it was never noted that it was made, if that is what stands there."""
    ours = ""
    for event in events:
        match event.kind:
            case PlaceEventKind.PLANNED if event.value == sighting.value:
                ours = event.ours
            case PlaceEventKind.WROTE | PlaceEventKind.ACCEPTED | PlaceEventKind.UNDONE:
                ours = ""
    return PlaceEvent(PlaceEventKind.WROTE, sighting.value, ours) if ours else None


def accepted(place: Place, value: str, events: Iterable[PlaceEvent]) -> PlaceEvent:
    """What is added to a place's history when its value became a label, or agrees with one.

    From then on it is the user's, and what we wrote there before would be a change again. But our token beside the
    user's stays ours, and so does membership of our lists, which follow the next label.
    """
    ours = ""
    if place.field is Field.LIST:
        ours = value
    elif place.field is Field.TEXT:
        tokens = sorted(values_of_ours(events))
        ours = next((token for token in tokens if mapping.has_token(value, Mark.from_token(token))), "")
    return PlaceEvent(PlaceEventKind.ACCEPTED, value, ours)


def settle_vanished(findings: Sequence[Finding], library: Library) -> list[Path]:
    """What to do where tokens vanished from files: those to be written once more are returned.

    Removed again after that, from few files at a time, it was the user: such a file is left alone from then on. Many
    at once were another program's doing, with which we don't go on for ever.
    """
    vanished = [finding for finding in findings if finding.verdict is Verdict.VANISHED]
    again, events = [], []
    for finding in vanished:
        place = finding.sighting.place
        if library.held(place.track):
            continue
        history = library.place_history(_TAGS, Path(_TAGS), place)
        vanishings = sum(event.kind is PlaceEventKind.SEEN for event in history)
        if vanishings >= MOST_TIMES or (vanishings and len(vanished) <= MOST_AT_ONCE):
            library.hold([place.track], "token removed")
        else:
            again.append(place.track)
            events.append((place, PlaceEvent(PlaceEventKind.SEEN, finding.sighting.value)))
    if events:
        library.add_place_events(_TAGS, Path(_TAGS), events)
    return again


def judge(sighting: Sighting, events: Sequence[PlaceEvent]) -> tuple[Verdict, Zone | None]:
    """What a value means in the light of a place's history, which is not empty."""
    written: list[PlaceEvent] = []
    for event in events:
        if event.kind is PlaceEventKind.WROTE:
            written.append(event)
        elif event.kind is PlaceEventKind.ACCEPTED:  # it knew all that came before
            written = [event]
        elif event.kind is PlaceEventKind.UNDONE:  # what stands again may have been ours before
            written = [event] if event.ours else []
        elif event.kind is PlaceEventKind.SEEN and written and event.value == written[-1].value:
            del written[:-1]
    if not written or sighting.value in {written[-1].value, events[0].value}:
        return Verdict.NOTHING, None
    last = written[-1].ours
    users = _users(sighting, last)
    zones = {mark.zone for mark in users}
    if not zones or (sighting.place.field is Field.TEXT and zones == _accepted_zones(written[-1])):
        return Verdict.NOTHING, None
    if len(zones) > 1:
        return Verdict.CONFLICT, None
    ours = Mark.from_token(last) if sighting.place.field is Field.TEXT else None
    shown = {mark.token for mark in users} if sighting.place.field is Field.TEXT else {sighting.value}
    return _against(ours, users[0], is_echo=any(event.ours in shown for event in written))


def _judge_read(
    sighting: Sighting, events: Sequence[PlaceEvent], library: Library
) -> tuple[Verdict, Zone | None]:
    """What a value means in a place that we only read: another zone than at the first look is a correction.

    Or than the one accepted last. A token that we ever wrote into the file's tags is a copy of ours.
    """
    said = next((event for event in reversed(events) if event.kind is PlaceEventKind.ACCEPTED), None)
    if sighting.value == (said or events[0]).value or not sighting.marks:
        return Verdict.NOTHING, None
    zones = {mark.zone for mark in sighting.marks}
    if sighting.place.field is Field.TEXT:
        in_tags = Place(sighting.place.track, Field.TEXT)
        record = library.file(sighting.place.track)
        in_file = Mark.from_field(record.mark) if record and record.mark else None
        ours = {event.ours for event in [*library.place_history(_TAGS, Path(_TAGS), in_tags), *events]}
        ours |= {in_file.token} if in_file else set()
        zones = _zones_in(mapping.without_spelled(sighting.value, ours - {""}))
        if said and zones == _zones_in(mapping.without_spelled(said.value, ours - {""})):
            return Verdict.NOTHING, None
    if len(zones) > 1:
        return Verdict.CONFLICT, None
    return (Verdict.CORRECTED, next(iter(zones))) if zones else (Verdict.NOTHING, None)


def _zone_before(
    events: Sequence[PlaceEvent], field: Field, collection: Collection
) -> tuple[Zone | None, int]:
    """The zone that we wrote last into a place, or that was accepted there, and when."""
    kinds = (PlaceEventKind.WROTE, PlaceEventKind.ACCEPTED)
    last = next((event for event in reversed(events) if event.kind in kinds), None)
    if last is None:
        return None, 0
    if last.kind is PlaceEventKind.ACCEPTED and field is Field.TEXT:
        zones = _accepted_zones(last)
    else:
        value = last.ours if last.kind is PlaceEventKind.WROTE else last.value
        zones = {mark.zone for mark in marks_in(field, value, collection.colours)}
    return (next(iter(zones)) if len(zones) == 1 else None), last.time_ns


def _zones_in(text: str, ours: str = "") -> set[Zone]:
    """The zones of a text's tokens but for ours."""
    return {mark.zone for mark in _tokens_in(text, ours)}


def _accepted_zones(event: PlaceEvent) -> set[Zone]:
    """What the user's tokens of an accepted text say: to edit the words beside them says nothing new."""
    return _zones_in(event.value, event.ours) if event.kind is PlaceEventKind.ACCEPTED else set()


def _users(sighting: Sighting, ours: str) -> tuple[Mark, ...]:
    """The zones in a place but for what is ours."""
    return _tokens_in(sighting.value, ours) if sighting.place.field is Field.TEXT else sighting.marks


def _tokens_in(text: str, ours: str) -> tuple[Mark, ...]:
    found = mapping.find_tokens(text, Mark.from_token(ours))
    return tuple(mark for mark, is_ours in found if not is_ours)


def _in_tags(collection: Collection, library: Library, among: frozenset[Path] | None) -> Iterator[Finding]:
    """In a file a correction is a token whose zone differs from our own field beside it."""
    own: Mark | None = None
    for sighting in collection.read(among):
        if sighting.place.field is Field.OWN:
            own = next(iter(sighting.marks), None)
            continue
        record = library.file(sighting.place.track)
        if own is None or record is None or record.audio_id is None:
            continue
        sighting = replace(sighting, value=storable(sighting.value))  # noqa: PLW2901
        history = library.place_history(_TAGS, Path(_TAGS), sighting.place)
        verdict, zone = _judge_tags(sighting, own, history)
        if verdict is not Verdict.NOTHING:
            replaced = _zone_before(history, sighting.place.field, collection)
            yield Finding(verdict, zone, *replaced, collection.target, sighting, record.audio_id)


def _judge_tags(sighting: Sighting, own: Mark, history: Sequence[PlaceEvent]) -> tuple[Verdict, Zone | None]:
    if not sighting.marks:
        return Verdict.VANISHED, None
    # What was accepted since the last write is newer than our own field.
    said = history[-1] if history and history[-1].kind is PlaceEventKind.ACCEPTED else None
    users = _users(sighting, said.ours if said else own.token)
    zones = {mark.zone for mark in users}
    if len(zones) > 1:
        return Verdict.CONFLICT, None
    if not zones or (said and zones == _accepted_zones(said)):
        return Verdict.NOTHING, None
    is_echo = any(mapping.has_token(sighting.value, Mark.from_token(event.ours)) for event in history)
    return _against(None if said else own, users[0], is_echo=is_echo)


def _against(ours: Mark | None, users: Mark, *, is_echo: bool) -> tuple[Verdict, Zone | None]:
    """What a user's mark means where ours was last, if it still counts."""
    verdict = Verdict.CORRECTED
    if ours is not None and ours.zone is users.zone:
        if ours.state is not MarkState.UNSURE or users.state is MarkState.UNSURE:
            return Verdict.NOTHING, None
        verdict = Verdict.CONFIRMED
    return (Verdict.ECHO if is_echo else verdict), users.zone
