"""Edits one of the user's files so that at every instant it is whole: as it was, or as it becomes.

The edit is made on a copy beside the file. The way back is journaled and proven, everything is synced, and
the copy takes the file's place in one step, if the file still is what was copied.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO, Final

from exporters.filesystem import (
    ABSENT,
    BLOCK,
    copy_attributes,
    explain,
    hash_file,
    is_read_only,
    sync_file,
    sync_folder,
)
from moodzone_agent.errors import FileChangedError, FileError

if TYPE_CHECKING:
    from exporters.journal import Changed, Run

NUDGE_NS: Final = 2_000_000_000
"""The step of FAT's clock, the coarsest."""


class Times(StrEnum):
    """Which modification time an edited file gets."""

    NUDGE = "nudge"
    """Two seconds more than before: the order by date survives, and other programs and backups notice."""
    KEEP = "keep"
    """The same as before; a backup that looks at nothing else will miss the edit."""
    NOW = "now"
    """The time of the edit."""


def edit_file(
    path: Path,
    edit: Callable[[Path], object],
    run: Run,
    *,
    times: Times | int = Times.NUDGE,
    note: Mapping[str, str] = MappingProxyType({}),
    changes: Sequence[Changed] = (),
) -> bool:
    """Let ``edit`` change a copy of the file, and put the copy in the file's place.

    The copy stands in the same folder and is hidden; owner, mode, extended attributes and, where the system
    allows, creation time are kept. Where ``path`` is a symbolic link, the file it leads to is edited and the
    link stays. A file with several hard links is refused: the other names would keep the old content.
    ``times`` may be a modification time itself, in nanoseconds; ``note`` and ``changes`` go into the journal.

    Returns False, having written nothing, where ``edit`` changed no byte.

    Raises FileError (the file is as it was), FileChangedError where another program changed the file
    meanwhile (its version stays), JournalError where the way back cannot be kept, and what ``edit`` raises.
    """
    with file_errors():
        target = Path(os.path.realpath(path, strict=True))
        _check_replaceable(target)
        entry = run.begin(target, note)
        try:
            status, old = _copy(target, entry.temp)
            edit(entry.temp)
            new = hash_file(entry.temp)
            if new == old:
                return False
            copy_attributes(target, entry.temp, status)
            os.utime(entry.temp, ns=(status.st_atime_ns, _modification_time(status, times)))
            ready = run.prepare(
                entry,
                old_sha256=old,
                new_sha256=new,
                old_mtime_ns=status.st_mtime_ns,
                changes=changes,
            )
            sync_file(entry.temp)
            _check_unchanged(target, status, old)
            entry = ready  # from here on a failure may leave the copy as the only one
            entry.temp.replace(target)
            entry = run.replaced(entry)
        finally:
            run.settle(entry)
        sync_folder(target.parent)
        return True


def create_file(
    path: Path,
    fill: Callable[[BinaryIO], object],
    run: Run,
    *,
    note: Mapping[str, str] = MappingProxyType({}),
    changes: Sequence[Changed] = (),
) -> None:
    """Make a new file, whole or not at all; undo deletes it. Its folder must exist.

    Raises FileError, FileChangedError where there is such a file by now, JournalError, and what ``fill`` raises.
    """
    with file_errors():
        target = Path(os.path.realpath(path))
        entry = run.begin(target, note)
        try:
            try:
                file = entry.temp.open("xb")
            except OSError:
                run.drop(entry)  # there is nothing to be cleared, now or at the next start
                raise
            with file:
                fill(file)
            sync_file(entry.temp)
            ready = run.prepare(
                entry,
                old_sha256=ABSENT,
                new_sha256=hash_file(entry.temp),
                old_mtime_ns=0,
                changes=changes,
            )
            if os.path.lexists(target):
                raise FileChangedError("another program made it meanwhile; run again when that is done")
            entry = ready
            entry.temp.replace(target)
            entry = run.replaced(entry)
        finally:
            run.settle(entry)
        sync_folder(target.parent)


def delete_file(
    path: Path,
    run: Run,
    *,
    note: Mapping[str, str] = MappingProxyType({}),
    changes: Sequence[Changed] = (),
) -> None:
    """Delete a file of ours; undo makes it anew. Raises FileError, FileChangedError and JournalError."""
    with file_errors():
        target = Path(os.path.realpath(path, strict=True))
        _check_replaceable(target)
        entry = run.begin(target, note)
        try:
            status, old = target.stat(), hash_file(target)
            entry.temp.touch(0o600, exist_ok=False)
            entry = run.prepare(
                entry, old_sha256=old, new_sha256=ABSENT, old_mtime_ns=status.st_mtime_ns, changes=changes
            )
            _check_unchanged(target, status, old)
            target.unlink()
        finally:
            run.settle(entry)
        sync_folder(target.parent)


def replace_content(
    path: Path,
    old: bytes | None,
    new: bytes | None,
    run: Run,
    *,
    note: Mapping[str, str] = MappingProxyType({}),
    changes: Sequence[Changed] = (),
) -> None:
    """Make, edit or delete a small file of ours that was read as ``old``; None stands for no file.

    Raises FileChangedError where it is no longer ``old``, FileError and JournalError.
    """

    def edit(copy: Path) -> None:
        if copy.read_bytes() != old:
            raise FileChangedError("another program changed it meanwhile; run again when that is done")
        copy.write_bytes(new or b"")

    if new == old:
        return
    if old is None:
        create_file(path, lambda file: file.write(new or b""), run, note=note, changes=changes)
    elif new is None:
        delete_file(path, run, note=note, changes=changes)
    else:
        edit_file(path, edit, run, times=Times.NOW, note=note, changes=changes)


@contextmanager
def file_errors() -> Iterator[None]:
    """Turn OSError into FileError."""
    try:
        yield
    except OSError as error:
        raise FileError(explain(error)) from error


def _modification_time(status: os.stat_result, times: Times | int) -> int:
    match times:
        case Times.NUDGE:
            return status.st_mtime_ns + NUDGE_NS
        case Times.KEEP:
            return status.st_mtime_ns
        case Times.NOW:
            return time.time_ns()
        case _:
            return times


def _check_replaceable(path: Path) -> None:
    """Refuse what ``os.replace`` would replace although it should not."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise FileError("not a regular file")
    if is_read_only(path, status):
        raise FileError("read-only: allow writing to the file and run again")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise FileError("in a read-only folder: allow writing to the folder and run again")
    if status.st_nlink > 1:
        raise FileError(
            f"has {status.st_nlink} hard links, and the others would keep the old content: "
            "make a copy of its own and put that in its place"
        )


def _copy(source: Path, temp: Path) -> tuple[os.stat_result, str]:
    """Copy the file's bytes to a new file; returns the status before, and the SHA-256 of what was copied."""
    digest = hashlib.sha256()
    create = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with source.open("rb", buffering=0) as original, os.fdopen(os.open(temp, create, 0o600), "wb") as copy:
        status = os.fstat(original.fileno())
        while block := original.read(BLOCK):
            digest.update(block)
            copy.write(block)
    return status, digest.hexdigest()


def _check_unchanged(path: Path, status: os.stat_result, sha256: str) -> None:
    """The hash finds what coarse clocks do not tell; the status comes last because it is quick."""

    def state(status: os.stat_result) -> tuple[int, ...]:
        return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_nlink

    if hash_file(path) != sha256 or state(status) != state(path.stat()):
        raise FileChangedError("another program changed it meanwhile; run again when that is done")
