"""Databases of other programs are read whole, and changed wholly or not at all."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from exporters import database
from exporters.base import Change, Field, Want
from exporters.database import back_up_database, reading, writing
from exporters.journal import Changed, Journal, Run
from exporters.undo import Outcome, undo
from moodzone_agent.errors import CollectionError
from tests.exporters.kill_at_every_step import on_lines
from tests.exporters.test_kill import MEMORY

ROOT = Path(__file__).resolve().parents[2]
CHANGE = Change(Want(Path("/music/a.mp3"), None), Field.COLOUR, "old", "new")
NAME = "some:collection"


@pytest.fixture(params=["delete", "wal"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A database in each of SQLite's ways of keeping transactions."""
    return make(tmp_path / "some & more #1.db", request.param)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


def make(path: Path, mode: str = "delete") -> Path:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.executescript(
            """
            CREATE TABLE places (name TEXT PRIMARY KEY, value TEXT);
            CREATE TABLE children (place TEXT REFERENCES places(name));
            INSERT INTO places VALUES ('colour', 'old'), ('list', 'old');
            INSERT INTO children VALUES ('nobody');
            """
        )
    return path


def value(path: Path) -> str:
    with reading(path) as connection:
        return str(connection.execute("SELECT value FROM places WHERE name = 'colour'").fetchone()["value"])


def write(path: Path, run: Run, changes: list[Change] | None = None, after: str = "new") -> None:
    with writing(path, run, NAME, [CHANGE] if changes is None else changes) as connection:
        connection.execute("UPDATE places SET value = ? WHERE name = 'colour'", (after,))


def put_back(path: Path) -> Callable[[str, list[Changed], Run], dict[str, str]]:
    """As a collection does it: a value that is still ours goes back."""

    def put(name: str, changed: list[Changed], run: Run) -> dict[str, str]:
        assert name == NAME
        done: list[Change] = []
        with writing(path, run, name, done) as connection:
            for _, _, before, after in changed:
                found = connection.execute("SELECT value FROM places WHERE name = 'colour'").fetchone()
                if found["value"] == after:
                    connection.execute("UPDATE places SET value = ? WHERE name = 'colour'", (before,))
                    done.append(CHANGE)
        return {}

    return put


def take_back(journal: Journal, path: Path) -> list[Outcome]:
    results = undo(journal, take_out=lambda _, entry: pytest.fail(str(entry)), put_back=put_back(path))
    return [result.outcome for result in results]


@contextmanager
def another_process(code: str, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A Python process that has said that it is ready; killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_read_and_write(path: Path, journal: Journal) -> None:
    assert value(path) == "old"
    with journal.start("write") as run:
        write(path, run)
    assert value(path) == "new"
    [info] = journal.runs()
    assert (info.files, info.undone, info.interrupted) == (1, 0, False)
    assert journal.changes(info.id, journal.entries(info.id)) == [CHANGE.changed]
    assert take_back(journal, path) == [Outcome.PUT_BACK]
    assert value(path) == "old"
    assert take_back(journal, path) == []


def test_undo_leaves_what_was_changed_since(path: Path, journal: Journal) -> None:
    with journal.start("write") as run:
        write(path, run)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE places SET value = 'mine'")
    assert take_back(journal, path) == [Outcome.PUT_BACK]
    assert value(path) == "mine"


def test_the_copy_cannot_be_written(path: Path) -> None:
    with pytest.raises(CollectionError, match="not writable"), reading(path) as connection:
        connection.execute("DELETE FROM places")
    assert value(path) == "old"


def test_reading_sees_what_stands_in_the_wal(tmp_path: Path) -> None:
    path = make(tmp_path / "some.db", "wal")
    with closing(sqlite3.connect(path)) as program:
        program.execute("UPDATE places SET value = 'in the wal'")
        program.commit()
        assert path.with_name("some.db-wal").stat().st_size
        held = path.read_bytes()
        assert value(path) == "in the wal"
        program.execute("UPDATE places SET value = 'not committed'")
        assert value(path) == "in the wal"
        assert path.read_bytes() == held


def test_nothing_to_change_commits_nothing(path: Path, journal: Journal) -> None:
    with journal.start("write") as run:
        write(path, run, [])
    assert value(path) == "old"
    assert journal.runs() == []


def test_an_error_changes_nothing(path: Path, journal: Journal) -> None:
    with (
        journal.start("write") as run,
        pytest.raises(UnicodeEncodeError),
        writing(path, run, NAME, [CHANGE]) as connection,
    ):
        connection.execute("UPDATE places SET value = ?", ("\ud800",))
    assert value(path) == "old"
    assert journal.runs() == []


def test_an_error_of_sqlite_is_translated(path: Path, journal: Journal) -> None:
    with (
        journal.start("write") as run,
        pytest.raises(CollectionError, match=r"cannot be used \(no such table: gone\); nothing"),
        writing(path, run, NAME, [CHANGE]) as connection,
    ):
        connection.execute("DELETE FROM gone")
    assert value(path) == "old"


def test_rows_that_lose_each_other_are_not_written(path: Path, journal: Journal) -> None:
    """Those that had lost each other before are none of ours."""
    with (
        journal.start("write") as run,
        pytest.raises(CollectionError, match="lost each other"),
        writing(path, run, NAME, [CHANGE]) as connection,
    ):
        connection.execute("INSERT INTO children VALUES ('gone')")
    with journal.start("write") as run, writing(path, run, NAME, [CHANGE]) as connection:
        connection.execute("INSERT INTO children VALUES ('colour')")
    with reading(path) as connection:
        assert connection.execute("SELECT count(*) FROM children").fetchone()[0] == 2


LOCKS = """
    import sqlite3, sys
    connection = sqlite3.connect(sys.argv[1], isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE places SET value = 'theirs'")
    print("ready", flush=True)
    sys.stdin.read()
"""
HOLDS_OPEN = """
    import sqlite3, sys
    connection = sqlite3.connect(sys.argv[1])
    connection.execute("UPDATE places SET value = 'theirs'")
    connection.commit()
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_a_locked_database_is_refused(path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.1)
    with another_process(LOCKS, path):
        assert value(path) == "old"
        with journal.start("write") as run, pytest.raises(CollectionError, match="in use by another program"):
            write(path, run)
        assert value(path) == "old"
    assert journal.runs() == []


def test_a_wal_that_a_process_holds_open_is_refused(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "some.db", "wal")
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.1)
    with another_process(HOLDS_OPEN, path):
        assert value(path) == "theirs"
        with journal.start("write") as run, pytest.raises(CollectionError, match="in use by another program"):
            write(path, run)
        assert value(path) == "theirs"
    assert journal.runs() == []


def test_what_a_killed_program_left_is_recovered(path: Path, journal: Journal) -> None:
    """A rollback journal takes its transaction back, a -wal keeps those that were committed."""
    with another_process(LOCKS, path) as process:
        process.kill()
    assert value(path) == "old"
    with another_process(HOLDS_OPEN, path) as process:
        process.kill()
    assert value(path) == "theirs"
    with journal.start("write") as run:
        write(path, run)
    assert value(path) == "new"
    for end in ("-wal", "-journal"):
        companion = path.with_name(path.name + end)
        assert not companion.exists() or not companion.stat().st_size


WRITES_ON = """
    import sqlite3, sys
    connection = sqlite3.connect(sys.argv[1])
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA wal_autocheckpoint = 3")
    connection.execute("CREATE TABLE pairs (id INTEGER PRIMARY KEY, value INTEGER, pad BLOB)")
    connection.executemany("INSERT INTO pairs VALUES (?, 0, zeroblob(3000))", [(n,) for n in range(50)])
    connection.commit()
    print("ready", flush=True)
    while True:
        connection.execute("UPDATE pairs SET value = value + 1")
        connection.commit()
"""


def test_a_copy_under_a_writer_is_one_moment(path: Path) -> None:
    """All rows of one transaction, or a refusal; never a mixture."""
    with another_process(WRITES_ON, path):
        for _ in range(15):
            try:
                with reading(path) as connection:
                    rows = connection.execute("SELECT count(*), count(DISTINCT value) FROM pairs").fetchone()
                    assert tuple(rows) == (50, 1)
                    assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            except CollectionError as error:
                assert "its program writes to it" in str(error)  # noqa: PT017 - either is right
    assert value(path) == "old"


def test_a_torn_copy_is_made_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = database._copy_parts
    tries = []

    def torn(source: Path, copy: Path) -> None:
        whole(source, copy)
        tries.append(copy)
        if len(tries) < 3:
            copy.write_bytes(copy.read_bytes()[:-4096])

    monkeypatch.setattr(database, "_copy_parts", torn)
    assert value(path) == "old"
    assert len(tries) == 3


def test_what_is_no_database_is_refused(tmp_path: Path, journal: Journal) -> None:
    for number, content in enumerate([b"", b"no database at all" * 400, None]):
        path = tmp_path / f"{number}.db"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(CollectionError):
            value(path)
        with journal.start("write") as run, pytest.raises(CollectionError):
            write(path, run)
        assert path.exists() == (content is not None)
        assert content is None or path.read_bytes() == content
    assert journal.runs() == []


def test_damage_is_noticed(path: Path, journal: Journal) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[4096 * 2 - 8 : 4096 * 2] = bytes(8)
    damaged[4096 + 3 : 4096 + 8] = b"\xff" * 5
    path.write_bytes(damaged)
    with pytest.raises(CollectionError):
        value(path)
    with journal.start("write") as run, pytest.raises(CollectionError, match="damaged"):
        write(path, run)
    assert journal.runs() == []


def test_an_index_that_lacks_rows_is_noticed(path: Path, journal: Journal) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(
            """
            CREATE INDEX by_value ON places (value);
            PRAGMA writable_schema = ON;
            """
        )
        row = connection.execute("SELECT * FROM sqlite_master WHERE name = 'by_value'").fetchone()
        connection.execute("DELETE FROM sqlite_master WHERE name = 'by_value'")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO places VALUES ('comment', 'mine')")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", row)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA quick_check").fetchone()[0] == "ok"
    before = path.read_bytes()
    with journal.start("write") as run, pytest.raises(CollectionError, match="missing from index"):
        write(path, run)
    assert path.read_bytes() == before
    assert journal.runs() == []


def test_backup_holds_what_stands_in_the_wal(path: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(path)) as program:
        program.execute("UPDATE places SET value = 'theirs'")
        program.commit()
        back_up_database(path, tmp_path / "backups", "some 000001")
    [copy] = (tmp_path / "backups").glob("*/*.db")
    assert value(copy) == "theirs"


FULL = """
    import resource, signal, sys
    from pathlib import Path
    from exporters.database import writing
    from exporters.journal import Journal
    from moodzone_agent.errors import CollectionError
    from tests.exporters.test_database import CHANGE, NAME

    path = Path(sys.argv[1])
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limit = path.stat().st_size + int(sys.argv[3])
    with Journal(Path(sys.argv[2])).start("write") as run:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            with writing(path, run, NAME, [CHANGE]) as connection:
                connection.execute("UPDATE places SET value = 'new'")
                connection.execute("INSERT INTO places VALUES ('large', hex(zeroblob(500000)))")
        except CollectionError as error:
            print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files")
@pytest.mark.parametrize("room", [0, 5000, 100_000])
def test_a_full_disk_changes_nothing(path: Path, journal: Journal, room: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL), path, journal.folder, str(room)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing was written" in done.stdout
    assert value(path) == "old"
    assert journal.runs() == []
    with journal.start("write") as run:
        write(path, run)
    assert value(path) == "new"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
@pytest.mark.parametrize("moment", ["before the journal", "before the commit", "after the commit"])
def test_killed(path: Path, journal: Journal, moment: str) -> None:
    """Whatever had happened by then, undo leads back, and the next write is as any other."""

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        run = journal.start("write")
        if moment == "before the journal":
            run.change_in_place = die  # type: ignore[assignment, method-assign]
        elif moment == "after the commit":
            run.replaced = die  # type: ignore[assignment, method-assign]
        else:
            note = run.change_in_place
            run.change_in_place = lambda *given: die(note(*given))  # type: ignore[assignment, method-assign]
        write(path, run)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    is_written = moment == "after the commit"
    assert value(path) == ("new" if is_written else "old")
    expected = [] if moment == "before the journal" else [Outcome.PUT_BACK]
    assert take_back(journal, path) == expected
    assert value(path) == "old"
    assert not any(info.interrupted for info in journal.runs())
    with journal.start("write") as run:
        write(path, run)
    assert value(path) == "new"
    assert take_back(journal, path) == [Outcome.PUT_BACK]
    assert value(path) == "old"


class Job:
    """A write, or the undo of one, in a process of its own."""

    def __init__(self, folder: Path, mode: str, name: str) -> None:
        folder.mkdir()
        self.folder, self.name = folder, name
        self.path, self.journal = make(folder / "some.db", mode), Journal(folder / "journal")
        if name == "undo":
            with self.journal.start("write") as run:
                write(self.path, run)

    def run(self, before_line: Callable[[int], None]) -> int:
        """Do it; ``before_line`` is given the number of each line of ours. Returns the exit status."""
        child = os.fork()
        if child == 0:
            sys.settrace(on_lines(before_line))
            if self.name == "undo":
                take_back(self.journal, self.path)
            else:
                with self.journal.start("write") as run:
                    write(self.path, run)
            sys.settrace(None)
            os._exit(0)
        return os.waitpid(child, 0)[1]

    def steps(self) -> list[int]:
        """The lines before which the disk has changed; killed at any other, it would leave the same."""
        report, last = self.folder.with_name("steps"), None

        def look(line: int) -> None:
            nonlocal last
            files = [(file, file.lstat()) for file in sorted(self.folder.rglob("*"))]
            state = [(file, status.st_mtime_ns, status.st_size) for file, status in files]
            if state != last:
                last = state
                with report.open("a") as out:
                    out.write(f"{line}\n")

        assert self.run(look) == 0
        return [int(line) for line in report.read_text().splitlines()]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
@pytest.mark.parametrize("name", ["write", "undo"])
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_killed_at_every_step(mode: str, name: str) -> None:
    """The value is the old or the new one, and undo leads back to the old one."""
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        steps = Job(Path(folder) / "whole", mode, name).steps()
        assert len(steps) >= 8
        for step in steps:

            def kill(line: int, last: int = step) -> None:
                if line == last:
                    os.kill(os.getpid(), signal.SIGKILL)

            job = Job(Path(folder) / str(step), mode, name)
            assert job.run(kill) == signal.SIGKILL
            found = value(job.path)
            assert found in {"old", "new"}
            results = take_back(job.journal, job.path)
            assert value(job.path) == "old", step
            assert results or found == "old"
            assert not any(info.interrupted or info.damaged for info in job.journal.runs())
            assert all(info.undone == info.files for info in job.journal.runs() if info.kind == "write")
