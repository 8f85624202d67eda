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
from exporters.filesystem import explain, hash_file, is_gone
from exporters.journal import Entry, Journal, Run
from exporters.tags.edit import TagField, TagState, apply_mark, preview_text, read_state
from exporters.undo import KIND, Outcome, UndoResult, newest_to_undo, undo
from moodzone_agent.config import TagSettings
from moodzone_agent.errors import FileChangedError, FileError
from moodzone_agent.library.records import Stamp, TrackRecord
from moodzone_agent.library.store import Library
from moodzone_agent.library.volumes import Place, is_player_volume
from moodzone_agent.types import Mark, MarkState

HELD: Final = "was undone, so it waits until you name the file itself or give --again"
AWAY: Final = "its drive is not there: plug it in and run this again"


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
    objection = _objection(state, want.mark)
    if objection:
        return WriteResult(want.path, WriteStatus.SKIPPED, objection, before=state.text)
    result = WriteResult(
        want.path, WriteStatus.WRITTEN, before=state.text, after=preview_text(state, want.mark)
    )
    if state.mark == want.mark and result.after == result.before:
        return replace(result, status=WriteStatus.UNCHANGED)
    record = library.file(want.path)
    if record is None or record.stamp != stamp:
        reason = "changed since it was scanned; scan it again first"
        return replace(result, status=WriteStatus.FAILED, reason=reason, after="")
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

    note = _note(library, want.path, want.audio_id, settings.field)
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

    A file that is gone from where it was written is looked for among the files of its recording, but not
    while its drive is away. Errors: `UsageError` if there is no such run; `JournalError`.
    """
    journal.recover()
    if number is None:
        number = newest_to_undo(journal)
        if number is None:
            return []
    undoes_undo = any(run.id == number and run.kind == KIND for run in journal.runs())
    written = {entry.path: entry.note.get("audio_id") for entry in journal.entries(number)}

    def note(result: UndoResult) -> None:
        record = library.file(result.path)
        # A file that others changed may hold other audio by now; the next scan looks at it.
        if result.outcome is Outcome.RESTORED and record and record.audio_id == written.get(result.path):
            _remember(library, result.path)
        if undoes_undo:
            library.release([result.path])
        elif result.outcome is not Outcome.FAILED:
            library.hold([result.path], str(number))

    return undo(
        journal,
        number,
        take_out=lambda copy, entry: apply_mark(
            copy, None, field=TagField(entry.note.get("field", settings.field))
        ),
        locate=_locator(library, journal),
        report=note,
    )


def _note(library: Library, path: Path, audio_id: str, field: TagField) -> dict[str, str]:
    """What undo goes by: the field that was written and, should the file be elsewhere, what and where it is."""
    place = library.mounts.locate(path)
    return {
        "audio_id": audio_id,
        "field": str(field),
        "volume": place.volume,
        "inside": os.fsdecode(place.relative),
    }


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
        place = Place(entry.note["volume"], os.fsencode(entry.note["inside"]))
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


def remove_mark(path: Path, library: Library, run: Run | None, settings: TagSettings) -> WriteResult:
    """Take everything of ours out of a file's tags, whoever edited it since; without a run, only say so."""
    try:
        before = read_state(path, field=settings.field)
        if run is None:
            after = preview_text(before, None)
        else:
            record = library.file(path)
            note = _note(library, path, (record and record.audio_id) or "", settings.field)
            edit_file(
                path,
                lambda copy: apply_mark(copy, None, field=settings.field),
                run,
                times=settings.times,
                note=note,
            )
            after = read_state(path, field=settings.field).text
    except FileError as error:
        return WriteResult(path, WriteStatus.FAILED, str(error))
    return WriteResult(path, WriteStatus.WRITTEN, before=before.text, after=after)


def _objection(state: TagState, mark: Mark) -> str:
    """Why a file is left alone: somebody else's token stands there, and it is not what its user told us."""
    other = next((token for token in state.user_tokens if token.zone is not mark.zone), None)
    token = other or next(iter(state.user_tokens), None)
    if token is None or (other is None and mark.state is MarkState.LABELLED):
        return ""
    return (
        f"somebody put {token.token} into its {state.field}; take that over with "
        f"`moodzone label FILE {token.zone.lower()}`, or take the token out of the {state.field}"
    )


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
