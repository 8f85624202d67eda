"""Leaving no trace: every mark out of every file, then everything of ours off the machine."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

from exporters.journal import Journal
from exporters.undo import Outcome
from moodzone_agent.config import Places, Settings
from moodzone_agent.errors import UsageError
from moodzone_agent.library.store import Library
from moodzone_agent.writing import WriteResult, WriteStatus, marked_files, remove_mark, undo_run


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
    library: Library, places: Places, settings: Settings, *, dry_run: bool
) -> list[WriteResult]:
    """Undo every run, newest first, then take out what is left of ours in any known file.

    Library, journal and settings are deleted only if no file failed and none is away.
    """
    if dry_run:
        return [WriteResult(path, WriteStatus.WRITTEN) for path in marked_files(library, settings.tags.field)]
    journal = Journal(places.journal)
    journal.recover()
    results: dict[Path, WriteResult] = {}
    for run in journal.runs():
        if run.kind != "undo" and run.undone < run.files:
            for undone in undo_run(library, journal, settings.tags, run.id):
                status = WriteStatus.FAILED if undone.outcome is Outcome.FAILED else WriteStatus.WRITTEN
                results[undone.path] = WriteResult(undone.path, status, undone.reason)
    left = list(marked_files(library, settings.tags.field))
    if left:
        with journal.start("remove") as run_of_removal:
            for path in left:
                results[path] = remove_mark(path, library, run_of_removal, settings.tags)
    if not any(result.status is WriteStatus.FAILED for result in results.values()):
        library.close()
        for path in (
            places.library,
            *(Path(f"{places.library}{end}") for end in ("-wal", "-shm")),
            places.settings,
        ):
            path.unlink(missing_ok=True)
        shutil.rmtree(places.journal, ignore_errors=True)
    return list(results.values())
