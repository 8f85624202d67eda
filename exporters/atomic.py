"""Edits one of the user's files so that at every instant it is whole: as it was, or as it becomes.

The edit is made on a copy beside the file. The way back is journaled and proven, everything is synced, and
the copy takes the file's place in one step, if the file still is what was copied.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from exporters.filesystem import (
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
    from exporters.journal import Run

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
) -> bool:
    """Let ``edit`` change a copy of the file, and put the copy in the file's place.

    The copy stands in the same folder and is hidden; owner, mode, extended attributes and, where the system
    allows, creation time are kept. Where ``path`` is a symbolic link, the file it leads to is edited and the
    link stays. A file with several hard links is refused: the other names would keep the old content.
    ``times`` may be a modification time itself, in nanoseconds; ``note`` goes into the journal.

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
            ready = run.prepare(entry, old_sha256=old, new_sha256=new, old_mtime_ns=status.st_mtime_ns)
            sync_file(entry.temp)
            _check_unchanged(target, status, old)
            entry = ready  # from here on a failure may leave the copy as the only one
            entry.temp.replace(target)
            entry = run.replaced(entry)
        finally:
            run.settle(entry)
        sync_folder(target.parent)
        return True


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
