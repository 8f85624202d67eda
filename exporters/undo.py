"""Takes back what a run did to the user's files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from exporters.atomic import edit_file, file_errors
from exporters.filesystem import hash_file
from exporters.journal import Entry, Journal, Run
from exporters.patch import PatchError
from moodzone_agent.errors import FileError

KIND = "undo"
"""The kind of a run that undoes another; it is itself undone only by its number."""


class Outcome(StrEnum):
    """What became of a file."""

    RESTORED = "restored"
    """Byte for byte what it was, with its old modification time."""
    ALREADY = "already"
    """There was nothing of ours to undo."""
    TAKEN_OUT = "taken out"
    """It was changed by others since: what is still ours was removed, and their changes stay."""
    FAILED = "failed"
    """It stays as it is; undo can be repeated."""


@dataclass(frozen=True, slots=True)
class UndoResult:
    """One file of an undo."""

    path: Path
    outcome: Outcome
    reason: str = ""
    """Why it failed, or why it could not be restored byte for byte."""


def undo(
    journal: Journal,
    run_id: int | None = None,
    *,
    take_out: Callable[[Path, Entry], None],
    locate: Callable[[Entry], Path | None] | None = None,
    report: Callable[[UndoResult], None] | None = None,
) -> list[UndoResult]:
    """Undo a run, by default the newest that is not undone, its last file first.

    A file that still holds what the run wrote gets its old bytes back. From any other, ``take_out`` removes
    what is still ours from a copy, which then takes its place; so it goes with a file that a later run wrote
    and that run was not undone first. ``locate`` finds a file that is no longer at its path. What is undone
    is noted file by file: after an interruption, undo goes on where it stopped. The undo is itself a run.

    Returns one result per file, each also passed to ``report`` as it comes; nothing where nothing is left to
    undo. Raises UsageError where there is no such run, and JournalError.
    """
    results = []
    if run_id is not None:
        journal.entries(run_id)  # an unknown number must not come to mean the run that starts here
    with journal.start(KIND) as run:
        if run_id is None:
            left = (info.id for info in journal.runs() if info.kind != KIND and info.undone < info.files)
            run_id = next(left, None)
        entries = journal.entries(run_id) if run_id is not None else []
        for entry in reversed(entries):
            if run_id is None or not entry.undoable:
                continue
            result = _Undo(journal, run_id, run, take_out, locate).of(entry)
            if result.outcome is not Outcome.FAILED:
                run.mark_undone(run_id, entry, result.outcome)
            results.append(result)
            if report:
                report(result)
    return results


@dataclass(frozen=True, slots=True)
class _Undo:
    """How to undo the entries of one run."""

    journal: Journal
    run_id: int
    run: Run
    """The run that undoes."""
    take_out: Callable[[Path, Entry], None]
    locate: Callable[[Entry], Path | None] | None

    def of(self, entry: Entry) -> UndoResult:
        path = entry.path
        try:
            with file_errors():
                if self.locate and not path.exists():
                    path = self.locate(entry) or path
                current = hash_file(path)
            if current == entry.old_sha256:
                return UndoResult(path, Outcome.ALREADY)
            reason = "it was changed since"
            if current == entry.new_sha256:
                try:
                    self._restore(entry, path)
                    return UndoResult(path, Outcome.RESTORED)
                except PatchError as error:
                    reason = str(error)
            changed = edit_file(path, lambda copy: self.take_out(copy, entry), self.run, note=entry.note)
            return UndoResult(path, Outcome.TAKEN_OUT if changed else Outcome.ALREADY, reason)
        except FileError as error:
            return UndoResult(path, Outcome.FAILED, str(error))

    def _restore(self, entry: Entry, path: Path) -> None:
        def rebuild(copy: Path) -> None:
            with copy.open("wb") as out:
                self.journal.rebuild(self.run_id, entry, path, out)

        edit_file(path, rebuild, self.run, times=entry.old_mtime_ns, note=entry.note)
