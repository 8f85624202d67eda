"""Leaving no trace: every mark out of every file, then everything of ours off the machine."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from exporters.backup import erase as erase_backups
from exporters.base import Want, WriteStatus
from exporters.filesystem import is_gone
from exporters.journal import TEMP_NAME, Journal
from exporters.tags.collection import TagCollection
from exporters.tags.edit import read_state
from exporters.undo import KIND, Outcome
from moodzone_agent import learning
from moodzone_agent.background import control
from moodzone_agent.background.single import AgentLock
from moodzone_agent.classify.registry import Registry
from moodzone_agent.config import Places, Settings
from moodzone_agent.errors import CollectionError, FileError, LibraryError
from moodzone_agent.library.backup import erase as erase_library_backups
from moodzone_agent.library.backup import erase_rest
from moodzone_agent.library.records import FileStatus, values_of_ours
from moodzone_agent.library.store import Library
from moodzone_agent.machine import open_collection
from moodzone_agent.undoing import AWAY, undo_run
from moodzone_agent.writing import (
    WriteResult,
    preview,
    remember_file,
    remove_mark,
    write_zones,
)

_MISSING: Final = (
    "is not there: plug in its drive, or scan the folder it was moved to, and run remove again; "
    "or give --forget-missing"
)
_FORGOTTEN: Final = "is not there; if it comes back, it may still hold its mark"


def remove_everything(
    library: Library,
    places: Places,
    settings: Settings,
    *,
    dry_run: bool = False,
    forget_missing: bool = False,
) -> list[WriteResult]:
    """Undo every run, newest first, then take out what is left of ours in any known file.

    Library, models, journal and settings are deleted only if no file failed. One that isn't there, or can't be read,
    counts as failed, since it may hold a mark; the former not with `forget_missing`. Meanwhile no other
    process can write. Errors: `JournalError`; `UsageError` if an agent runs; `LibraryError` if something can't be
    deleted.
    """
    journal = Journal(places.journal)
    if dry_run:
        held = _take_out_of_collections(library, None, settings, places.backups)
        return _account(library, journal, settings, held, dry_run=True, forget_missing=forget_missing)
    with AgentLock(places) as lock, journal.hold("remove"):
        undone = _undo_all(library, journal, settings, places.backups)
        undone |= _take_out_of_collections(library, journal, settings, places.backups)
        results = _account(library, journal, settings, undone, dry_run=False, forget_missing=forget_missing)
        if not any(result.status is WriteStatus.FAILED for result in results):
            library.close()
            _delete(places, journal, lock)
    return results


def _undo_all(
    library: Library, journal: Journal, settings: Settings, backups: Path
) -> dict[Path, WriteResult]:
    journal.recover()
    results = {}
    for run in journal.runs():
        if run.kind != KIND and run.undone < run.files:
            for undone in undo_run(library, journal, settings, backups, run.id):
                status = WriteStatus.FAILED if undone.outcome is Outcome.FAILED else WriteStatus.WRITTEN
                results[undone.path] = WriteResult(undone.path, status, undone.reason)
    return results


def _take_out_of_collections(
    library: Library, journal: Journal | None, settings: Settings, backups: Path
) -> dict[Path, WriteResult]:
    """Take what undo left of ours out of collections, by what the library remembers; only say so without a journal.

    Later work of the user's stays, as it does in undo.
    """
    results = {}
    for target, path in library.collections():
        if target == TagCollection.target:  # each file is looked at anyway
            continue
        histories = library.place_events(target, path)
        tracks = {place.track for place, events in histories.items() if values_of_ours(events)}
        wants = [Want(track, None) for track in sorted(tracks)]
        try:
            collection = open_collection(target, path, library, settings)
            if journal is None:
                found = list(preview(wants, collection, library))
            elif wants:
                if collection.in_file:
                    for want in wants:  # whatever else was done to the file, only what is ours is taken out
                        remember_file(library, want.path)
                with journal.start(KIND) as run:
                    found = list(write_zones(wants, collection, library, run, backups))
            else:
                continue
        except (CollectionError, FileError) as error:
            results[path] = WriteResult(path, WriteStatus.FAILED, str(error), target=target)
            continue
        results.update((one.path, one) for one in found if one.status is WriteStatus.FAILED)
        if any(result.status is WriteStatus.WRITTEN for result in found):
            results[path] = WriteResult(path, WriteStatus.WRITTEN, target=target)
    return results


def _account(
    library: Library,
    journal: Journal,
    settings: Settings,
    undone: dict[Path, WriteResult],
    *,
    dry_run: bool,
    forget_missing: bool,
) -> list[WriteResult]:
    """What came of every file that is, or may be, marked, having taken out what undo left."""
    results = dict(undone)
    found = _look(library)
    if dry_run:
        results.update((path, remove_mark(path, library, None, settings.tags)) for path in found.marked)
    elif found.marked:
        with journal.start(KIND) as run:
            results.update((path, remove_mark(path, library, run, settings.tags)) for path in found.marked)
    results.update(
        (path, WriteResult(path, WriteStatus.FAILED, reason)) for path, reason in found.unreadable.items()
    )
    failed = (result for result in results.values() if result.status is WriteStatus.FAILED)
    gone = [result.path for result in failed if result.reason == AWAY or is_gone(result.path)]
    for path in (*gone, *found.missing):
        status = WriteStatus.SKIPPED if forget_missing else WriteStatus.FAILED
        results[path] = WriteResult(path, status, _FORGOTTEN if forget_missing else _MISSING)
    return list(results.values())


@dataclass(slots=True)
class _Known:
    """All known files, but those that hold nothing of ours."""

    marked: list[Path] = field(default_factory=list)
    unreadable: dict[Path, str] = field(default_factory=dict)
    """With the reason."""
    missing: list[Path] = field(default_factory=list)


def _look(library: Library) -> _Known:
    """Look at every known file, in whatever state the last scan found it."""
    known = _Known()
    library.mounts.refresh()
    records = [(record, record.mounted and not is_gone(record.path)) for record in library.files()]
    there = {record.audio_id for record, is_there in records if is_there and record.status is FileStatus.OK}
    for record, is_there in records:
        if not is_there:
            was_moved = record.status is FileStatus.MISSING and record.audio_id in there
            if record.audio_id is not None and not was_moved:
                known.missing.append(record.path)
            continue
        try:
            if read_state(record.path).mark is not None:
                known.marked.append(record.path)
        except FileError as error:
            if record.audio_id is not None and record.tag_hash:  # else nothing was ever written to it
                known.unreadable[record.path] = str(error)
    return known


def _delete(places: Places, journal: Journal, lock: AgentLock) -> None:
    try:
        erase_rest(places.library)
        erase_library_backups(places.library_backups)
        places.settings.unlink(missing_ok=True)
        if places.settings.parent.is_dir():
            for left in list(places.settings.parent.iterdir()):  # by one who was killed changing the settings
                if TEMP_NAME.fullmatch(left.name):
                    left.unlink()
        Registry(places.models).erase()
        erase_backups(places.backups)
        journal.erase()
        control.erase(places)
        learning.erase(places)
        lock.erase()
    except OSError as error:
        raise LibraryError(
            f"No file holds a mark any more, but {error.filename} cannot be deleted ({error.strerror}); "
            "delete it yourself"
        ) from error
    for folder in (places.agent, *{places.library.parent, places.settings.parent}):
        with suppress(OSError):  # it holds something else
            folder.rmdir()
