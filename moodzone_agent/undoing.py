"""Taking back what was written: files, and the collections of DJ programs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

from exporters.base import Collection, Field, Place, WriteStatus, comparable
from exporters.filesystem import hash_file, is_gone
from exporters.journal import Changed, Entry, Journal, Run
from exporters.planning import text_marks
from exporters.tags.edit import TagField, apply_mark, read_state
from exporters.undo import COLLECTION, KIND, Outcome, UndoResult, newest_to_undo, undo
from moodzone_agent.config import Settings
from moodzone_agent.errors import CollectionError, FileError, UsageError
from moodzone_agent.library.records import PlaceEvent, PlaceEventKind
from moodzone_agent.library.store import Library, storable
from moodzone_agent.library.volumes import Place as VolumePlace
from moodzone_agent.machine import open_named
from moodzone_agent.writing import remember_file

AWAY: Final = "its drive is not there: plug it in and run this again"


def undo_run(
    library: Library, journal: Journal, settings: Settings, backups: Path, number: int | None = None
) -> list[UndoResult]:
    """Take a run back, by default the newest that isn't, and hold its files back from being written unasked.

    A file that is gone from where it was written is looked for among the files of its recording, but not
    while its drive is away. Errors: `UsageError` if there is no such run; `JournalError`.
    """
    journal.recover()
    if number is None:
        number = newest_to_undo(journal)
        if number is None:
            return []
    undoes_undo = any(run.id == number and run.kind == KIND for run in journal.runs())
    entries = journal.entries(number)
    written = {entry.path: entry.note.get("audio_id") for entry in entries}
    undone_before = {entry.number for entry in entries if entry.undone}

    def note(result: UndoResult) -> None:
        record = library.file(result.path)
        # A file that others changed may hold other audio by now; the next scan looks at it.
        if result.outcome is Outcome.RESTORED and record and record.audio_id == written.get(result.path):
            remember_file(library, result.path)
        if undoes_undo:
            library.release([result.path])
        elif result.outcome is not Outcome.FAILED and record is not None:
            library.hold([result.path], str(number))

    def put_back(name: str, changed: list[Changed], run: Run) -> dict[str, str]:
        done = open_named(name, library, settings).put_back(changed, run, backups)
        return {str(one.want.path): one.reason for one in done if one.status is WriteStatus.FAILED}

    def expect_closed(name: str) -> None:
        program = open_named(name, library, settings).program
        if program is not None:
            program.expect_closed()

    field = settings.tags.field
    results = undo(
        journal,
        number,
        take_out=lambda copy, entry: apply_mark(copy, None, field=TagField(entry.note.get("field", field))),
        put_back=put_back,
        expect_closed=expect_closed,
        locate=_locator(library, journal),
        report=note,
    )
    with suppress(UsageError):  # a run of which all was undone before is forgotten
        entries = [entry for entry in journal.entries(number) if entry.undone]
        fresh = [entry for entry in entries if entry.number not in undone_before and COLLECTION in entry.note]
        for name in dict.fromkeys(entry.note[COLLECTION] for entry in fresh):
            changes = journal.changes(number, [entry for entry in fresh if entry.note[COLLECTION] == name])
            _note_undone(open_named(name, library, settings), library, changes, undoes_undo=undoes_undo)
    return results


def _note_undone(
    collection: Collection, library: Library, changes: Iterable[Changed], *, undoes_undo: bool
) -> None:
    """Note in the histories of places that what we wrote there is not ours to replace any more, or is again.

    What stands again may be what an earlier run wrote, which stays ours. Elsewhere nothing was undone.
    """
    kind = PlaceEventKind.WROTE if undoes_undo else PlaceEventKind.UNDONE
    changes = list(dict.fromkeys(changes))
    try:
        sightings = collection.read(frozenset(Path(change.track) for change in changes))
        standing = {(comparable(one.place.track), one.place.field): storable(one.value) for one in sightings}
    except CollectionError:  # it was written a moment ago
        standing = {(comparable(Path(one.track)), Field(one.field)): one.before for one in changes}
    events = []
    for change in changes:
        place = Place(Path(change.track), Field(change.field))
        if standing.get((comparable(place.track), place.field), "") == storable(change.before):
            history = library.place_history(collection.target, collection.path, place)
            ours = _ours_in(change) if undoes_undo else _ours_then(change.before, history)
            events.append((place, PlaceEvent(kind, change.before, ours)))
    library.add_place_events(collection.target, collection.path, events)


def _ours_then(value: str, history: Sequence[PlaceEvent]) -> str:
    """What of a value was ours when it stood there before."""
    return next((event.ours for event in reversed(history) if event.value == value and event.ours), "")


def _ours_in(change: Changed) -> str:
    """What of a value that stands again is ours."""
    if change.field != Field.TEXT:
        return change.before
    return next((mark.token for mark in text_marks(change.before)), "")


def _locator(library: Library, journal: Journal) -> Callable[[Entry], Path]:
    """Finds where a written file is by now: on its drive, wherever that is mounted, or moved.

    A moved one is a file of the same recording that no run has written. While the drive is away, such a file
    is the user's copy; then `FileError` is raised.
    """
    library.mounts.refresh()

    @cache
    def written() -> frozenset[Path]:
        runs = (run.id for run in journal.runs() if run.kind != KIND)
        return frozenset(entry.path for run in runs for entry in journal.entries(run) if entry.undoable)

    def on_its_drive(entry: Entry) -> Path:
        if "volume" not in entry.note:
            return entry.path
        place = VolumePlace(entry.note["volume"], os.fsencode(entry.note["inside"]))
        if library.mounts.locate(entry.path) == place:
            return entry.path
        path = library.mounts.path_of(place)
        if path is None:
            raise FileError(AWAY)
        return path

    def moved(entry: Entry) -> Path | None:
        track = library.track(entry.note.get("audio_id", ""))
        candidates = [path for path in (track.paths if track else ()) if path not in written()]
        untouched = (path for path in candidates if _holds(path, entry.new_sha256))
        return next(untouched, None) or next(filter(_is_marked, candidates), None)

    def find(entry: Entry) -> Path:
        path = on_its_drive(entry)
        if is_gone(path):
            library.mounts.refresh()  # when a drive is pulled out, all its files look gone
            path = on_its_drive(entry)
            if is_gone(path):
                return moved(entry) or path
        return path

    return find


def _holds(path: Path, sha256: str) -> bool:
    try:
        return hash_file(path) == sha256
    except OSError:
        return False


def _is_marked(path: Path) -> bool:
    try:
        return read_state(path).mark is not None
    except FileError:
        return False
