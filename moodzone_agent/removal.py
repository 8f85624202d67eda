"""Leaving no trace: every mark out of every file, then everything of ours off the machine."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from exporters.journal import Journal
from exporters.undo import KIND as UNDO
from exporters.undo import Outcome
from moodzone_agent.config import Places, Settings
from moodzone_agent.errors import LibraryError, UsageError
from moodzone_agent.library.store import Library
from moodzone_agent.writing import WriteResult, WriteStatus, marked_files, remove_mark, undo_run

_KIND: Final = "remove"
"""The kind of the runs made here; none of them is undone by another, as that would bring the marks back."""
_MISSING: Final = (
    "is not there: plug in its drive, or scan the folder it was moved to, and run remove again; "
    "or give --forget-missing"
)
_FORGOTTEN: Final = "is not there; if it comes back, it still holds its mark"


def save_labels(library: Library, path: Path) -> None:
    """Write the labels that count to a CSV file: path, zone, origin, source, audio id.

    Errors: `UsageError` if the file exists or can't be written.
    """
    try:
        with path.open("x", newline="", encoding="utf-8", errors="surrogateescape") as file:
            rows = csv.writer(file)
            rows.writerow(("path", "zone", "origin", "source", "audio_id"))
            for track in library.tracks():
                if track.label:
                    place = next(iter((*track.paths, *track.away)), "")
                    label = track.label
                    rows.writerow((place, label.zone, label.origin, label.source, label.audio_id))
    except OSError as error:
        raise UsageError(f"labels cannot be saved to {path} ({error.strerror}); name another file") from error


def remove_everything(
    library: Library,
    places: Places,
    settings: Settings,
    *,
    dry_run: bool = False,
    forget_missing: bool = False,
) -> list[WriteResult]:
    """Undo every run, newest first, then take out what is left of ours in any known file.

    Library, journal and settings are deleted only if no file failed. One that isn't there counts as failed,
    since it may hold a mark, unless `forget_missing`. Errors: `JournalError`; `LibraryError` if something
    can't be deleted.
    """
    if dry_run:
        return [remove_mark(path, None, settings.tags) for path in marked_files(library)]
    journal = Journal(places.journal)
    journal.recover()
    results: dict[Path, WriteResult] = {}
    for run in journal.runs():
        if run.kind not in {UNDO, _KIND} and run.undone < run.files:
            for undone in undo_run(library, journal, settings.tags, run.id):
                status = WriteStatus.FAILED if undone.outcome is Outcome.FAILED else WriteStatus.WRITTEN
                results[undone.path] = WriteResult(undone.path, status, undone.reason)
    left = list(marked_files(library))
    if left:
        with journal.start(_KIND) as run_of_removal:
            for path in left:
                results[path] = remove_mark(path, run_of_removal, settings.tags)
    missing = {path for path in results if not path.exists()} | set(_on_absent_drives(library))
    for path in missing:
        status = WriteStatus.SKIPPED if forget_missing else WriteStatus.FAILED
        results[path] = WriteResult(path, status, _FORGOTTEN if forget_missing else _MISSING)
    if not any(result.status is WriteStatus.FAILED for result in results.values()):
        library.close()
        _delete(places)
    return list(results.values())


def _on_absent_drives(library: Library) -> Iterator[Path]:
    for track in library.tracks():
        for path in track.away:
            if library.file(path) is None:  # another drive, or none, is mounted there now
                yield path


def _delete(places: Places) -> None:
    try:
        for end in ("", "-wal", "-shm"):
            Path(f"{places.library}{end}").unlink(missing_ok=True)
        places.settings.unlink(missing_ok=True)
        if places.journal.exists():
            shutil.rmtree(places.journal)
    except OSError as error:
        raise LibraryError(
            f"No file holds a mark any more, but {error.filename} cannot be deleted ({error.strerror}); "
            "delete it yourself"
        ) from error
    for folder in {places.library.parent, places.settings.parent}:
        with suppress(OSError):  # it holds something else
            folder.rmdir()
