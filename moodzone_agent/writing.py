"""Zones into the tags of files and the collections of DJ programs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final

from exporters.atomic import edit_file
from exporters.base import Change, Collection, Field, Place, Want, WriteStatus, comparable
from exporters.census import Census
from exporters.journal import Run
from exporters.tags.collection import TagCollection, TagSettings
from exporters.tags.edit import apply_mark, preview_text, read_state
from moodzone_agent.errors import FileError
from moodzone_agent.library.records import PlaceEvent, PlaceEventKind, Stamp, TrackRecord, values_of_ours
from moodzone_agent.library.store import Library
from moodzone_agent.library.volumes import is_player_volume
from moodzone_agent.types import Zone

HELD: Final = (
    "is left alone, since you undid it, removed its token or said none; name the file itself, or give --again"
)
STALE: Final = "changed since it was scanned; scan it again first"


@dataclass(frozen=True, slots=True)
class WriteResult:
    """One place of a write, done or (in a dry run) to be done."""

    path: Path
    status: WriteStatus
    reason: str = ""
    before: str = ""
    """What stood in the place."""
    after: str = ""
    """What stands there after the write."""
    target: str = TagCollection.target
    field: Field = Field.TEXT

    @classmethod
    def of(cls, change: Change, target: str) -> WriteResult:
        """The result that a collection's change tells."""
        return cls(
            change.want.path, change.status, change.reason, change.before, change.after, target, change.field
        )


def wanted(
    library: Library, roots: Iterable[Path] | None, *, again: bool = False
) -> Iterator[Want | WriteResult]:
    """The files under the roots (all that are known, if None) whose track has a zone, each once.

    Files that were undone are skipped unless `again` or named themselves; so are files on a player's stick
    unless a root is on it.
    """
    absolute = None if roots is None else list(dict.fromkeys(Path(os.path.realpath(root)) for root in roots))
    volumes = {library.mounts.volume_of(root).id for root in absolute or ()}

    @cache
    def is_foreign_stick(folder: Path) -> bool:
        on = library.mounts.volume_of(folder)
        return on.id not in volumes and is_player_volume(folder, library.mounts)

    for path, track in _files(library, absolute):
        if track.mark is None:
            continue
        if library.held(path) and not again and path not in (absolute or ()):
            yield WriteResult(path, WriteStatus.SKIPPED, HELD)
        elif is_foreign_stick(path.parent):
            yield WriteResult(path, WriteStatus.SKIPPED, "on a player's stick; name the stick to write it")
        else:
            yield _want(library, path, track)


def wanted_of(library: Library, paths: Iterable[Path]) -> Iterator[Want]:
    """What those of the files should carry that have a zone and may be written unasked."""
    for path in paths:
        track = library.track_of(path)
        if track is None or track.mark is None or path not in track.paths:
            continue
        if not library.held(path) and not is_player_volume(path.parent, library.mounts):
            yield _want(library, path, track)


def _want(library: Library, path: Path, track: TrackRecord) -> Want:
    return Want(
        path,
        track.mark,
        artist=track.artist,
        title=track.title,
        duration=track.duration,
        note=journal_note(library, path, track.audio_id),
    )


def _files(library: Library, roots: list[Path] | None) -> Iterator[tuple[Path, TrackRecord]]:
    """Files that are there, each with its track."""
    if roots is None:
        for track in library.tracks():
            for path in track.paths:
                yield path, track
        return
    seen: set[Path] = set()
    for root in roots:
        for track in library.tracks(root=root):
            for path in track.paths:
                if path.is_relative_to(root) and path not in seen:
                    seen.add(path)
                    yield path, track


def preview(wants: Iterable[Want], collection: Collection, library: Library) -> Iterator[WriteResult]:
    """What writing these marks would do; nothing is written."""
    for change in _planned(wants, collection, library):
        yield WriteResult.of(change, collection.target)


def write_zones(
    wants: Iterable[Want],
    collection: Collection,
    library: Library,
    run: Run,
    backups: Path,
    *,
    unasked: bool = False,
) -> Iterator[WriteResult]:
    """Write marks into a collection, and note in the library what came to stand where.

    In files that are not any more what was scanned, nothing is written; ``unasked``, nor where it was undone. Raises
    CollectionError where the collection can't be written, and JournalError if the way back can't be kept; the run
    can't go on.
    """
    for batch in [[want] for want in wants] if collection.by_file else [list(wants)]:
        changes = list(_planned(batch, collection, library, unasked=unasked))
        history = _History(library, collection, changes)
        with history:
            for change in collection.write(changes, run, backups):
                history.note(change)
                if change.status is WriteStatus.WRITTEN and change.field in collection.in_file:
                    with library.transaction():
                        remember_file(library, change.want.path)
                        library.release([change.want.path])
                        if collection.by_file:  # an old comment that comes back is known by it
                            event = PlaceEvent(PlaceEventKind.WROTE, change.after, change.ours)
                            library.add_place_events(
                                collection.target, collection.path, [(change.place, event)]
                            )
                yield WriteResult.of(change, collection.target)


def settle_colours(
    collection: Collection, library: Library, *, keep: bool, found: Census | None = None
) -> dict[Zone, str]:
    """Leave out colours that have a meaning of the user's in a collection, as a census before their first use tells.

    ``found``: the census, if it was taken already.
    What was found is kept, so that colours the user sets later, as corrections, don't count; unless not to ``keep`` it.
    Returns those left out.
    """
    if not collection.colours:
        return {}
    key = f"colours of {collection.name}"
    free: dict[str, bool] = json.loads(library.meta(key) or "{}")
    names = {zone: f"{zone} {colour}" for zone, colour in collection.colours.items()}
    if not free.keys() >= set(names.values()):
        found = found or collection.census(ours_in(collection, library))
        crowded = found.crowded(collection.colours)
        free = {name: zone not in crowded for zone, name in names.items()} | free
        if keep:
            library.set_meta(key, json.dumps(free))
    left_out = {zone: colour for zone, colour in collection.colours.items() if not free[names[zone]]}
    collection.colours = {zone: colour for zone, colour in collection.colours.items() if zone not in left_out}
    return left_out


class _History:
    """Notes in the library what a write is about to do, and then what it did.

    So that what is ours is known even if the process is killed in between. The tags of files know it themselves.
    """

    def __init__(self, library: Library, collection: Collection, changes: Iterable[Change]) -> None:
        self._library = library
        self._collection = collection
        self._open = {
            change.place: change
            for change in changes
            if change.status is WriteStatus.WRITTEN and not collection.by_file
        }
        self._events: list[tuple[Place, PlaceEvent]] = []

    def __enter__(self) -> None:
        if self._open:
            known = self._library.place_events(self._collection.target, self._collection.path)
            for place, change in self._open.items():
                if place not in known:  # what the user had there before
                    self._events.append((place, PlaceEvent(PlaceEventKind.SEEN, change.before)))
                self._events.append((place, PlaceEvent(PlaceEventKind.PLANNED, change.after, change.ours)))
            self._flush()

    def note(self, change: Change) -> None:
        """Note what came of a change."""
        if self._open.pop(change.place, None) is not None:
            written = change.status is WriteStatus.WRITTEN
            event = (
                PlaceEvent(PlaceEventKind.WROTE, change.after, change.ours)
                if written
                else PlaceEvent(PlaceEventKind.SEEN, change.before)
            )
            self._events.append((change.place, event))

    def __exit__(self, *_: object) -> None:
        # Of those still open it isn't known whether they were written.
        self._flush()

    def _flush(self) -> None:
        if self._events:
            self._library.add_place_events(self._collection.target, self._collection.path, self._events)
            self._events = []


def _planned(
    wants: Iterable[Want], collection: Collection, library: Library, *, unasked: bool = False
) -> Iterator[Change]:
    """The collection's plan, with the library's word on what is ours, and on files that it does not know."""
    histories = {} if collection.by_file else library.place_events(collection.target, collection.path)
    known = [replace(want, ours=_ours(want.path, collection, histories)) for want in wants]
    stamps = {want.path: _stamp(want.path) for want in known} if collection.in_file else {}
    for change in collection.preview(known):
        path = change.want.path
        kinds = [
            event.kind for event in histories.get(change.place, ()) if event.kind is not PlaceEventKind.SEEN
        ]
        if unasked and change.status is WriteStatus.WRITTEN and kinds[-1:] == [PlaceEventKind.UNDONE]:
            yield change.skipped(HELD)
            continue
        if change.status is WriteStatus.WRITTEN and change.field in collection.in_file:
            record = library.file(path)
            if record is None or record.stamp != stamps[path]:
                yield replace(change.failed(STALE), after="")
                continue
        yield change


def _ours(
    path: Path, collection: Collection, histories: Mapping[Place, list[PlaceEvent]]
) -> dict[Field, frozenset[str]]:
    """Values of ours that may stand in a track's places."""
    if collection.by_file:
        return {}
    ours = {field: values_of_ours(histories.get(Place(path, field), [])) for field in collection.carries}
    if Field.TEXT in ours:  # a program copies the comment out of the file's tags
        ours[Field.TEXT] |= _token_in_tags(path)
    return ours


def ours_in(collection: Collection, library: Library) -> Callable[[Place], frozenset[str]]:
    """What of ours may stand in each place of a collection."""
    histories = library.place_events(collection.target, collection.path)
    by_name = {(comparable(place.track), place.field): events for place, events in histories.items()}
    return lambda place: values_of_ours(by_name.get((comparable(place.track), place.field), []))


def _token_in_tags(path: Path) -> frozenset[str]:
    try:
        mark = read_state(path).mark
    except FileError:
        return frozenset()
    return frozenset({mark.token}) if mark else frozenset()


def _stamp(path: Path) -> Stamp | None:
    try:
        return Stamp.of(path.stat())
    except OSError:
        return None


def journal_note(library: Library, path: Path, audio_id: str) -> dict[str, str]:
    """What undo goes by, should the file be elsewhere by then: what and where it is."""
    place = library.mounts.locate(path)
    return {"audio_id": audio_id, "volume": place.volume, "inside": os.fsdecode(place.relative)}


def remove_mark(path: Path, library: Library, run: Run | None, settings: TagSettings) -> WriteResult:
    """Take everything of ours out of a file's tags, whoever edited it since; without a run, only say so."""
    try:
        before = read_state(path, field=settings.field)
        if run is None:
            after = preview_text(before, None)
        else:
            record = library.file(path)
            note = journal_note(library, path, (record and record.audio_id) or "")
            edit_file(
                path,
                lambda copy: apply_mark(copy, None, field=settings.field),
                run,
                times=settings.times,
                note={**note, "field": str(settings.field)},
            )
            after = read_state(path, field=settings.field).text
    except FileError as error:
        return WriteResult(path, WriteStatus.FAILED, str(error))
    return WriteResult(path, WriteStatus.WRITTEN, before=before.text, after=after)


def remember_file(library: Library, path: Path) -> None:
    """Bring the record of a file that we wrote up to date, so that the next scan finds nothing new."""
    record = library.file(path)
    if record is None:
        return
    try:
        state = read_state(path)
        stamp = Stamp.of(path.stat())
    except (FileError, OSError):
        return
    library.put_file(
        replace(
            record,
            stamp=stamp,
            tag_hash=state.tag_hash,
            mark=state.mark.field if state.mark else "",
            tags_checked_ns=time.time_ns(),
        )
    )
