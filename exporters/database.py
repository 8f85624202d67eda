"""SQLite databases of other programs: read from a copy, written in place in one transaction.

A database file is never replaced: an edited copy put back beside a ``-wal`` that belongs to the old one loses its
edit, while ``integrity_check`` says that all is well.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from exporters.backup import backup_folder
from exporters.base import Change, Collection, Field, Place, Sighting, Want, comparable
from exporters.census import Census, take_census
from exporters.filesystem import explain
from exporters.planning import marks_in, plan_place, text_marks
from exporters.undo import COLLECTION
from moodzone_agent.errors import CollectionError

if TYPE_CHECKING:
    from exporters.journal import Run

_COMPANIONS: Final = ("-wal", "-journal")
_BUSY_SECONDS: Final = 5.0
_COPIES: Final = 5
"""How often a copy is tried while a program writes."""
_PAUSE: Final = 0.2
"""Seconds between two tries."""
_HEADER: Final = 100
"""Bytes. A database's header holds the counter of its changes, a ``-wal``'s the salts of its round."""
_CURES: Final = {
    sqlite3.SQLITE_BUSY: "is in use by another program: close it and run this again",
    sqlite3.SQLITE_LOCKED: "is in use by another program: close it and run this again",
    sqlite3.SQLITE_READONLY: "is not writable: allow writing to it and its folder, and run this again",
    sqlite3.SQLITE_FULL: "has no room to grow: free some space on its drive and run this again",
    sqlite3.SQLITE_CORRUPT: "is damaged: repair it with its program, and run this again",
    sqlite3.SQLITE_NOTADB: "is no database, or damaged: open it with its program, and run this again",
}

Connect = Callable[[Path], sqlite3.Connection]
"""Opens a database; encrypted ones need more than a path."""


def connect(path: Path) -> sqlite3.Connection:
    """Open a plain database that is there, without a transaction of its own."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY_SECONDS, isolation_level=None
    )
    connection.row_factory = sqlite3.Row
    connection.text_factory = _text
    return connection


@contextmanager
def _temporary_folder(path: Path) -> Iterator[Path]:
    try:
        folder = tempfile.TemporaryDirectory(prefix="moodzone-", ignore_cleanup_errors=True)
    except OSError as error:
        raise CollectionError(f"There is no room for a copy of {path}: {explain(error)}.") from error
    with folder as name:
        yield Path(name)


@contextmanager
def reading(path: Path, connect: Connect = connect) -> Iterator[sqlite3.Connection]:
    """A copy of a database, with what stands in its ``-wal``; the program may run meanwhile.

    A copy that was torn by a write is made again. Raises CollectionError where it cannot be read.
    """
    with _temporary_folder(path) as folder:
        copy = folder / path.name
        _copy_whole(path, copy, connect)
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

    ``name`` is the collection's. ``changes`` may grow inside the block; where there are none at its end, nothing is
    committed. Before the commit the database is checked and the journal keeps the changes; on any error nothing is
    changed. Raises CollectionError where another process holds the database, or where it would be damaged.
    """
    _recover(path, connect)
    with _translated(path), closing(connect(path)) as connection:
        connection.execute("PRAGMA fullfsync = ON")  # macOS: through the drive's own cache
        connection.execute("BEGIN IMMEDIATE")
        try:
            broken_before = _broken_keys(connection) if checks_foreign_keys else frozenset()
            yield connection
            if changes:
                _expect_sound(path, connection)
                if checks_foreign_keys:
                    _expect_keys(path, connection, broken_before)
                _commit(path, connection, run, name, changes)
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def back_up_database(path: Path, backups: Path, label: str, connect: Connect = connect) -> None:
    """Copy a database by SQLite's backup into a folder of backups. Raises CollectionError where it can't be."""
    with (
        backup_folder(backups, label, path) as folder,
        _translated(path),
        closing(connect(path)) as connection,
        closing(connect_new(folder / path.name)) as copy,
    ):
        connection.backup(copy)


def connect_new(path: Path) -> sqlite3.Connection:
    """A new, plain database."""
    return sqlite3.connect(path, isolation_level=None)


@dataclass(frozen=True, slots=True)
class Track:
    """A track of a database, and what stands in its places."""

    id: int
    path: Path
    comment: str
    values: Mapping[Field, str]


class DatabaseCollection(Collection):
    """A collection in a plain SQLite database; what is special to a program, its class adds."""

    reads: ClassVar[frozenset[Field]] = frozenset({Field.TEXT})
    checks_foreign_keys: ClassVar[bool] = True
    """Whether rows that lose each other are noticed; not where the program's own schema is broken there."""

    def version(self) -> str:
        """The version of the schema."""
        with reading(self.path) as connection:
            return self._version(connection)

    def census(self, ours: Callable[[Place], frozenset[str]] = lambda _: frozenset()) -> Census:
        """Comments, colours and lists that the database holds."""
        with reading(self.path) as connection:
            self._version(connection)
            tracks, lists = self._known(connection).values(), self._lists(connection)
        return take_census(((track.path, track.comment, _colour(track, ours)) for track in tracks), lists)

    def read(self, among: frozenset[Path] | None = None) -> Iterator[Sighting]:
        """Every place of each track that the program knows."""
        keys = None if among is None else {comparable(path) for path in among}
        for key, track in self._look().items():
            if keys is None or key in keys:
                for field, value in track.values.items():
                    yield Sighting(Place(track.path, field), value, marks_in(field, value, self.colours))
                yield Sighting(Place(track.path, Field.TEXT), track.comment, text_marks(track.comment))

    def preview(self, wants: Iterable[Want]) -> Iterator[Change]:
        """One change for each place of each track."""
        tracks = self._look()
        for want in wants:
            track = tracks.get(comparable(want.path))
            for field in sorted(self.carries):
                if track is None:
                    yield Change(want, field, "", "").skipped(self._unknown())
                else:
                    yield plan_place(want, field, track.values[field], self.colours)

    def files(self) -> list[Path]:
        """The database, and the ``-wal`` in which its newest changes may stand."""
        return [self.path, self.path.with_name(f"{self.path.name}-wal")]

    def back_up(self, backups: Path, label: str) -> None:
        """Keep a copy of the database."""
        back_up_database(self.path, backups, label)

    def _apply(self, changes: list[Change], run: Run) -> Iterator[Change]:
        done: list[Change] = []
        left: list[Change] = []
        checks = self.checks_foreign_keys
        with writing(self.path, run, self.name, done, checks_foreign_keys=checks) as connection:
            self._version(connection)
            tracks = self._known(connection)
            for change in changes:
                track = tracks.get(comparable(change.want.path))
                if track is None:
                    left.append(change.skipped(self._unknown()))
                elif (found := track.values[change.field]) != change.before:
                    left.append(change.kept(found))
                else:
                    done.append(change)
            if done:
                self._put(connection, tracks, done)
                self._expect_done(connection, done)
        yield from left
        yield from done

    def _expect_done(self, connection: sqlite3.Connection, changes: Iterable[Change]) -> None:
        """Read back what was written. Raises CollectionError where it is something else."""
        tracks = self._known(connection)
        for change in changes:
            found = tracks[comparable(change.want.path)].values[change.field]
            if found != change.after:
                raise CollectionError(
                    f"{self.path} kept {found or 'nothing'} instead of {change.after or 'nothing'}; nothing was "
                    "written. Please report this."
                )

    def _look(self) -> dict[str, Track]:
        with reading(self.path) as connection:
            self._version(connection)
            return self._known(connection)

    def _known(self, connection: sqlite3.Connection) -> dict[str, Track]:
        """The tracks by comparable path."""
        return {comparable(track.path): track for track in self._tracks(connection)}

    def _unknown(self) -> str:
        """Why a track has no place."""
        program = self.program.name if self.program else "its program"
        return f"{program} doesn't know this track: import it there, and run this again"

    @abstractmethod
    def _version(self, connection: sqlite3.Connection) -> str:
        """The version of the schema. Raises CollectionError for one that is unknown."""

    @abstractmethod
    def _tracks(self, connection: sqlite3.Connection) -> Iterable[Track]:
        """The tracks that the program knows, with a value for each field that the collection carries."""

    @abstractmethod
    def _lists(self, connection: sqlite3.Connection) -> list[str]:
        """Lists and folders called MoodZone that are there."""

    @abstractmethod
    def _put(
        self, connection: sqlite3.Connection, tracks: Mapping[str, Track], changes: Sequence[Change]
    ) -> None:
        """Do the changes; ``tracks`` are those known, by comparable path."""


def _colour(track: Track, ours: Callable[[Place], frozenset[str]]) -> str:
    """A track's colour, unless it is one of ours."""
    colour = track.values.get(Field.COLOUR, "")
    return "" if colour in ours(Place(track.path, Field.COLOUR)) else colour


def _copy_whole(path: Path, copy: Path, connect: Connect) -> None:
    """Copy a database that may be written meanwhile. Raises CollectionError where no copy is whole."""
    complaint = ""
    for _ in range(_COPIES):
        try:
            before = _state(path)
            _copy_parts(path, copy)
            is_still = _state(path) == before
        except OSError as error:
            raise CollectionError(f"{path} cannot be read: {explain(error)}.") from error
        if is_still and not (complaint := _complaint(copy, connect)):
            return
        if not is_still:
            complaint = "its program writes to it"
            time.sleep(_PAUSE)
    raise CollectionError(f"{path} cannot be read ({complaint}): close its program, and run this again.")


def _parts(path: Path) -> list[Path]:
    """The database, and what stands beside it."""
    return [path.with_name(path.name + end) for end in ("", *_COMPANIONS)]


def _state(path: Path) -> list[tuple[int, int, bytes] | None]:
    """What tells whether a write came between: of each part size, time and header."""
    found: list[tuple[int, int, bytes] | None] = []
    for part in _parts(path):
        try:
            with part.open("rb") as file:
                status = part.stat()
                found.append((status.st_size, status.st_mtime_ns, file.read(_HEADER)))
        except FileNotFoundError:
            if part == path:
                raise
            found.append(None)
    return found


def _copy_parts(path: Path, copy: Path) -> None:
    for part, target in zip(_parts(path), _parts(copy), strict=True):
        target.unlink(missing_ok=True)
        try:
            shutil.copyfile(part, target)
        except FileNotFoundError:
            if part == path:
                raise


def _complaint(copy: Path, connect: Connect) -> str:
    """What SQLite finds wrong with a copy; empty for nothing."""
    try:
        with closing(connect(copy)) as connection:
            pages = int(connection.execute("PRAGMA page_size").fetchone()[0])  # SQLCipher tells it as text
            if copy.stat().st_size % pages:
                return "its last page is cut off"
            found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
            return "" if found == "ok" else found
    except sqlite3.Error as error:
        return str(error)


def _recover(path: Path, connect: Connect) -> None:
    """Have SQLite finish, or take back, what a process that was cut off left beside the database.

    Raises CollectionError where another process has it open: then this is no leftover.
    """
    if not any(part.exists() and part.stat().st_size for part in _parts(path)[1:]):
        return
    with _translated(path), closing(connect(path)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")


def _commit(
    path: Path, connection: sqlite3.Connection, run: Run, name: str, changes: Sequence[Change]
) -> None:
    """Journal, then commit. Where the process is interrupted, undo finds out value by value what was done."""
    entry = run.change_in_place(path, {COLLECTION: name}, [change.changed for change in changes])
    try:
        connection.execute("COMMIT")
    except Exception:  # other drivers, for encrypted databases, have errors of their own
        run.drop(entry)
        raise
    run.replaced(entry)


def _expect_sound(path: Path, connection: sqlite3.Connection) -> None:
    """Raises CollectionError for damage, also for an index that does not say what its table says.

    Takes 0.16 s for 20,000 tracks of rekordbox, encrypted; ``quick_check``, which trusts indices, 0.08 s.
    """
    complaint = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
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


def _text(data: bytes) -> str:
    """Text that isn't UTF-8 is kept as Python keeps names of files."""
    return data.decode(errors="surrogateescape")


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise explained(path, error) from error


def explained(path: Path, error: Exception) -> CollectionError:
    """SQLite's error in our words; those of other drivers, for encrypted databases, are no ``sqlite3.Error``."""
    code = (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
    cure = _CURES.get(code, f"cannot be used ({error})")
    return CollectionError(f"{path} {cure}; nothing was written.")
