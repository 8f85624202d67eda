"""SQLite databases of other programs: read from a copy, written in place in one transaction.

A database file is never replaced: an edited copy put back beside a ``-wal`` that belongs to the old one loses its
edit, while ``integrity_check`` says that all is well.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from exporters.backup import backup_folder
from exporters.filesystem import explain
from exporters.undo import COLLECTION
from moodzone_agent.errors import CollectionError

if TYPE_CHECKING:
    from exporters.base import Change
    from exporters.journal import Run

_COMPANIONS: Final = ("-wal", "-journal")
_BUSY_SECONDS: Final = 5.0

Connect = Callable[[Path], sqlite3.Connection]
"""Opens a database; encrypted ones need more than a path."""


def connect(path: Path) -> sqlite3.Connection:
    """Open a plain database that is there, without a transaction of its own."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY_SECONDS, isolation_level=None
    )
    connection.row_factory = sqlite3.Row
    return connection


@contextmanager
def reading(path: Path, connect: Connect = connect) -> Iterator[sqlite3.Connection]:
    """A copy of a database, with what stands in its ``-wal``; the program may run meanwhile.

    Raises CollectionError where it cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="moodzone-") as folder:
        copy = Path(folder) / path.name
        try:
            for end in ("", *_COMPANIONS):
                part = path.with_name(path.name + end)
                if not end or part.exists():
                    shutil.copyfile(part, copy.with_name(copy.name + end))
        except OSError as error:
            raise CollectionError(f"{path} cannot be read: {explain(error)}.") from error
        with _translated(path), closing(connect(copy)) as connection:
            connection.execute("PRAGMA query_only = ON")
            yield connection


@contextmanager
def writing(
    path: Path,
    run: Run,
    name: str,
    changes: Sequence[Change],
    connect: Connect = connect,
    *,
    checks_foreign_keys: bool = True,
) -> Iterator[sqlite3.Connection]:
    """The database in a transaction that holds the write lock; committed at the end of the block.

    ``name`` is the collection's. Before the commit the database is checked and the journal keeps the changes; on any
    error nothing is changed. Raises CollectionError where another process holds the database, left it in the middle
    of something, or where it would be damaged.
    """
    for end in _COMPANIONS:
        companion = path.with_name(path.name + end)
        if companion.exists() and companion.stat().st_size:
            raise CollectionError(
                f"{companion} holds changes that its program has not finished: start and close the program, then "
                "run this again."
            )
    with _translated(path), closing(connect(path)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            broken_before = _broken_keys(connection) if checks_foreign_keys else frozenset()
            yield connection
            _expect_sound(path, connection)
            if checks_foreign_keys:
                _expect_keys(path, connection, broken_before)
            entry = run.change_in_place(path, {COLLECTION: name}, [change.changed for change in changes])
            try:
                connection.execute("COMMIT")
            except BaseException:
                run.drop(entry)
                raise
            run.replaced(entry)
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def back_up_database(path: Path, backups: Path, label: str, connect: Connect = connect) -> None:
    """Copy a database by SQLite's backup into a folder of backups. Raises CollectionError where it can't be."""
    with (
        backup_folder(backups, label) as folder,
        _translated(path),
        closing(connect(path)) as connection,
        closing(connect_new(folder / path.name)) as copy,
    ):
        connection.backup(copy)


def connect_new(path: Path) -> sqlite3.Connection:
    """A new, plain database."""
    return sqlite3.connect(path, isolation_level=None)


def _expect_sound(path: Path, connection: sqlite3.Connection) -> None:
    complaint = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if complaint != "ok":
        raise CollectionError(
            f"{path} is damaged ({complaint}); nothing was written. Repair it with its program."
        )


def _expect_keys(path: Path, connection: sqlite3.Connection, broken_before: frozenset[object]) -> None:
    if _broken_keys(connection) - broken_before:
        raise CollectionError(
            f"Rows of {path} would have lost each other; nothing was written. Please report this."
        )


def _broken_keys(connection: sqlite3.Connection) -> frozenset[object]:
    return frozenset(tuple(row) for row in connection.execute("PRAGMA foreign_key_check"))


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.Error as error:
        code = (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise CollectionError(
                f"{path} is in use by another program: close it and run this again."
            ) from error
        raise CollectionError(f"{path} cannot be used ({error}); nothing was written.") from error
