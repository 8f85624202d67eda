"""Takes back what a run did to the user's files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Final

from exporters.atomic import edit_file, file_errors
from exporters.filesystem import hash_file
from exporters.journal import Entry, Journal, Run
from exporters.patch import PatchError
from moodzone_agent.errors import FileError, UsageError

KIND: Final = "undo"
"""The kind of a run that takes others back; it is itself undone only by its number."""

_UNDONE_RUN: Final = "undone_run"
_UNDONE_ENTRY: Final = "undone_entry"
"""Notes in an entry of such a run: what it undid."""


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
    take_out: Callable[[Path, Entry], object],
    locate: Callable[[Entry], Path] = lambda entry: entry.path,
    report: Callable[[UndoResult], None] | None = None,
) -> list[UndoResult]:
    """Undo a run, by default the newest that is not undone, its last file first.

    A file that still holds what the run wrote gets its old bytes back. From any other, ``take_out`` removes
    what is still ours from a copy, which then takes its place; so it goes with a file that a later run wrote
    and that run was not undone first. ``locate`` says where the file of an entry is by now, or raises
    FileError. What is undone is noted file by file: after an interruption, undo goes on where it stopped. The
    undo is itself a run; where it is undone, the run that it had undone can be undone again.

    Returns one result per file, each also passed to ``report`` as it comes; nothing where nothing is left to
    undo. Raises UsageError where there is no such run, and JournalError.
    """
    results = []
    if run_id is not None:
        journal.entries(run_id)  # an unknown number must not come to mean the run that starts here
    with journal.start(KIND) as run:
        if run_id is None:
            run_id = newest_to_undo(journal)
        if run_id is None:
            return []
        undoing = _Undo(journal, run_id, run, take_out, locate, cache(journal.entries))
        for entry in reversed(journal.entries(run_id)):
            if not entry.undoable:
                continue
            result = undoing.of(entry)
            if result.outcome is not Outcome.FAILED:
                undoing.note(entry, result.outcome)
            results.append(result)
            if report:
                report(result)
    return results


def newest_to_undo(journal: Journal) -> int | None:
    """The newest run that changed files, not by taking others back, and is not wholly undone."""
    left = (run.id for run in journal.runs() if run.kind != KIND and run.undone < run.files)
    return next(left, None)


@dataclass(frozen=True, slots=True)
class _Undo:
    """How to undo the entries of one run."""

    journal: Journal
    run_id: int
    run: Run
    """The run that undoes."""
    take_out: Callable[[Path, Entry], object]
    locate: Callable[[Entry], Path]
    entries: Callable[[int], list[Entry]]

    def of(self, entry: Entry) -> UndoResult:
        path = entry.path
        try:
            with file_errors():
                path = self.locate(entry)
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
            changed = edit_file(
                path, lambda copy: self.take_out(copy, entry), self.run, note=self._note(entry)
            )
            return UndoResult(path, Outcome.TAKEN_OUT if changed else Outcome.ALREADY, reason)
        except FileError as error:
            return UndoResult(path, Outcome.FAILED, str(error))

    def _restore(self, entry: Entry, path: Path) -> None:
        def rebuild(copy: Path) -> None:
            with copy.open("wb") as out:
                self.journal.rebuild(self.run_id, entry, path, out)

        edit_file(path, rebuild, self.run, times=entry.old_mtime_ns, note=self._note(entry))

    def note(self, entry: Entry, how: Outcome) -> None:
        """Note that an entry was undone. If it had undone another, that one stands again, and so on.

        The entry itself comes last: until then, undo finds it again after an interruption.
        """
        chain = [(self.run_id, entry)]
        with contextlib.suppress(UsageError, StopIteration):  # forgotten by now
            while _UNDONE_RUN in entry.note:
                run, number = int(entry.note[_UNDONE_RUN]), int(entry.note[_UNDONE_ENTRY])
                entry = next(entry for entry in self.entries(run) if entry.number == number)
                chain.append((run, entry))
        for depth, (run, link) in reversed(list(enumerate(chain))):
            self.run.mark(run, link.number, "redone" if depth % 2 else "undone", how)

    def _note(self, entry: Entry) -> dict[str, str]:
        return {**entry.note, _UNDONE_RUN: str(self.run_id), _UNDONE_ENTRY: str(entry.number)}
