from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from moodzone_agent.errors import LibraryError
from moodzone_agent.library.schema import MIGRATIONS, migrate, version_of
from moodzone_agent.library.store import Library

SECOND = """
ALTER TABLE run ADD COLUMN note TEXT NOT NULL DEFAULT 'none; yet';
CREATE TRIGGER run_is_numbered AFTER INSERT ON run
BEGIN
    UPDATE run SET note = 'number ' || NEW.id WHERE id = NEW.id;
END;
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A library of version 1 with something in it."""
    path = tmp_path / "library.sqlite"
    with Library.open(path) as library:
        library.start_run("scan")
    return path


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None)
    yield connection
    connection.close()


def test_new_library_has_the_newest_version(connection: sqlite3.Connection) -> None:
    assert version_of(connection) == len(MIGRATIONS)


def test_migrating_twice_changes_nothing(connection: sqlite3.Connection) -> None:
    before = list(connection.iterdump())
    migrate(connection)
    assert list(connection.iterdump()) == before


def test_second_migration_keeps_the_rows(connection: sqlite3.Connection) -> None:
    migrate(connection, (*MIGRATIONS, SECOND))
    connection.execute("INSERT INTO run (kind, detail, started_ns) VALUES ('write', '{}', 0)")
    assert version_of(connection) == len(MIGRATIONS) + 1
    assert connection.execute("SELECT kind, note FROM run").fetchall() == [
        ("scan", "none; yet"),
        ("write", "number 2"),
    ]


@pytest.mark.parametrize(
    "broken",
    [
        SECOND + "INSERT INTO nowhere VALUES (1);",
        SECOND + "INSERT INTO file VALUES (9, x'61', 0, 0, 0, 'ok', NULL, '', '', 0, '', '');",
    ],
)
def test_migration_that_fails_changes_nothing(connection: sqlite3.Connection, broken: str) -> None:
    before = list(connection.iterdump())
    with pytest.raises((sqlite3.OperationalError, LibraryError)):
        migrate(connection, (*MIGRATIONS, broken))
    assert version_of(connection) == len(MIGRATIONS)
    assert list(connection.iterdump()) == before


@pytest.fixture
def first_version(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A library of version 1 in which two labels were given and one of them taken back."""
    connection = sqlite3.connect(tmp_path / "first.sqlite", isolation_level=None)
    migrate(connection, MIGRATIONS[:1])
    connection.execute("INSERT INTO track (audio_id) VALUES ('a'), ('b')")
    connection.execute(
        """
        INSERT INTO label (audio_id, zone, origin, source, time_ns) VALUES
        ('a', 'PURPLE', 'asked', 'cli', 7), ('b', 'GREEN', 'imported', 'tags', 8), ('a', NULL, 'corrected', 'cli', 9)
        """
    )
    yield connection
    connection.close()


def test_labels_of_the_first_version_stay(first_version: sqlite3.Connection) -> None:
    history, last = (f"SELECT * FROM {table} ORDER BY arrival" for table in ("label", "last_label"))
    before = first_version.execute(history).fetchall(), first_version.execute(last).fetchall()
    assert [len(rows) for rows in before] == [3, 2]
    migrate(first_version)
    assert (first_version.execute(history).fetchall(), first_version.execute(last).fetchall()) == before


def test_labels_of_the_first_version_stay_protected_and_go_on(first_version: sqlite3.Connection) -> None:
    migrate(first_version)
    give = "INSERT INTO label (audio_id, zone, origin, source, time_ns) VALUES ('b', 'YELLOW', ?, 'cli', 10)"
    first_version.execute(give, ("weak",))
    assert first_version.execute("SELECT max(arrival) FROM label").fetchone() == (4,)
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        first_version.execute(give, ("guessed",))
    for statement in ("UPDATE label SET zone = 'GREEN'", "DELETE FROM label"):
        with pytest.raises(sqlite3.IntegrityError, match="labels are never"):
            first_version.execute(statement)
    plan = str(first_version.execute("EXPLAIN QUERY PLAN SELECT * FROM last_label").fetchall())
    assert "label_by_audio" in plan


def test_library_of_a_newer_program_is_refused_and_left_alone(
    connection: sqlite3.Connection, path: Path
) -> None:
    migrate(connection, (*MIGRATIONS, SECOND))
    connection.close()
    before = path.read_bytes()
    with pytest.raises(LibraryError, match="update MoodZone"):
        Library.open(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", [0, 1])
def test_database_of_another_program_is_refused_and_left_alone(tmp_path: Path, version: int) -> None:
    path = tmp_path / "mixxxdb.sqlite"
    other = sqlite3.connect(path)
    other.executescript(f"CREATE TABLE library (id INTEGER); PRAGMA user_version = {version}")
    other.close()
    before = path.read_bytes()
    with pytest.raises(LibraryError, match="another program"):
        Library.open(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE label SET zone = 'GREEN'",
        "DELETE FROM label",
        "UPDATE label SET time_ns = 0 WHERE audio_id = 'a'",
    ],
)
def test_labels_cannot_be_changed_by_any_statement(connection: sqlite3.Connection, statement: str) -> None:
    connection.execute("INSERT INTO track (audio_id) VALUES ('a')")
    connection.execute("INSERT INTO label VALUES (1, 'a', 'PURPLE', 'asked', 'cli', 7)")
    with pytest.raises(sqlite3.IntegrityError, match="labels are never"):
        connection.execute(statement)
    assert connection.execute("SELECT zone, time_ns FROM label").fetchall() == [("PURPLE", 7)]
