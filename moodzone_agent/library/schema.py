"""Tables of the library, as a list of migrations counted by SQLite's ``user_version``."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from moodzone_agent.errors import LibraryError

APPLICATION_ID: Final = 0x4D6F6F5A
"""``MooZ`` in the file's header, so that another program's database is never taken for ours."""

_VERSION_1: Final = f"""
PRAGMA application_id = {APPLICATION_ID};

-- A recording, whatever files hold it. What the last analysis told is NULL until there has been one.
CREATE TABLE track (
    audio_id TEXT NOT NULL PRIMARY KEY,
    duration REAL,
    tempo REAL,
    drops TEXT,                          -- JSON list of seconds
    warnings TEXT,                       -- JSON list of sentences
    analysed_ns INTEGER
) WITHOUT ROWID;

CREATE TABLE volume (
    id INTEGER PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE,
    mount BLOB NOT NULL,                 -- where it last appeared,
    root BLOB NOT NULL                   -- and what part of it
);

CREATE TABLE file (
    volume INTEGER NOT NULL REFERENCES volume,
    path BLOB NOT NULL,                  -- inside the volume
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('ok', 'failed', 'skipped', 'missing')),
    audio_id TEXT REFERENCES track,
    reason TEXT NOT NULL,
    tag_hash TEXT NOT NULL,
    tags_checked_ns INTEGER NOT NULL,
    artist TEXT NOT NULL,
    title TEXT NOT NULL,
    PRIMARY KEY (volume, path)
) WITHOUT ROWID;
CREATE INDEX file_by_audio ON file (audio_id);

-- Little-endian float32: one vector over the track, then a row as long for each window.
CREATE TABLE features (
    audio_id TEXT NOT NULL REFERENCES track,
    version INTEGER NOT NULL,
    track BLOB NOT NULL,
    windows BLOB NOT NULL,
    PRIMARY KEY (audio_id, version)
);

CREATE TABLE estimate (
    audio_id TEXT NOT NULL PRIMARY KEY REFERENCES track,
    zone TEXT NOT NULL CHECK (zone IN ('YELLOW', 'GREEN', 'PURPLE')),
    yellow REAL NOT NULL,
    green REAL NOT NULL,
    purple REAL NOT NULL,
    arousal REAL NOT NULL,
    valence REAL NOT NULL,
    sure INTEGER NOT NULL,
    model TEXT NOT NULL,
    made_ns INTEGER NOT NULL,
    ribbon BLOB NOT NULL                 -- zlib of pairs of bytes: rank of the zone, arousal
);

-- The history of what the user said, in order of arrival. A NULL zone takes the label back.
CREATE TABLE label (
    arrival INTEGER PRIMARY KEY AUTOINCREMENT,
    audio_id TEXT NOT NULL REFERENCES track,
    zone TEXT CHECK (zone IN ('YELLOW', 'GREEN', 'PURPLE')),
    origin TEXT NOT NULL CHECK (origin IN ('asked', 'confirmed', 'corrected', 'imported')),
    source TEXT NOT NULL,
    time_ns INTEGER NOT NULL
);
CREATE INDEX label_by_audio ON label (audio_id, arrival);
CREATE TRIGGER label_is_never_changed BEFORE UPDATE ON label
BEGIN
    SELECT RAISE(ABORT, 'labels are never changed');
END;
CREATE TRIGGER label_is_never_deleted BEFORE DELETE ON label
BEGIN
    SELECT RAISE(ABORT, 'labels are never deleted');
END;
CREATE VIEW last_label AS
    SELECT * FROM label AS said
    WHERE arrival = (SELECT max(arrival) FROM label WHERE label.audio_id = said.audio_id);

-- Files that were undone: not written again until asked. The audio id finds them after a move.
CREATE TABLE held (
    volume INTEGER NOT NULL REFERENCES volume,
    path BLOB NOT NULL,
    audio_id TEXT,
    run TEXT NOT NULL,
    since_ns INTEGER NOT NULL,
    PRIMARY KEY (volume, path)
) WITHOUT ROWID;
CREATE INDEX held_by_audio ON held (audio_id);

CREATE TABLE run (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL,                -- JSON object
    started_ns INTEGER NOT NULL,
    finished_ns INTEGER,
    counts TEXT NOT NULL DEFAULT '{{}}'    -- JSON object
);

CREATE TABLE meta (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
"""

# Labels may be weak. SQLite can't change a CHECK, so the table is made anew; dropping the old one takes its index
# and triggers with it.
_VERSION_2: Final = """
DROP VIEW last_label;
CREATE TABLE new_label (
    arrival INTEGER PRIMARY KEY AUTOINCREMENT,
    audio_id TEXT NOT NULL REFERENCES track,
    zone TEXT CHECK (zone IN ('YELLOW', 'GREEN', 'PURPLE')),
    origin TEXT NOT NULL CHECK (origin IN ('asked', 'confirmed', 'corrected', 'imported', 'weak')),
    source TEXT NOT NULL,
    time_ns INTEGER NOT NULL
);
INSERT INTO new_label (arrival, audio_id, zone, origin, source, time_ns)
    SELECT arrival, audio_id, zone, origin, source, time_ns FROM label ORDER BY arrival;
DROP TABLE label;
ALTER TABLE new_label RENAME TO label;
CREATE INDEX label_by_audio ON label (audio_id, arrival);
CREATE TRIGGER label_is_never_changed BEFORE UPDATE ON label
BEGIN
    SELECT RAISE(ABORT, 'labels are never changed');
END;
CREATE TRIGGER label_is_never_deleted BEFORE DELETE ON label
BEGIN
    SELECT RAISE(ABORT, 'labels are never deleted');
END;
CREATE VIEW last_label AS
    SELECT * FROM label AS said
    WHERE arrival = (SELECT max(arrival) FROM label WHERE label.audio_id = said.audio_id);
"""

_VERSION_3: Final = """
-- What zones were written to besides tags: an XML file, a folder of crates, a database.
CREATE TABLE collection (
    id INTEGER PRIMARY KEY,
    target TEXT NOT NULL,
    path BLOB NOT NULL,
    UNIQUE (target, path)
);

-- The history of each place of a collection that can hold a zone, in order of arrival. What was first seen in one
-- that we had not written yet is what the user had there before.
CREATE TABLE place_event (
    arrival INTEGER PRIMARY KEY AUTOINCREMENT,
    collection INTEGER NOT NULL REFERENCES collection,
    volume INTEGER NOT NULL REFERENCES volume,
    path BLOB NOT NULL,                  -- of the track's file, inside the volume
    field TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('seen', 'planned', 'wrote', 'undone')),
    value TEXT NOT NULL,
    ours TEXT NOT NULL,                  -- what of the value is ours: a token, a colour, a list
    edited_ns INTEGER,                   -- when it was put there, where the program records that
    time_ns INTEGER NOT NULL
);
CREATE INDEX place_event_by_place ON place_event (collection, volume, path, field, arrival);
"""

_VERSION_4: Final = """
-- What looks like the user's corrections, in order of arrival, and what became of each.
CREATE TABLE correction (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    audio_id TEXT NOT NULL,
    zone TEXT CHECK (zone IN ('YELLOW', 'GREEN', 'PURPLE')),
    verdict TEXT NOT NULL,
    collection INTEGER NOT NULL REFERENCES collection,
    volume INTEGER NOT NULL REFERENCES volume,
    path BLOB NOT NULL,                  -- of the track's file, inside the volume
    field TEXT NOT NULL,
    value TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('resting', 'held', 'taken', 'rejected', 'withdrawn')),
    why TEXT NOT NULL,
    after_ns INTEGER NOT NULL,
    until_ns INTEGER NOT NULL,
    found_ns INTEGER NOT NULL,
    settled_ns INTEGER,
    over INTEGER NOT NULL DEFAULT 0      -- the place showed something else since
);
CREATE INDEX correction_by_state ON correction (state);
CREATE INDEX correction_by_place ON correction (collection, volume, path, field);
"""

_VERSION_5: Final = """
-- Our own field in a file's tags when they were last read; NULL where that was never noted.
ALTER TABLE file ADD COLUMN mark TEXT;
"""

_VERSION_6: Final = """
-- What a bundle's first graph made of a recording's windows: it stays the same while a user's heads come and go.
CREATE TABLE affect (
    audio_id TEXT NOT NULL PRIMARY KEY REFERENCES track,
    graph TEXT NOT NULL,                 -- its hash
    windows BLOB NOT NULL                -- little-endian float32: arousal and valence of each
);
"""

_VERSION_7: Final = """
-- The last entry of the label history when the correction was found; NULL where that was never noted.
ALTER TABLE correction ADD COLUMN label_arrival INTEGER;

-- What stands in a place may be accepted as the user's word. SQLite can't change a CHECK.
CREATE TABLE new_place_event (
    arrival INTEGER PRIMARY KEY AUTOINCREMENT,
    collection INTEGER NOT NULL REFERENCES collection,
    volume INTEGER NOT NULL REFERENCES volume,
    path BLOB NOT NULL,                  -- of the track's file, inside the volume
    field TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('seen', 'planned', 'wrote', 'accepted', 'undone')),
    value TEXT NOT NULL,
    ours TEXT NOT NULL,                  -- what of the value is ours: a token, a colour, a list
    edited_ns INTEGER,                   -- when it was put there, where the program records that
    time_ns INTEGER NOT NULL
);
INSERT INTO new_place_event SELECT * FROM place_event ORDER BY arrival;
DROP TABLE place_event;
ALTER TABLE new_place_event RENAME TO place_event;
CREATE INDEX place_event_by_place ON place_event (collection, volume, path, field, arrival);
"""

MIGRATIONS: Final[tuple[str, ...]] = (
    *(_VERSION_1, _VERSION_2, _VERSION_3),
    *(_VERSION_4, _VERSION_5, _VERSION_6),
    _VERSION_7,
)
"""The script at index ``n`` leads from version ``n`` to ``n + 1``. A released script is never edited."""


def version_of(connection: sqlite3.Connection) -> int:
    """The version of the tables; 0 for a new file."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Bring the tables up to the newest version, each step in a transaction of its own.

    ``connection`` must be in autocommit mode with foreign keys off, so that a script may rebuild a table.
    Raises LibraryError, and changes nothing, where the file was made by a newer MoodZone or another program.
    """
    _check_origin(connection, len(migrations))
    while version_of(connection) < len(migrations):
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = version_of(connection)  # another process may have been faster
            if version < len(migrations):
                _apply(connection, migrations[version], version + 1)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _check_origin(connection: sqlite3.Connection, newest: int) -> None:
    version = version_of(connection)
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if (version or tables) and application != APPLICATION_ID:
        raise LibraryError("It is the database of another program: give MoodZone a place of its own.")
    if version > newest:
        raise LibraryError(
            f"It was made by a newer MoodZone (version {version}; this one knows {newest}): update MoodZone."
        )


def _apply(connection: sqlite3.Connection, script: str, version: int) -> None:
    statement = ""
    for line in script.splitlines(keepends=True):  # executescript would commit the open transaction
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""
    if connection.execute("PRAGMA foreign_key_check").fetchone():
        raise LibraryError(
            f"Its tables do not fit version {version}; nothing was changed. Please report this."
        )
    connection.execute(f"PRAGMA user_version = {version}")
