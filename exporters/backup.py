"""Whole copies of a collection's files, made before each write: for disasters.

Undo never uses them: put back as a whole, a copy would take later work of the user's with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from exporters.filesystem import explain, sync_file, sync_folder
from moodzone_agent.errors import CollectionError

KEPT: Final = 10
"""How many backups of one collection stay besides the very first; older ones go when a new one is made."""

_NAME: Final = re.compile(
    r"(?P<target>[a-z0-9-]+) (?P<run>\d{6,}) \d{4}-\d\d-\d\d \d\d\.\d\d\.\d\d (?P<of>[0-9a-f]{8})"
)


def back_up(files: Iterable[Path], backups: Path, label: str) -> Path | None:
    """Copy the files that exist into a new folder under ``backups``, named by ``label`` and the time.

    ``label``: target and number of the run, as in ``serato 000012``; the number orders backups, so that a wrong
    clock deletes nothing new. Returns the folder, or None where there is nothing to copy. Raises CollectionError where
    the copy cannot be made: then nothing may be written.
    """
    named = list(files)
    existing = [file for file in named if file.exists()]
    if not existing:
        return None
    with backup_folder(backups, label, named[0]) as folder:
        for number, file in enumerate(existing):
            shutil.copy2(file, folder / (f"{number} {file.name}" if len(existing) > 1 else file.name))
    return folder


@contextlib.contextmanager
def backup_folder(backups: Path, label: str, of: Path) -> Iterator[Path]:
    """A new folder for a backup of the collection with the file ``of``; synced at the end of the block.

    Errors: as of `back_up`.
    """
    which = hashlib.sha256(str(of).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    target = label.split(" ", maxsplit=1)[0]
    moment = time.time()
    try:
        while (folder := backups / f"{label} {_time(moment)} {which}").exists():  # twice within a second
            moment += 1
        folder.mkdir(mode=0o700, parents=True)
        yield folder
        for copy in folder.iterdir():
            sync_file(copy)
        sync_folder(folder)
        _rotate(backups, target, which)
    except OSError as error:
        raise CollectionError(
            f"No backup could be made in {backups} ({explain(error)}), and without it nothing is written."
        ) from error


def _time(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H.%M.%S", time.localtime(moment))


def erase(backups: Path) -> None:
    """Delete all backups; what else somebody keeps in the folder stays. Errors: `OSError`."""
    if backups.is_dir():
        for folder in list(backups.iterdir()):
            if _NAME.fullmatch(folder.name):
                shutil.rmtree(folder)
        with contextlib.suppress(OSError):
            backups.rmdir()


def _rotate(backups: Path, target: str, which: str) -> None:
    """Delete old backups of a collection, by number of the run; never the first, from before MoodZone came."""
    found = [
        (int(match["run"]), folder)
        for folder in backups.iterdir()
        if (match := _NAME.fullmatch(folder.name)) and (match["target"], match["of"]) == (target, which)
    ]
    for _, folder in sorted(found)[1:-KEPT]:
        shutil.rmtree(folder)
