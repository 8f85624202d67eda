"""Engine DJ's library of one drive, ``Engine Library/Database2/m.db``: a playlist a zone in the folder MoodZone.

A playlist holds tracks, other playlists, or both. Those of one parent (0 for the root) are a linked list by
``nextListId``, which Engine's own triggers keep when rows come and go. The tracks of a playlist are one by
``nextEntityId``; a trigger keeps that when rows go, who adds one joins it to the last. Both end in 0. ``Track.path``
is relative to the folder ``Engine Library``. Engine knows no colours of tracks, and comments come from the files:
they are only read. Sources: the schemas that Engine's triggers and constraints spell out, and libdjinterop.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from exporters.base import Change, Collection, Field, Machine, Target, comparable
from exporters.database import DatabaseCollection, Track
from exporters.lists import FOLDER, LISTS, joined_lists, moves
from exporters.programs import ENGINE
from moodzone_agent.errors import CollectionError

_LIBRARY: Final = "Engine Library"
_FILE: Final = Path("Database2", "m.db")
_VERSIONS: Final = ("2.21.0", "3.0.2")
_ROOT: Final = 0
_END: Final = 0


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Where a library is that MoodZone does not find by itself."""

    database: str = ""
    """An ``m.db``."""


class EngineCollection(DatabaseCollection):
    """The library of one drive."""

    target: ClassVar[str] = "engine"
    program = ENGINE
    is_store: ClassVar[bool] = True
    carries: ClassVar[frozenset[Field]] = frozenset({Field.LIST})

    def __init__(self, path: Path, machine: Machine) -> None:
        super().__init__(Path(os.path.abspath(path)))  # noqa: PTH100 (a link stays a link)
        self._machine = machine

    def holds(self, track: Path) -> bool:
        """Whether the track is on the library's drive: each drive has a library of its own."""
        return self._machine.volume_of(track) == self._machine.volume_of(self.path)

    def _version(self, connection: sqlite3.Connection) -> str:
        version = ".".join(
            str(part)
            for part in connection.execute(
                "SELECT schemaVersionMajor, schemaVersionMinor, schemaVersionPatch FROM Information ORDER BY id"
            ).fetchone()
            or ("unknown",)
        )
        if version not in _VERSIONS:
            raise CollectionError(
                f"{self.path} has schema {version}; MoodZone knows {' and '.join(_VERSIONS)} (Engine DJ 3.3 and 5.0): "
                "use one of these, or a MoodZone that knows it."
            )
        return f"schema {version}"

    def _tracks(self, connection: sqlite3.Connection) -> Iterator[Track]:
        lists: dict[int, list[str]] = {}
        for name, playlist in _playlists(connection).items():
            for row in connection.execute(
                "SELECT trackId FROM PlaylistEntity WHERE listId = ? AND databaseUuid = ?",
                (playlist, _uuid(connection)),
            ):
                lists.setdefault(row["trackId"], []).append(name)
        folder = self.path.parent.parent
        for row in connection.execute("SELECT id, path, comment FROM Track WHERE path <> ''"):
            path = Path(os.path.normpath(folder / row["path"]))
            values = {Field.LIST: joined_lists(lists.get(row["id"], ()))}
            yield Track(row["id"], path, str(row["comment"] or ""), values)

    def _lists(self, connection: sqlite3.Connection) -> list[str]:
        return [] if _playlist(connection, FOLDER, _ROOT) is None else [FOLDER, *_playlists(connection)]

    def _put(
        self, connection: sqlite3.Connection, tracks: Mapping[str, Track], changes: Sequence[Change]
    ) -> None:
        for name in LISTS:
            taken, added = (
                [tracks[comparable(want.path)].id for want in wants] for wants in moves(name, changes)
            )
            if added:  # before others leave, since a playlist that is left empty goes
                self._put_in(connection, _made(connection, name), added)
            if taken:
                self._take_out(connection, _playlists(connection)[name], taken)
        folder = _playlist(connection, FOLDER, _ROOT)
        if folder is not None:
            _remove_empty(connection, folder)
            self._expect_order(connection, "Playlist", "parentListId", "nextListId", folder)
        self._expect_order(connection, "Playlist", "parentListId", "nextListId", _ROOT)

    def _take_out(self, connection: sqlite3.Connection, playlist: int, tracks: Iterable[int]) -> None:
        """Take tracks out of a playlist; one that is left empty goes."""
        connection.executemany(
            "DELETE FROM PlaylistEntity WHERE listId = ? AND trackId = ? AND databaseUuid = ?",
            [(playlist, track, _uuid(connection)) for track in tracks],
        )
        self._expect_order(connection, "PlaylistEntity", "listId", "nextEntityId", playlist)
        _touch(connection, playlist)
        _remove_empty(connection, playlist)

    def _put_in(self, connection: sqlite3.Connection, playlist: int, tracks: Iterable[int]) -> None:
        """Put tracks at the end of a playlist."""
        for track in tracks:
            added = connection.execute(
                "INSERT INTO PlaylistEntity (listId, trackId, databaseUuid, nextEntityId, membershipReference)"
                " VALUES (?, ?, ?, ?, 0)",
                (playlist, track, _uuid(connection), _END),
            ).lastrowid
            connection.execute(
                "UPDATE PlaylistEntity SET nextEntityId = ? WHERE listId = ? AND nextEntityId = ? AND id <> ?",
                (added, playlist, _END, added),
            )
        self._expect_order(connection, "PlaylistEntity", "listId", "nextEntityId", playlist)
        _touch(connection, playlist)

    def _expect_order(
        self, connection: sqlite3.Connection, table: str, owner: str, following: str, number: int
    ) -> None:
        """Walk a linked list from its end. Raises CollectionError where it misses a row."""
        rows = connection.execute(
            f"SELECT id, {following} FROM {table} WHERE {owner} = ?", (number,)
        ).fetchall()
        before = {row[following]: row["id"] for row in rows}
        place, steps = before.get(_END), 0
        while place is not None and steps <= len(rows):
            place, steps = before.get(place), steps + 1
        if steps != len(rows):
            raise CollectionError(
                f"The playlists in {self.path} are out of order; nothing was written. Move one of them in Engine DJ, "
                "then run this again."
            )


def _uuid(connection: sqlite3.Connection) -> str:
    """How playlists name the database that a track is in: this one."""
    return str(connection.execute("SELECT uuid FROM Information ORDER BY id").fetchone()["uuid"])


def _playlist(connection: sqlite3.Connection, title: str, parent: int) -> int | None:
    row = connection.execute(
        "SELECT id FROM Playlist WHERE title = ? AND parentListId = ?", (title, parent)
    ).fetchone()
    return int(row["id"]) if row else None


def _playlists(connection: sqlite3.Connection) -> dict[str, int]:
    """Those of our playlists that are there, in our order."""
    folder = _playlist(connection, FOLDER, _ROOT)
    if folder is None:
        return {}
    found = {name: _playlist(connection, name, folder) for name in LISTS}
    return {name: playlist for name, playlist in found.items() if playlist is not None}


def _made(connection: sqlite3.Connection, name: str) -> int:
    """The playlist of ours with this name; made, before the next of ours, where it is missing."""
    there = _playlists(connection)
    if name in there:
        return there[name]
    folder = _playlist(connection, FOLDER, _ROOT)
    if folder is None:
        folder = _insert(connection, FOLDER, _ROOT, _END)
    later = LISTS[LISTS.index(name) + 1 :]
    following = next((there[other] for other in later if other in there), _END)
    return _insert(connection, name, folder, following)


def _insert(connection: sqlite3.Connection, title: str, parent: int, following: int) -> int:
    """Make a playlist. Engine's triggers join it to the one before."""
    connection.execute(
        "INSERT INTO Playlist (title, parentListId, isPersisted, nextListId, lastEditTime, isExplicitlyExported)"
        " VALUES (?, ?, 1, ?, datetime('now'), 1)",
        (title, parent, following),
    )
    made = _playlist(connection, title, parent)
    assert made is not None
    return made


def _touch(connection: sqlite3.Connection, playlist: int) -> None:
    connection.execute("UPDATE Playlist SET lastEditTime = datetime('now') WHERE id = ?", (playlist,))


def _remove_empty(connection: sqlite3.Connection, playlist: int) -> None:
    """Delete a playlist that holds neither tracks nor playlists. Engine's triggers join its neighbours."""
    connection.execute(
        "DELETE FROM Playlist WHERE id = :id"
        " AND NOT EXISTS (SELECT 1 FROM PlaylistEntity WHERE listId = :id)"
        " AND NOT EXISTS (SELECT 1 FROM Playlist WHERE parentListId = :id)",
        {"id": playlist},
    )


def _find(machine: Machine, settings: EngineSettings) -> list[Collection]:
    folders = (machine.music, machine.home / "Music", *machine.volumes)
    paths = [folder / _LIBRARY / _FILE for folder in folders]
    if settings.database:
        paths.insert(0, Path(settings.database).expanduser())
    return [EngineCollection(path, machine) for path in dict.fromkeys(paths) if path.is_file()]


def _open(path: Path, machine: Machine, _: EngineSettings) -> Collection:
    return EngineCollection(path / _FILE if path.is_dir() else path, machine)


TARGET: Final[Target[EngineSettings]] = Target(
    name=EngineCollection.target,
    shown_in="Engine DJ's library",
    carries=EngineCollection.carries,
    find=_find,
    open=_open,
    after=(
        "Engine DJ shows the playlists at its next start.",
        "A drive that was exported before shows them when you export or sync them to it again.",
    ),
    program=ENGINE,
)
