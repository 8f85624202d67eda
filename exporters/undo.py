"""Takes back what a run did to the user's files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import BinaryIO, Final

from exporters.atomic import create_file, delete_file, edit_file, file_errors
from exporters.filesystem import ABSENT, IN_PLACE, hash_file
from exporters.journal import Changed, Entry, Journal, Run
from exporters.patch import PatchError
from moodzone_agent.errors import CollectionError, FileError, UsageError

KIND: Final = "undo"
"""The kind of a run that takes others back; it is itself undone only by its number."""
COLLECTION: Final = "collection"
"""Note in an entry: which collection the file belongs to. Such entries are undone by value, together."""

_UNDONE_RUN: Final = "undone_run"
_UNDONE_ENTRY: Final = "undone_entry"
"""Notes in an entry of such a run: what it undid."""


class Outcome(StrEnum):
    """What became of a file."""

    RESTORED = "restored"
    """Byte for byte what it was, with its old modification time."""
    ALREADY = "already"
    """There was nothing of ours to undo."""
    PUT_BACK = "put back"
    """A database: the values that were still ours are what they were before."""
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


PutBack = Callable[[str, list[Changed], Run], Mapping[str, str]]
"""Puts values back in the collection of this name, each only where what we wrote is still there; returns the tracks
whose own file could not be written, with the reason."""


def _put_back_nothing(collection: str, _changed: list[Changed], _run: Run) -> Mapping[str, str]:
    raise CollectionError(f"Nobody here knows the collection {collection}.")


def undo(
    journal: Journal,
    run_id: int | None = None,
    *,
    take_out: Callable[[Path, Entry], object],
    put_back: PutBack = _put_back_nothing,
    expect_closed: Callable[[str], object] = lambda name: name,
    locate: Callable[[Entry], Path] = lambda entry: entry.path,
    report: Callable[[UndoResult], None] | None = None,
) -> list[UndoResult]:
    """Undo a run, by default the newest that is not undone, its last file first.

    A file that still holds what the run wrote gets its old bytes back. From any other, ``take_out`` removes
    what is still ours from a copy, which then takes its place; so it goes with a file that a later run wrote
    and that run was not undone first. Files of a collection get their bytes back if all of them can; else
    ``put_back`` is given its values. ``expect_closed`` is asked before either, and raises CollectionError while the
    program of a collection runs. ``locate`` says where the file of an entry is by now, or raises
    FileError. What is undone is noted file by file: after an interruption, undo goes on where it stopped. The
    undo is itself a run; where it is undone, the run that it had undone can be undone again.

    Returns one result per file, each also passed to ``report`` as it comes; nothing where nothing is left to
    undo. Raises UsageError where there is no such run, and JournalError.
    """
    results: dict[UndoResult, None] = {}
    if run_id is not None:
        journal.entries(run_id)  # an unknown number must not come to mean the run that starts here
    with journal.start(KIND) as run:
        if run_id is None:
            run_id = newest_to_undo(journal)
        if run_id is None:
            return []
        undoing = _Undo(
            journal, run_id, run, take_out, put_back, expect_closed, locate, cache(journal.entries)
        )
        for group in _groups(reversed(journal.entries(run_id))):
            for entry, result in zip(group, undoing.of(group), strict=True):
                if result.outcome is not Outcome.FAILED:
                    undoing.note(entry, result.outcome)
                if report and result not in results:
                    report(result)
                results[result] = None  # a file that was changed twice is told once
    return list(results)


def newest_to_undo(journal: Journal) -> int | None:
    """The newest run that changed files, not by taking others back, and is not wholly undone."""
    left = (run.id for run in journal.runs() if run.kind != KIND and run.undone < run.files)
    return next(left, None)


def _groups(entries: Iterable[Entry]) -> list[list[Entry]]:
    """The entries that can be undone: those of one collection together, any other on its own."""
    groups: list[list[Entry]] = []
    of_collection: dict[str, list[Entry]] = {}
    for entry in entries:
        if not entry.undoable:
            continue
        name = entry.note.get(COLLECTION)
        group = of_collection.get(name) if name is not None else None
        if group is not None:
            group.append(entry)
            continue
        groups.append([entry])
        if name is not None:
            of_collection[name] = groups[-1]
    return groups


@dataclass(frozen=True, slots=True)
class _Undo:
    """How to undo the entries of one run."""

    journal: Journal
    run_id: int
    run: Run
    """The run that undoes."""
    take_out: Callable[[Path, Entry], object]
    put_back: PutBack
    expect_closed: Callable[[str], object]
    locate: Callable[[Entry], Path]
    entries: Callable[[int], list[Entry]]

    def of(self, group: Sequence[Entry]) -> list[UndoResult]:
        """Undo entries that belong together."""
        name = group[0].note.get(COLLECTION)
        return [self._of_file(entry) for entry in group] if name is None else self._of_collection(name, group)

    def _of_file(self, entry: Entry) -> UndoResult:
        path = entry.path
        try:
            path = self.locate(entry)
            current = _hash(path)
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

    def _of_collection(self, name: str, group: Sequence[Entry]) -> list[UndoResult]:
        """Bytes where nobody has touched any of the files; else value by value."""
        if any(entry.new_sha256 == IN_PLACE for entry in group):
            outcome, reason = Outcome.PUT_BACK, ""
        else:
            outcome, reason = Outcome.TAKEN_OUT, "it was changed since"
        try:
            self.expect_closed(name)
            current = {entry.path: _state(entry) for entry in group}
            known: dict[Path, set[str]] = {}  # a run may have changed a file twice
            for entry in group:
                known.setdefault(entry.path, set()).update((entry.old_sha256, entry.new_sha256))
            if outcome is not Outcome.PUT_BACK and all(current[path] in known[path] for path in known):
                for entry in group:
                    if current[entry.path] == entry.new_sha256:
                        self._restore(entry, entry.path)
                        current[entry.path] = entry.old_sha256
                return [UndoResult(entry.path, Outcome.RESTORED) for entry in group]
            with self.run.noting(self._note(group[0])):
                failed = self.put_back(name, self.journal.changes(self.run_id, group), self.run)
        except (FileError, CollectionError, PatchError) as error:
            return [UndoResult(entry.path, Outcome.FAILED, str(error)) for entry in group]
        return [
            UndoResult(entry.path, Outcome.FAILED, failed[str(entry.path)])
            if str(entry.path) in failed
            else UndoResult(entry.path, outcome, reason)
            for entry in group
        ]

    def _restore(self, entry: Entry, path: Path) -> None:
        note = self._note(entry)
        changes = [
            Changed(track, field, before=after, after=before)
            for track, field, before, after in self.journal.changes(self.run_id, [entry])
        ]

        def rebuild(out: BinaryIO) -> None:
            self.journal.rebuild(self.run_id, entry, path, out)

        def rebuild_copy(copy: Path) -> None:
            with copy.open("wb") as out:
                rebuild(out)

        if entry.old_sha256 == ABSENT:
            delete_file(path, self.run, note=note, changes=changes)
        elif entry.new_sha256 == ABSENT:
            create_file(path, rebuild, self.run, note=note, changes=changes)
        else:
            times = entry.old_mtime_ns
            edit_file(path, rebuild_copy, self.run, times=times, note=note, changes=changes)

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


def _state(entry: Entry) -> str:
    """The file's hash; empty where it can't be told, so that it is none of those that are known."""
    if entry.new_sha256 == IN_PLACE:
        return IN_PLACE
    try:
        return _hash(entry.path)
    except FileError:
        return ""


def _hash(path: Path) -> str:
    """SHA-256 of a file, or `ABSENT`. Raises FileError where that cannot be told."""
    with file_errors():
        path.parent.stat()
        try:
            return hash_file(path)
        except FileNotFoundError:
            return ABSENT
