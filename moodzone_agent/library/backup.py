"""Backups of the library, and a sound library from a damaged one, labels first.

A library is checked when it is opened: wholly up to 32 MB, else the tables that nothing can make anew. Each backup,
once a day, is checked thoroughly, and with it the library that it is a copy of.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

from exporters.filesystem import explain, sync_file, sync_folder, try_lock
from exporters.journal import TEMP_NAME
from exporters.tags.edit import read_state
from moodzone_agent.errors import DamagedLibraryError, FileError, LibraryError
from moodzone_agent.library.salvage import LabelRow, PlaceRow, Salvage, salvage
from moodzone_agent.library.schema import APPLICATION_ID, MIGRATIONS, migrate, version_of
from moodzone_agent.library.store import CHECKED_WHEN_OPENED, Library
from moodzone_agent.library.volumes import MountTable
from moodzone_agent.types import Label, LabelOrigin, MarkState

DAILIES: Final = 7
"""How many of the newest backups stay,"""
WEEKLIES: Final = 4
"""and how many of the older ones, a week between two of them."""

_DAY: Final = timedelta(days=1)
_WEEK: Final = timedelta(days=7)
_LONGEST_PAUSE: Final = timedelta(days=366)
"""Between two backups, a longer one is a mistake of the clock."""
_NAME: Final = re.compile(r"library (?P<number>\d{6,}) (?P<time>\d{8}T\d{6})Z\.sqlite", re.ASCII)
_TIME: Final = "%Y%m%dT%H%M%S"
_PLAUSIBLE: Final = 1000
"""Beyond twice the labels found and so many, a record of how many there were is damaged itself."""
_LOCK: Final = "library.lock"
_ENDS: Final = ("", "-wal", "-shm")
RECOVERED: Final = "recovered"
"""When the library was last made from a backup and what else was left of it; kept in the library itself."""
_PRECIOUS: Final = ("label", "place_event", "collection", "volume", "track", "file", "held", "run", "meta")

_log = logging.getLogger(__name__)
_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True, order=True)
class Backup:
    """One backup."""

    number: int
    """Rises with each, whatever the clock says."""
    time: datetime
    """When it was made, by the clock of then; UTC."""
    path: Path


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was found, kept and lost when a library was rebuilt."""

    complaint: str
    """What was wrong with it."""
    set_aside: Path | None
    """The damaged file now; None where there was none."""
    backup: Backup | None
    """What it was rebuilt from."""
    labels_of_backup: int
    labels_salvaged: int
    """Entries of the label history that the backup lacked."""
    labels_lost: int
    """Entries that are in neither, by the numbers that are missing; of the very last ones nobody knows where the record
    of the last number is damaged, too.
    """
    place_events_salvaged: int
    place_events_lost: int
    """Entries of places' histories whose collection or drive could not be read."""

    def __str__(self) -> str:
        """In words, for the user."""
        source = (
            f"the backup of {self.backup.time.astimezone():%Y-%m-%d %H:%M} "
            f"({_entries(self.labels_of_backup, 'label')})"
            if self.backup
            else "nothing, as there was no backup"
        )
        salvaged = (
            f" and, out of the damaged file, {_entries(self.labels_salvaged, 'label')} and "
            f"{_entries(self.place_events_salvaged, 'entry', 'entries')} on what was written to DJ programs"
            if self.set_aside
            else ""
        )
        lost = (
            f"{_entries(self.labels_lost, 'label')} could not be read."
            if self.labels_lost
            else "No label is known to be lost."
        )
        aside = f" The damaged file is kept as {self.set_aside}." if self.set_aside else ""
        return (
            f"{self.complaint} It was rebuilt from {source}{salvaged}. {lost}{aside} "
            "Scan your music again: that reads what changed since, and the labels in the files' tags."
        )


def backups_in(folder: Path) -> list[Backup]:
    """All backups, oldest first. Errors: `LibraryError` if the folder can't be read."""
    try:
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    except OSError as error:
        raise LibraryError(f"The backups in {folder} cannot be read ({error.strerror}).") from error
    found = []
    for match in filter(None, map(_NAME.fullmatch, names)):
        with suppress(ValueError):  # no such day
            time = datetime.strptime(match["time"], _TIME).replace(tzinfo=UTC)
            found.append(Backup(int(match["number"]), time, folder / match[0]))
    return sorted(found)


def back_up(library: Library, folder: Path, *, now: datetime | None = None) -> Path | None:
    """Copy the library into ``folder`` unless that was done within a day; other processes may use it meanwhile.

    Returns the copy, or None where none is due or another process makes it. The features, of which a library consists
    almost wholly and which can be had from the audio again, stay only in the newest copy. Errors: `LibraryError` if no
    copy can be made; `DamagedLibraryError` if the copy, and so the library, is damaged. No backup is deleted then.
    """
    now = (now or datetime.now(UTC)).astimezone(UTC)
    temp = folder / _temp_name()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(folder / _LOCK) as is_ours:
            existing = backups_in(folder)
            # Behind the last one, the clock was wrong then or is now: a backup too many does no harm.
            if not is_ours or (existing and timedelta(0) <= now - existing[-1].time < _DAY):
                return None
            _clear(folder)
            try:
                _copy(library, temp)
                number = existing[-1].number + 1 if existing else 1
                made = Backup(number, now, folder / f"library {number:06} {now:{_TIME}}Z.sqlite")
                sync_file(temp)
                temp.rename(made.path)
                sync_folder(folder)
            finally:
                _discard(temp)
            _rotate(existing, made)
    except OSError as error:
        raise LibraryError(f"No backup could be made in {folder} ({explain(error)}).") from error
    except sqlite3.Error as error:
        if _is_damage(error):
            raise DamagedLibraryError(f"The library {library.path} is damaged ({error}).") from error
        raise LibraryError(
            f"No backup of the library could be made in {folder} ({error}): see to the space on its disk, "
            "and whether another program holds the library."
        ) from error
    return made.path


def erase(folder: Path) -> None:
    """Delete all backups; what else somebody keeps in the folder stays. Errors: `OSError`."""
    if folder.is_dir():
        for backup in backups_in(folder):
            backup.path.unlink()
        _clear(folder)
        (folder / _LOCK).unlink(missing_ok=True)
        with suppress(OSError):
            folder.rmdir()


def erase_rest(path: Path) -> None:
    """Delete the library at ``path`` and all that recovery has left beside it. Errors: `OSError`."""
    if path.parent.is_dir():
        ours = re.compile(
            rf"{re.escape(path.stem)}( damaged \d+)?{re.escape(path.suffix)}(-wal|-shm|\.rebuilt|\.lock)?"
        )
        for other in list(path.parent.iterdir()):
            if ours.fullmatch(other.name):
                other.unlink()


def kept(backups: list[Backup]) -> set[int]:
    """Of backups, oldest first, the numbers of those that rotation keeps: the newest, and one a week of the older.

    Time runs by the clock between two of them, but where it can't have: backwards, faster than one backup a day, or a
    year at once. There a day is counted for each number.
    """
    older = backups[:-DAILIES]
    weeklies: list[Backup] = []
    since_weekly = _WEEK
    for before, backup in zip([None, *older], older, strict=False):
        if before is not None:
            least = (backup.number - before.number) * _DAY
            passed = backup.time - before.time
            since_weekly += passed if least <= passed <= _LONGEST_PAUSE else least
        if since_weekly >= _WEEK:
            weeklies.append(backup)
            since_weekly = timedelta(0)
    return {backup.number for backup in (*weeklies[-WEEKLIES:], *backups[-DAILIES:])}


def open_or_recover(
    path: Path, backups: Path, *, thorough: bool = False, mounts: MountTable | None = None
) -> tuple[Library, Recovery | None]:
    """Open the library and check it; if it is damaged, set it aside and rebuild it.

    The newest sound backup in ``backups`` takes its place, with all labels and histories of places that the damaged
    file still tells and the backup lacks. The damaged file stays beside it under another name. A library that is gone,
    though there are backups, comes back from them. ``thorough`` compares indexes with their tables, too.

    Errors: `LibraryError` where it can't be opened for another reason (locked, no access, full disk, made by a newer
    MoodZone), or can't be rebuilt; it is then left as it was.
    """
    try:
        _finish(path)
        complaint = _absence(path, backups)
        if complaint is None:
            try:
                return _opened(path, mounts, thorough=thorough), None
            except DamagedLibraryError as error:
                complaint = str(error.__cause__ or error)
            except LibraryError as error:
                complaint = _head_complaint(path)
                if complaint is None:
                    raise
                _log.debug("taken for damage: %s", error)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(Path(f"{path}.lock")) as is_ours:
            if not is_ours:
                raise LibraryError(
                    f"Another MoodZone rebuilds the library {path}; try again when it is done."
                )
            recovery = _recover(path, backups, f"The library {path} was damaged ({complaint}).")
    except OSError as error:
        raise LibraryError(
            f"The library {path} is damaged and cannot be rebuilt ({explain(error)})."
        ) from error
    except sqlite3.Error as error:
        raise LibraryError(
            f"The library {path} is damaged and cannot be rebuilt ({error}): see to the space on its disk."
        ) from error
    return Library.open(path, mounts=mounts), recovery


def labels_from_tags(library: Library, paths: Iterable[Path]) -> list[Label]:
    """Give tracks that never had a label the one that their files' own field holds; returns the labels given.

    Of copies with different labels the first counts. A label that was taken back stays so. Files that aren't in the
    library or can't be read are left out. Errors: `LibraryError`.
    """
    given = []
    with library.transaction():
        for path in paths:
            track = library.track_of(path)
            if track is None or library.labels(track.audio_id):
                continue
            try:
                mark = read_state(path).mark
            except (FileError, OSError):
                continue
            if mark is not None and mark.state is MarkState.LABELLED:
                now = int(datetime.now(UTC).timestamp() * 1e9)
                label = Label(track.audio_id, mark.zone, LabelOrigin.IMPORTED, "tags", now)
                library.add_label(label)
                given.append(label)
    return given


def _entries(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _temp_name() -> str:
    return f".mz-{secrets.token_hex(4)}.tmp"


def _discard(temp: Path) -> None:
    """Delete a database that got no name, if it is there, and SQLite's journal."""
    for path in (temp, Path(f"{temp}-journal")):
        path.unlink(missing_ok=True)


def _clear(folder: Path) -> None:
    """Delete what one who was killed left half done, with SQLite's files beside it."""
    for path in list(folder.iterdir()):
        if TEMP_NAME.fullmatch(path.name.removesuffix("-journal")):
            path.unlink()


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Whether the block alone holds the lock."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield try_lock(descriptor)
    finally:
        os.close(descriptor)


def _is_damage(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _copy(library: Library, target: Path) -> None:
    with closing(sqlite3.connect(target, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")  # the whole file is synced before it gets its name
        library.copy_to(connection)
        connection.execute("PRAGMA journal_mode = DELETE")  # one file, with no log beside it
        complaint = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if complaint != "ok":
        raise DamagedLibraryError(f"The library {library.path} is damaged ({complaint}).")


def _rotate(existing: list[Backup], made: Backup) -> None:
    """Delete what rotation does not keep, but none that holds more labels than the new one."""
    keep = kept([*existing, made])
    labels = _count_labels(made.path)
    for backup in existing:
        if backup.number not in keep and _count_labels(backup.path) <= labels:
            backup.path.unlink()
        elif backup is existing[-1]:
            _leave_out_features(backup.path)


def _count_labels(path: Path) -> int:
    """Entries of the label history in a backup; none where it is damaged."""
    with suppress(sqlite3.Error), closing(_immutable(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM label").fetchone()[0])
    return 0


def _leave_out_features(path: Path) -> None:
    temp = path.with_name(_temp_name())
    try:
        shutil.copyfile(path, temp)
        with closing(sqlite3.connect(temp, isolation_level=None)) as connection:
            connection.execute("DELETE FROM features")
            connection.execute("DELETE FROM affect")
            connection.execute("VACUUM")
            if connection.execute("PRAGMA integrity_check(1)").fetchone()[0] != "ok":
                return
        sync_file(temp)
        temp.replace(path)
    except (OSError, sqlite3.Error) as error:  # it only takes more space
        _log.warning("the backup %s could not be made smaller: %s", path, error)
    finally:
        _discard(temp)


def _immutable(path: Path) -> sqlite3.Connection:
    """A database that nobody changes, opened without leaving anything beside it."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)


def _absence(path: Path, backups: Path) -> str | None:
    """What to say of a library that is gone or empty, although there was one."""
    if path.exists() and path.stat().st_size:
        return None
    log = Path(f"{path}-wal")
    there_was_one = bool(backups_in(backups)) or (log.exists() and log.stat().st_size > 0)
    return ("it is empty" if path.exists() else "it is gone") if there_was_one else None


def _opened(path: Path, mounts: MountTable | None, *, thorough: bool) -> Library:
    library = Library.open(path, mounts=mounts)
    try:
        if thorough:
            library.check(thorough=True)
        elif path.stat().st_size > CHECKED_WHEN_OPENED:
            library.check_tables(_PRECIOUS)
        library.labels()  # no check of SQLite's looks into texts
    except BaseException:
        library.close()
        raise
    return library


def _head_complaint(path: Path) -> str | None:
    """What is wrong in the file's first page, for which SQLite has no word or the wrong one; None if nothing is."""
    with path.open("rb") as file:
        head = file.read(100)
    versions, fractions = head[18:20], head[21:24]
    numbers = [int.from_bytes(head[at : at + 4], "big") for at in (44, 56)]
    if not (
        set(versions) <= {1, 2} and fractions == bytes((64, 32, 32)) and numbers[0] <= 4 and numbers[1] <= 3
    ):
        return "its header is garbled"
    try:
        with closing(_immutable(path)) as connection:
            tables, version = _tables(connection), version_of(connection)
            ours = connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    except sqlite3.OperationalError as error:
        return str(error) if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_ERROR else None
    except sqlite3.DatabaseError as error:
        return str(error)
    known = list(_known_tables())
    if tables in known and not (ours and version == known.index(tables) + 1):
        return "its header doesn't fit its tables"
    return None


def _tables(connection: sqlite3.Connection) -> list[Any]:
    return connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()


def _known_tables() -> Iterator[list[Any]]:
    """The tables of each version."""
    for version in range(1, len(MIGRATIONS) + 1):
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
            migrate(connection, MIGRATIONS[:version])
            yield _tables(connection)


def _recover(path: Path, folder: Path, complaint: str) -> Recovery:
    found = salvage(path) if path.exists() else Salvage()
    backup = next((each for each in reversed(backups_in(folder)) if _is_sound(each.path)), None)
    temp = path.with_name(_temp_name())
    try:
        if backup is not None:
            shutil.copyfile(backup.path, temp)
        with closing(sqlite3.connect(temp, isolation_level=None)) as connection:
            migrate(connection)
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("BEGIN IMMEDIATE")
            labels = _labels(connection)
            added = _add_labels(connection, labels, found)
            places, lost_places = _add_places(connection, found)
            connection.execute(
                "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (RECOVERED, time.time_ns())
            )
            connection.execute("COMMIT")
            highest = max((number for number, _ in (*labels, *found.labels)), default=0)
            if found.last_label <= 2 * highest + _PLAUSIBLE:
                highest = max(highest, found.last_label)
            in_all = int(connection.execute("SELECT count(*) FROM label").fetchone()[0])
            if connection.execute("PRAGMA integrity_check(1)").fetchone()[0] != "ok":
                raise LibraryError(f"{complaint} No sound one could be made; please report this.")
        sync_file(temp)
        temp.replace(_rebuilt(path))
        sync_folder(path.parent)
    finally:
        _discard(temp)
    return Recovery(
        complaint=complaint,
        set_aside=_put_in_place(path),
        backup=backup,
        labels_of_backup=len(labels),
        labels_salvaged=added,
        labels_lost=max(0, highest - in_all),
        place_events_salvaged=places,
        place_events_lost=lost_places,
    )


def _is_sound(path: Path) -> bool:
    try:
        with closing(_immutable(path)) as connection:
            is_ours = connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
            is_known = 0 < version_of(connection) <= len(MIGRATIONS)
            complaint = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            _labels(connection)
    except (sqlite3.Error, UnicodeDecodeError):
        return False
    return is_ours and is_known and complaint == "ok"


def _labels(connection: sqlite3.Connection) -> list[tuple[int, LabelRow]]:
    rows = connection.execute(
        "SELECT arrival, audio_id, zone, origin, source, time_ns FROM label ORDER BY arrival"
    )
    return [(number, LabelRow(*row)) for number, *row in rows]


def _place_events(connection: sqlite3.Connection) -> list[tuple[int, PlaceRow]]:
    rows = connection.execute(
        """
        SELECT arrival, collection, volume, path, field, kind, value, ours, edited_ns, time_ns
        FROM place_event ORDER BY arrival
        """
    )
    return [(number, PlaceRow(*row)) for number, *row in rows]


def _lacking(
    there: Iterable[tuple[int, _Row]],
    found: Iterable[tuple[int, _Row]],
    alike: Callable[[_Row, _Row], bool],
) -> Iterator[tuple[int, _Row]]:
    """Entries that were found and aren't there, in order, with a number for each: its own where that is free.

    Numbers are never given twice, so an entry of a number that is there is the same one, perhaps damaged, if it is at
    all like it; if it is not, it comes from another library, or its number is damaged.
    """
    numbered = defaultdict(list)
    for number, row in there:
        numbered[number].append(row)
    last = max(numbered, default=0)
    unmatched = Counter(row for rows in numbered.values() for row in rows)
    candidates = []
    for number, row in sorted(found, key=lambda entry: entry[0]):
        same = next((other for other in numbered[number] if alike(other, row)), None)
        if same is None:
            numbered[number].append(row)
            candidates.append((number, row))
        elif unmatched[same]:
            unmatched[same] -= 1
    for number, row in candidates:
        if unmatched[row]:
            unmatched[row] -= 1
            continue
        last = max(number, last + 1)
        yield last, row


def _add_labels(connection: sqlite3.Connection, there: Iterable[tuple[int, LabelRow]], found: Salvage) -> int:
    def alike(one: LabelRow, other: LabelRow) -> bool:
        return one.time_ns == other.time_ns or one.audio_id == other.audio_id

    count = 0
    for number, row in _lacking(there, found.labels, alike):
        connection.execute("INSERT INTO track (audio_id) VALUES (?) ON CONFLICT DO NOTHING", (row.audio_id,))
        connection.execute(
            "INSERT INTO label (arrival, audio_id, zone, origin, source, time_ns) VALUES (?, ?, ?, ?, ?, ?)",
            (number, *row),
        )
        count += 1
    return count


def _add_places(connection: sqlite3.Connection, found: Salvage) -> tuple[int, int]:
    """How many entries were added, and how many could not be, for want of their collection or volume."""

    def alike(one: PlaceRow, other: PlaceRow) -> bool:
        return one.time_ns == other.time_ns or one.path == other.path

    count = lost = 0
    for number, row in _lacking(_place_events(connection), found.place_events, alike):
        collection, volume = found.collections.get(row.collection), found.volumes.get(row.volume)
        if collection is None or volume is None:
            lost += 1
            continue
        connection.execute(
            "INSERT INTO collection (target, path) VALUES (?, ?) ON CONFLICT DO NOTHING", collection
        )
        connection.execute(
            "INSERT INTO volume (uid, mount, root) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", volume
        )
        connection.execute(
            """
            INSERT INTO place_event
            (arrival, collection, volume, path, field, kind, value, ours, edited_ns, time_ns)
            VALUES (?, (SELECT id FROM collection WHERE target = ? AND path = ?),
                    (SELECT id FROM volume WHERE uid = ?), ?, ?, ?, ?, ?, ?, ?)
            """,
            (number, *collection, volume[0], *row[2:]),
        )
        count += 1
    return count, lost


def _rebuilt(path: Path) -> Path:
    return Path(f"{path}.rebuilt")


def _finish(path: Path) -> None:
    """Put in its place what one who was killed had rebuilt; or begin anew, if the damaged file is there still."""
    if _rebuilt(path).exists():
        if path.exists():
            _rebuilt(path).unlink()
        else:
            _put_in_place(path)


def _put_in_place(path: Path) -> Path | None:
    """Set the damaged file and those beside it aside, the file first, and give the rebuilt one its name."""
    aside = _free_name(path)
    was_there = path.exists()
    for end in _ENDS:
        with suppress(FileNotFoundError):
            Path(f"{path}{end}").rename(f"{aside}{end}")
    _rebuilt(path).rename(path)
    sync_folder(path.parent)
    return aside if was_there else None


def _free_name(path: Path) -> Path:
    number = 1
    while True:
        name = path.with_name(f"{path.stem} damaged {number}{path.suffix}")
        if not any(Path(f"{name}{end}").exists() for end in _ENDS):
            return name
        number += 1
