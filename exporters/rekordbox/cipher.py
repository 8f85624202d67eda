"""Opens rekordbox's encrypted database: SQLCipher 4, with one key that is the same everywhere.

Key and driver come with pyrekordbox, the extra ``rekordbox``. Nothing else of it writes: its session commits in the
middle of an edit, and what it changed cannot be kept for undo within the same transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, cast

from exporters import database
from exporters.filesystem import explain
from moodzone_agent.errors import CollectionError

_PLAIN: Final = b"SQLite format 3\0"
"""How a database begins that isn't encrypted, such as those that tools save for their users."""
_BUSY_SECONDS: Final = 5.0


def is_installed() -> bool:
    """Whether the extra is there."""
    return all(find_spec(name) is not None for name in ("pyrekordbox", "sqlcipher3"))


def connect(path: Path) -> sqlite3.Connection:
    """Open a database that is there, encrypted or not, without a transaction of its own."""
    return database.connect(path) if _is_plain(path) else _unlocked(f"{path.absolute().as_uri()}?mode=rw")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite and SQLCipher into ours."""
    errors = (sqlite3.Error, _driver().Error) if is_installed() else (sqlite3.Error,)
    try:
        yield
    except errors as error:
        raise database.explained(path, error) from error


def copy_database(path: Path, copy: Path) -> None:
    """Copy a database by SQLite's backup, encrypted if it is. Errors: as `translated`."""
    make = database.connect_new if _is_plain(path) else _unlocked_new
    with translated(path), closing(connect(path)) as connection, closing(make(copy)) as new:
        connection.backup(new)


def _is_plain(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_PLAIN)) == _PLAIN
    except OSError as error:
        raise CollectionError(f"{path} cannot be read: {explain(error)}.") from error


def _unlocked_new(path: Path) -> sqlite3.Connection:
    return _unlocked(f"{path.absolute().as_uri()}?mode=rwc")


def _unlocked(uri: str) -> sqlite3.Connection:
    """A connection of SQLCipher's, which has the methods of SQLite's."""
    driver = _driver()
    connection = driver.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
    connection.row_factory = driver.Row
    connection.execute("PRAGMA cipher_log_level = NONE")  # else it writes to the terminal
    connection.execute(f"PRAGMA key = '{_key()}'")
    return cast("sqlite3.Connection", connection)


def _driver() -> Any:
    """SQLCipher's driver. Raises CollectionError where the extra is missing."""
    if not is_installed():
        raise CollectionError(
            'rekordbox\'s database is encrypted; what opens it comes by `pip install "moodzone[rekordbox]"`.'
        )
    from sqlcipher3 import dbapi2

    return dbapi2


def _key() -> str:
    from pyrekordbox.masterdb.database import BLOB
    from pyrekordbox.utils import deobfuscate

    return str(deobfuscate(BLOB))
