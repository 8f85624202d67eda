"""The rows of rekordbox's ``master.db`` that tell and hold zones.

========================================  =====================================================================
``djmdContent``                           a track: ``FolderPath``, ``Commnt``, ``ColorID``
``djmdPlaylist``, ``djmdMyTag``           a shelf: ``Attribute`` 1 for folders and categories, 0 for lists and tags;
                                          ``ParentID`` is ``root`` at the top, ``Seq`` the order among siblings
``djmdSongPlaylist``, ``djmdSongMyTag``   a track on a shelf, ``TrackNo`` its position from 1
``agentRegistry``                         ``localUpdateCount``: the number of changes so far
``djmdProperty``                          ``DBVersion``, 6000 in rekordbox 6
========================================  =====================================================================

Each change counts ``localUpdateCount`` up, and the row keeps that count as its ``rb_local_usn``. IDs of shelves are
random numbers below 2^28, all others random UUIDs, times UTC to the millisecond. No table declares foreign keys.
Seen in a database of rekordbox 6.6.2, and in how pyrekordbox 0.5 writes. rekordbox keeps rows that were deleted for
its cloud, with ``rb_local_deleted``: they count as gone.
"""

from __future__ import annotations

import secrets
import sqlite3
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from exporters.base import comparable
from exporters.lists import FOLDER, LISTS, joined_lists, split_lists
from moodzone_agent.errors import CollectionError

NO_COLOUR: Final = "0"

_KNOWN_MAJORS: Final = (6, 7)
_COLUMNS_OF_REKORDBOX: Final = frozenset("1234")
"""IDs of the My Tag categories that rekordbox makes itself; users rename them, and they stay."""
_FIRST_ID: Final = 100
_LAST_ID: Final = 2**28


@dataclass(frozen=True, slots=True)
class Track:
    """A row of ``djmdContent`` that names a file of this machine."""

    id: str
    path: Path
    comment: str
    colour: str
    """``ColorID``; empty for none."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """A kind of lists: the table of them, the table of what they hold, and its column that names the list."""

    table: str
    songs: str
    column: str


PLAYLISTS: Final = Shelf("djmdPlaylist", "djmdSongPlaylist", "PlaylistID")
MY_TAGS: Final = Shelf("djmdMyTag", "djmdSongMyTag", "MyTagID")


@dataclass(frozen=True, slots=True)
class ListRow:
    """A playlist or folder as ``masterPlaylists6.xml`` has to name it."""

    id: int
    parent: int
    """0 at the top."""
    attribute: int
    updated: datetime


@dataclass(frozen=True, slots=True)
class ListPlace:
    """What a track's playlists and My Tags say."""

    value: str = ""
    stale: str = ""
    """What the one of the two still says that was left behind by an edit of the other."""


@dataclass(frozen=True, slots=True)
class _Membership:
    names: frozenset[str]
    newest: datetime | None
    """When the newest of them was made; None where that cannot be told."""


_NOWHERE: Final = _Membership(frozenset(), None)


def version_of(connection: sqlite3.Connection) -> str:
    """The version of the database. Raises CollectionError for one that is unknown."""
    row = connection.execute("SELECT DBVersion FROM djmdProperty").fetchone()
    version = str(row[0]) if row else ""
    if not version.isdecimal() or int(version) // 1000 not in _KNOWN_MAJORS:
        raise CollectionError(
            f"Version {version or '(none)'} of rekordbox's database is unknown here; nothing was read or written. "
            "Look for a newer MoodZone."
        )
    return version


def tracks_of(connection: sqlite3.Connection) -> dict[str, Track]:
    """The tracks by comparable path; not those that stream, were deleted, or cannot be on this machine."""
    found: dict[str, Track] = {}
    for row in connection.execute(
        "SELECT ID, FolderPath, Commnt, ColorID FROM djmdContent "
        "WHERE NOT coalesce(rb_local_deleted, 0) AND NOT coalesce(ServiceID, 0) ORDER BY rowid"
    ):
        path = Path(row["FolderPath"] or "")
        if path.is_absolute():
            colour = row["ColorID"] or NO_COLOUR
            track = Track(row["ID"], path, row["Commnt"] or "", "" if colour == NO_COLOUR else colour)
            found.setdefault(comparable(path), track)
    return found


def lists_of(connection: sqlite3.Connection) -> dict[str, ListPlace]:
    """Each track's list place, by the track's ID.

    Playlists and My Tags are written alike. Where they differ, one was edited: the one whose newest row is newer
    tells, and one without any does not. Where that can't be told, both do, and contradict each other.
    """
    in_lists, in_tags = (_memberships(connection, shelf) for shelf in (PLAYLISTS, MY_TAGS))
    return {
        song: _list_place(in_lists.get(song, _NOWHERE), in_tags.get(song, _NOWHERE))
        for song in in_lists.keys() | in_tags.keys()
    }


def has_folder(connection: sqlite3.Connection, shelf: Shelf) -> bool:
    """Whether there is a folder or category of our name."""
    return _folder(connection, shelf) is not None


def playlists_of_ours(connection: sqlite3.Connection) -> list[ListRow]:
    """Our folder and playlists, the folder first."""
    folder = _folder(connection, PLAYLISTS)
    ids = [] if folder is None else [folder, *_lists(connection, PLAYLISTS, folder).values()]
    rows = []
    for id_ in ids:
        row = connection.execute("SELECT * FROM djmdPlaylist WHERE ID = ?", (id_,)).fetchone()
        parent = 0 if row["ParentID"] == "root" else int(row["ParentID"])
        rows.append(
            ListRow(int(id_), parent, row["Attribute"], _moment(row["updated_at"]) or datetime.now(UTC))
        )
    return rows


class RowWriter:
    """Changes rows inside a transaction, and counts the changes as rekordbox does."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._now = datetime.now(UTC).isoformat(" ", "milliseconds").replace("+", " +")
        self.removed: list[int] = []
        """IDs of playlists and folders that were left empty, and went."""

    def set_comment(self, track: Track, text: str) -> None:
        """Give a track another comment."""
        self._update("djmdContent", track.id, "Commnt", text)

    def set_colour(self, track: Track, colour: str) -> None:
        """Give a track another colour, or none."""
        self._update("djmdContent", track.id, "ColorID", colour or NO_COLOUR)

    def put_in_lists(self, shelf: Shelf, wanted: Mapping[str, str]) -> None:
        """Put tracks, by their IDs, into those of our lists that a value names, and take them out of all others.

        Lists are made where they are missing; one that is left empty goes, and so does the folder.
        """
        folder = _folder(self._connection, shelf)
        if folder is None:
            if not any(wanted.values()):
                return
            folder = self._add_list(shelf, FOLDER, "root", attribute=1)
        has_emptied = False
        for name in LISTS:
            inside = [song for song, value in wanted.items() if name in split_lists(value)]
            has_emptied |= self._fill(shelf, folder, name, inside, wanted.keys() - set(inside))
        if not has_emptied or folder in _COLUMNS_OF_REKORDBOX:
            return
        if not self._count(shelf.table, "ParentID", folder):
            self._remove_list(shelf, folder)

    def _fill(
        self, shelf: Shelf, folder: str, name: str, inside: Iterable[str], outside: Iterable[str]
    ) -> bool:
        """Put tracks into one list and take others out; returns whether the list was left empty and went."""
        list_id = _lists(self._connection, shelf, folder).get(name)
        held = self._held(shelf, list_id) if list_id else {}
        taken = [row for song in outside for row in held.get(song, ())]
        added = [song for song in inside if song not in held]
        if added and list_id is None:
            list_id = self._add_list(shelf, name, folder, attribute=0)
        if list_id is None:
            return False
        if taken:
            self._take_out(shelf, list_id, taken)
        for position, song in enumerate(added, self._count(shelf.songs, shelf.column, list_id) + 1):
            self._add_song(shelf, list_id, song, position)
        is_empty = bool(taken) and not self._count(shelf.songs, shelf.column, list_id)
        if is_empty:
            self._remove_list(shelf, list_id)
        return is_empty

    def _held(self, shelf: Shelf, list_id: str) -> dict[str, list[str]]:
        """The tracks of a list, and the IDs of the rows that put each there; playlists may hold one twice."""
        rows = self._connection.execute(
            f"SELECT ContentID, ID FROM {shelf.songs} WHERE {shelf.column} = ? AND NOT coalesce(rb_local_deleted, 0)",
            (list_id,),
        )
        held: dict[str, list[str]] = {}
        for row in rows:
            held.setdefault(row["ContentID"], []).append(row["ID"])
        return held

    def _take_out(self, shelf: Shelf, list_id: str, songs: Iterable[str]) -> None:
        """Delete rows by their IDs, and close the gaps in the positions of those that stay, as one change."""
        for song in songs:
            self._connection.execute(f"DELETE FROM {shelf.songs} WHERE ID = ?", (song,))
            self._count_change()
        left = self._connection.execute(
            f"SELECT ID, TrackNo FROM {shelf.songs} WHERE {shelf.column} = ? AND NOT coalesce(rb_local_deleted, 0) "
            "ORDER BY TrackNo, rowid",
            (list_id,),
        ).fetchall()
        moved = [(number, row["ID"]) for number, row in enumerate(left, 1) if row["TrackNo"] != number]
        count = self._count_change() if moved else 0
        self._connection.executemany(
            f"UPDATE {shelf.songs} SET TrackNo = ?, rb_local_usn = ?, updated_at = ? WHERE ID = ?",
            [(number, count, self._now, id_) for number, id_ in moved],
        )

    def _add_song(self, shelf: Shelf, list_id: str, song: str, position: int) -> None:
        values: dict[str, str | int] = {"ID": str(uuid.uuid4()), "ContentID": song, "TrackNo": position}
        self._insert(shelf.songs, {**values, shelf.column: list_id})

    def _add_list(self, shelf: Shelf, name: str, parent: str, *, attribute: int) -> str:
        """Make a list or folder, the last among its siblings."""
        last = self._connection.execute(
            f"SELECT coalesce(max(Seq), 0) FROM {shelf.table} WHERE ParentID = ?", (parent,)
        ).fetchone()[0]
        new = self._unused_id(shelf.table)
        values: dict[str, str | int] = {"ID": new, "Seq": last + 1, "Name": name}
        self._insert(shelf.table, {**values, "Attribute": attribute, "ParentID": parent})
        return new

    def _remove_list(self, shelf: Shelf, list_id: str) -> None:
        self._connection.execute(f"DELETE FROM {shelf.table} WHERE ID = ?", (list_id,))
        self._count_change()
        if shelf is PLAYLISTS:
            self.removed.append(int(list_id))

    def _unused_id(self, table: str) -> str:
        while True:
            new = str(_FIRST_ID + secrets.randbelow(_LAST_ID - _FIRST_ID))
            if not self._connection.execute(f"SELECT 1 FROM {table} WHERE ID = ?", (new,)).fetchone():
                return new

    def _count(self, table: str, column: str, value: str) -> int:
        found = self._connection.execute(
            f"SELECT count(*) FROM {table} WHERE {column} = ? AND NOT coalesce(rb_local_deleted, 0)", (value,)
        )
        return int(found.fetchone()[0])

    def _insert(self, table: str, values: Mapping[str, str | int]) -> None:
        count = self._count_change()
        row = {
            **values,
            "UUID": str(uuid.uuid4()),
            "rb_local_usn": count,
            "created_at": self._now,
            "updated_at": self._now,
        }
        self._connection.execute(
            f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
            tuple(row.values()),
        )

    def _update(self, table: str, row: str, column: str, value: str) -> None:
        self._connection.execute(
            f"UPDATE {table} SET {column} = ?, rb_local_usn = ?, updated_at = ? WHERE ID = ?",
            (value, self._count_change(), self._now, row),
        )

    def _count_change(self) -> int:
        """Count one change. Raises CollectionError where rekordbox has no count."""
        is_counter = "registry_id = 'localUpdateCount'"
        self._connection.execute(f"UPDATE agentRegistry SET int_1 = int_1 + 1 WHERE {is_counter}")
        row = self._connection.execute(f"SELECT int_1 FROM agentRegistry WHERE {is_counter}").fetchone()
        if row is None or row[0] is None:
            raise CollectionError(
                "rekordbox's database does not count its changes yet: start and close rekordbox, then run this again."
            )
        return int(row[0])


def _list_place(lists: _Membership, tags: _Membership) -> ListPlace:
    if not lists.names or not tags.names or lists.names == tags.names:
        return ListPlace(joined_lists(lists.names | tags.names))
    if lists.newest is None or tags.newest is None or lists.newest == tags.newest:
        return ListPlace(joined_lists(lists.names | tags.names))
    newer, older = (lists, tags) if lists.newest > tags.newest else (tags, lists)
    return ListPlace(joined_lists(newer.names), joined_lists(older.names))


def _memberships(connection: sqlite3.Connection, shelf: Shelf) -> dict[str, _Membership]:
    """Which of our lists hold each track, by its ID."""
    folder = _folder(connection, shelf)
    found: dict[str, dict[str, datetime | None]] = {}
    for name, list_id in _lists(connection, shelf, folder).items() if folder is not None else ():
        for row in connection.execute(
            f"SELECT ContentID, created_at FROM {shelf.songs} WHERE {shelf.column} = ? "
            "AND NOT coalesce(rb_local_deleted, 0)",
            (list_id,),
        ):
            found.setdefault(row["ContentID"], {})[name] = _moment(row["created_at"])
    return {song: _Membership(frozenset(names), _newest(names.values())) for song, names in found.items()}


def _newest(moments: Iterable[datetime | None]) -> datetime | None:
    known = [moment for moment in moments if moment is not None]
    return max(known, default=None)


def _folder(connection: sqlite3.Connection, shelf: Shelf) -> str | None:
    """The ID of our folder or category."""
    row = connection.execute(
        f"SELECT ID FROM {shelf.table} WHERE ParentID = 'root' AND Attribute = 1 AND Name = ? "
        "AND NOT coalesce(rb_local_deleted, 0) ORDER BY Seq",
        (FOLDER,),
    ).fetchone()
    return row["ID"] if row else None


def _lists(connection: sqlite3.Connection, shelf: Shelf, folder: str) -> dict[str, str]:
    """The IDs of our lists, by their names, in our order."""
    rows = connection.execute(
        f"SELECT ID, Name FROM {shelf.table} WHERE ParentID = ? AND Attribute = 0 "
        "AND NOT coalesce(rb_local_deleted, 0) ORDER BY Seq DESC",
        (folder,),
    )
    ids = {row["Name"]: row["ID"] for row in rows}
    return {name: ids[name] for name in LISTS if name in ids}


def _moment(text: str | None) -> datetime | None:
    """A time as rekordbox writes it, such as ``2022-04-09 21:37:43.710 +00:00``, with or without a zone's name."""
    text = text or ""
    try:
        moment = datetime.fromisoformat(text[:23] + text[23:30].strip())
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
