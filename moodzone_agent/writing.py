"""Zones into the tags of files, and out of them again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Final

from exporters.atomic import edit_file
from exporters.filesystem import explain, hash_file
from exporters.journal import Entry, Journal, Run
from exporters.tags.edit import TagField, TagState, apply_mark, preview_text, read_state
from exporters.undo import KIND, Outcome, UndoResult, undo
from moodzone_agent.config import TagSettings
from moodzone_agent.errors import FileChangedError, FileError
from moodzone_agent.library.records import Stamp, TrackRecord
from moodzone_agent.library.store import Library
from moodzone_agent.library.volumes import is_player_volume
from moodzone_agent.types import Mark

HELD: Final = "was undone, so it waits until you name the file itself or give --again"


class WriteStatus(StrEnum):
    """What came of a file that was to be written."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"
    """It carried the mark already."""
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class WriteResult:
    """One file of a write, done or (in a dry run) to be done."""

    path: Path
    status: WriteStatus
    reason: str = ""
    before: str = ""
    """The visible field's text."""
    after: str = ""
    """The same after the edit."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file, and the mark it should carry."""

    path: Path
    mark: Mark
    audio_id: str


def wanted(
    library: Library, roots: Iterable[Path] | None, *, again: bool = False
) -> Iterator[Wanted | WriteResult]:
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
            yield Wanted(path, track.mark, track.audio_id)


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


def preview(want: Wanted, library: Library, field: TagField) -> WriteResult:
    """What writing this mark would do; nothing is written."""
    try:
        stamp = Stamp.of(want.path.stat())
        state = read_state(want.path, field=field)
    except OSError as error:
        return WriteResult(want.path, WriteStatus.FAILED, explain(error))
    except FileError as error:
        return WriteResult(want.path, WriteStatus.FAILED, str(error))
    result = WriteResult(
        want.path, WriteStatus.WRITTEN, before=state.text, after=preview_text(state, want.mark)
    )
    if state.mark == want.mark and result.after == result.before:
        return replace(result, status=WriteStatus.UNCHANGED)
    record = library.file(want.path)
    if record is None or record.stamp != stamp:
        reason = "changed since it was scanned; scan it again first"
        return replace(result, status=WriteStatus.FAILED, reason=reason, after="")
    objection = _objection(state, want.mark)
    if objection:
        return replace(result, status=WriteStatus.SKIPPED, reason=objection, after="")
    return result


def write_mark(want: Wanted, library: Library, run: Run, settings: TagSettings) -> WriteResult:
    """Write one mark, if the file is still what was scanned and holds no word of its user's against it.

    Errors: `JournalError` if the way back can't be kept; the run can't go on.
    """
    expected = preview(want, library, settings.field)
    if expected.status is not WriteStatus.WRITTEN:
        return expected
    new_state: TagState | None = None

    def edit(copy: Path) -> None:
        nonlocal new_state
        if read_state(copy, field=settings.field).text != expected.before:
            raise FileChangedError("another program edited its tags just now; nothing was written")
        new_state = apply_mark(copy, want.mark, field=settings.field)

    note = {"audio_id": want.audio_id, "field": str(settings.field)}
    try:
        if not edit_file(want.path, edit, run, times=settings.times, note=note):
            return replace(expected, status=WriteStatus.UNCHANGED)
    except FileError as error:
        return WriteResult(want.path, WriteStatus.FAILED, str(error), before=expected.before)
    _remember(library, want.path, new_state)
    library.release([want.path])
    return expected


def undo_run(
    library: Library, journal: Journal, settings: TagSettings, number: int | None = None
) -> list[UndoResult]:
    """Take a run back, by default the newest that isn't, and hold its files back from being written unasked.

    A file that is no longer where it was written is looked for among the files of its recording. Errors:
    `UsageError` if there is no such run; `JournalError`.
    """
    journal.recover()
    runs = {run.id: run for run in journal.runs()}
    if number is None:
        left = (run.id for run in runs.values() if run.kind != KIND and run.undone < run.files)
        number = next(left, None)
        if number is None:
            return []
    written = {entry.path: entry.note.get("audio_id") for entry in journal.entries(number)}

    def note(result: UndoResult) -> None:
        record = library.file(result.path)
        # A file that others changed may hold other audio by now; the next scan looks at it.
        if result.outcome is Outcome.RESTORED and record and record.audio_id == written.get(result.path):
            _remember(library, result.path)
        if runs[number].kind == KIND:
            library.release([result.path])
        elif result.outcome is not Outcome.FAILED:
            library.hold([result.path], str(number))

    return undo(
        journal,
        number,
        take_out=lambda copy, entry: _take_out(copy, TagField(entry.note.get("field", settings.field))),
        locate=_finder(library, journal),
        report=note,
    )


def _finder(library: Library, journal: Journal) -> Callable[[Entry], Path | None]:
    """Finds a file that was written and then moved: a file of the same recording that no run has written."""

    @cache
    def written() -> frozenset[Path]:
        runs = (run.id for run in journal.runs() if run.kind != KIND)
        return frozenset(entry.path for run in runs for entry in journal.entries(run) if entry.undoable)

    def find(entry: Entry) -> Path | None:
        track = library.track(entry.note.get("audio_id", ""))
        candidates = [path for path in (track.paths if track else ()) if path not in written()]
        untouched = (path for path in candidates if _holds(path, entry.new_sha256))
        return next(untouched, None) or next(filter(_is_marked, candidates), None)

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


def remove_mark(path: Path, run: Run | None, settings: TagSettings) -> WriteResult:
    """Take everything of ours out of a file's tags, whoever edited it since; without a run, only say so."""
    try:
        before = read_state(path, field=settings.field)
        if run is None:
            after = before.text if _is_corrected(before) else preview_text(before, None)
            return WriteResult(path, WriteStatus.WRITTEN, before=before.text, after=after)
        edit_file(path, lambda copy: _take_out(copy, settings.field), run, times=settings.times)
        after = read_state(path, field=settings.field).text
    except FileError as error:
        return WriteResult(path, WriteStatus.FAILED, str(error))
    return WriteResult(path, WriteStatus.WRITTEN, before=before.text, after=after)


def marked_files(library: Library) -> Iterator[Path]:
    """Known files that are there and carry something of ours."""
    for track in library.tracks():
        yield from filter(_is_marked, track.paths)


def _objection(state: TagState, mark: Mark) -> str:
    """Why a file is left alone: its visible token is not what we wrote, so somebody meant it."""
    token = state.token
    if token is None or token.zone is mark.zone or (state.mark is not None and not _is_corrected(state)):
        return ""
    return (
        f"somebody put {token.token} into its {state.field}; "
        f"take that over with `moodzone label FILE {token.zone.lower()}`, or delete it there"
    )


def _is_corrected(state: TagState) -> bool:
    """Whether the user put another token in the place of ours."""
    return state.token is not None and state.mark is not None and state.token.zone is not state.mark.zone


def _take_out(copy: Path, field: TagField) -> None:
    """Our own field and its token, wherever the settings of the day put it; a corrected one is the user's."""
    states = [read_state(copy, field=shown) for shown in TagField if shown is not TagField.NONE]
    mark = states[0].mark
    if mark is None:
        ours = [field]
    else:
        ours = [state.field for state in states if state.token is not None and state.token.zone is mark.zone]
    for shown in ours or [TagField.NONE]:
        apply_mark(copy, None, field=shown)


def _remember(library: Library, path: Path, state: TagState | None = None) -> None:
    """Bring the record of a file that we wrote up to date, so that the next scan finds nothing new."""
    record = library.file(path)
    if record is None:
        return
    try:
        state = state or read_state(path)
        stamp = Stamp.of(path.stat())
    except (FileError, OSError):
        return
    library.put_file(replace(record, stamp=stamp, tag_hash=state.tag_hash, tags_checked_ns=time.time_ns()))
