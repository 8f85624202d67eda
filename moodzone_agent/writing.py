"""Zones into the tags of files, and out of them again."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from exporters.atomic import edit_file
from exporters.journal import Entry, Journal, Run
from exporters.tags.edit import TagField, TagState, apply_mark, preview_text, read_state
from exporters.undo import UndoResult, undo
from moodzone_agent.config import TagSettings
from moodzone_agent.errors import FileChangedError, FileError
from moodzone_agent.library.records import Stamp
from moodzone_agent.library.store import Library
from moodzone_agent.library.volumes import is_player_volume
from moodzone_agent.types import Mark


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


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file, and the mark it should carry."""

    path: Path
    mark: Mark
    audio_id: str


def wanted(
    library: Library, roots: Iterable[Path] | None, *, again: bool = False
) -> Iterator[Wanted | WriteResult]:
    """The files under the roots (all that are known, if None) whose track has a zone.

    Files that were undone are skipped unless `again` or named themselves; so are files on a player's stick
    unless a root is on it.
    """
    if roots is None:
        tracks = ((path, track) for track in library.tracks() for path in track.paths)
        named: frozenset[Path] = frozenset()
        sticks_allowed = False
    else:
        absolute = list(dict.fromkeys(Path(os.path.realpath(root)) for root in roots))
        tracks = (
            (path, track)
            for root in absolute
            for track in library.tracks(root=root)
            for path in track.paths
            if path.is_relative_to(root)
        )
        named = frozenset(absolute)
        sticks_allowed = True
    for path, track in tracks:
        if track.mark is None:
            continue
        if library.held(path) and not again and path not in named:
            yield WriteResult(path, WriteStatus.SKIPPED, "was undone; name the file itself to write it again")
        elif not sticks_allowed and is_player_volume(path):
            yield WriteResult(path, WriteStatus.SKIPPED, "on a player's stick; name the stick to write it")
        else:
            yield Wanted(path, track.mark, track.audio_id)


def preview(want: Wanted, library: Library, field: TagField) -> WriteResult:
    """What writing this mark would do; nothing is written."""
    try:
        state = _state_to_edit(want, library, field)
    except FileError as error:
        return WriteResult(want.path, WriteStatus.FAILED, str(error))
    objection = _objection(state, want.mark)
    if objection:
        return WriteResult(want.path, WriteStatus.SKIPPED, objection, before=state.text)
    after = preview_text(state, want.mark)
    same = state.mark == want.mark and after == state.text
    status = WriteStatus.UNCHANGED if same else WriteStatus.WRITTEN
    return WriteResult(want.path, status, before=state.text, after=after)


def write_mark(want: Wanted, library: Library, run: Run, settings: TagSettings) -> WriteResult:
    """Write one mark, if the file is still what was scanned and holds no word of its user's against it."""
    expected = preview(want, library, settings.field)
    if expected.status is not WriteStatus.WRITTEN:
        return expected
    new_state: TagState | None = None

    def edit(copy: Path) -> None:
        nonlocal new_state
        if read_state(copy, field=settings.field).text != expected.before:
            raise FileChangedError("another program edited its tags just now; nothing was written")
        new_state = apply_mark(copy, want.mark, field=settings.field)

    try:
        edit_file(want.path, edit, run, times=settings.times, note=_note(want.audio_id, settings.field))
    except FileError as error:
        return WriteResult(want.path, WriteStatus.FAILED, str(error), before=expected.before)
    _remember(library, want.path, new_state)
    library.release([want.path])
    return expected


def undo_run(
    library: Library, journal: Journal, settings: TagSettings, run: int | None = None
) -> list[UndoResult]:
    """Take a run back, by default the newest, and hold its files back from being written again unasked."""

    def locate(entry: Entry) -> Path | None:
        track = library.track(entry.note.get("audio_id", ""))
        return track.paths[0] if track is not None and track.paths else None

    results = undo(journal, run, take_out=lambda copy: _take_out(copy, settings.field), locate=locate)
    touched = [result.path for result in results if result.path.exists()]
    for path in touched:
        _remember(library, path, None)
    library.hold(touched, str(run or "last"))
    return results


def remove_mark(path: Path, library: Library, run: Run, settings: TagSettings) -> WriteResult:
    """Take everything of ours out of a file's tags, whoever edited it since."""
    try:
        state = read_state(path, field=settings.field)
        if state.mark is None and state.token is None:
            return WriteResult(path, WriteStatus.UNCHANGED)
        edit_file(path, lambda copy: _take_out(copy, settings.field), run, times=settings.times, note={})
    except FileError as error:
        return WriteResult(path, WriteStatus.FAILED, str(error))
    _remember(library, path, None)
    return WriteResult(path, WriteStatus.WRITTEN, before=state.text)


def marked_files(library: Library, field: TagField) -> Iterator[Path]:
    """Known files that carry something of ours."""
    for track in library.tracks():
        for path in track.paths:
            try:
                state = read_state(path, field=field)
            except FileError:
                continue
            if state.mark is not None:
                yield path


def _state_to_edit(want: Wanted, library: Library, field: TagField) -> TagState:
    record = library.file(want.path)
    try:
        stamp = Stamp.of(want.path.stat())
    except OSError as error:
        raise FileError(error.strerror or str(error)) from error
    if record is None or record.stamp != stamp:
        raise FileChangedError("changed since it was scanned; scan it again first")
    return read_state(want.path, field=field)


def _objection(state: TagState, mark: Mark) -> str:
    """Why a file is left alone: its visible token is not what we wrote, so somebody meant it."""
    if state.token is None or state.token.zone is mark.zone:
        return ""
    if state.mark is not None and state.mark.zone is state.token.zone:
        return ""
    return f"its {state.field} says {state.token.token}; take that over with: moodzone label PATH {state.token.zone}"


def _take_out(copy: Path, field: TagField) -> None:
    """Our own field, and our token unless the user put another in its place."""
    state = read_state(copy, field=field)
    corrected = state.token is not None and state.mark is not None and state.token.zone is not state.mark.zone
    apply_mark(copy, None, field=TagField.NONE if corrected else field)


def _remember(library: Library, path: Path, state: TagState | None) -> None:
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


def _note(audio_id: str, field: TagField) -> dict[str, str]:
    return {"audio_id": audio_id, "field": str(field)}
