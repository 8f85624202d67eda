"""rekordbox's own database: copies of one that rekordbox 6.6.2 made, and small ones of our own."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exporters.base import Change, Field, Machine, Place, Want, WriteStatus
from exporters.journal import Changed, Journal, Run
from exporters.rekordbox import cipher as rekordbox_cipher
from exporters.rekordbox.db import TARGET, RekordboxDb, RekordboxDbColour, RekordboxDbSettings
from exporters.rekordbox.db_rows import ListRow, _moment
from exporters.rekordbox.master_playlists import with_playlists
from exporters.undo import Outcome, UndoResult, undo
from moodzone_agent.errors import CollectionError, UsageError
from moodzone_agent.types import Mark, MarkState, Zone
from tests.contract.cases import make_rekordbox_database

YELLOW, GREEN, PURPLE = (Mark(zone) for zone in (Zone.YELLOW, Zone.GREEN, Zone.PURPLE))
UNSURE = Mark(Zone.GREEN, MarkState.UNSURE)
ALLOWED = RekordboxDbSettings(read=True, write=True)
LATER = "2099-01-01 00:00:00.000 +00:00"
"""Newer than any row that MoodZone makes here."""


class Rekordbox:
    """A database with tracks, and what its owner and MoodZone do with it."""

    def __init__(self, folder: Path, path: Path, tracks: list[Path]) -> None:
        self.path = path
        self.tracks = tracks
        self.journal = Journal(folder / "journal")
        self.backups = folder / "backups"
        self.ours: dict[Place, set[str]] = {}

    @property
    def xml(self) -> Path:
        return self.path.with_name("masterPlaylists6.xml")

    def open(self, settings: RekordboxDbSettings = ALLOWED) -> RekordboxDb:
        return RekordboxDb(self.path, settings)

    def plan(self, *marks: Mark | None) -> list[Change]:
        wants = [
            Want(track, mark, {field: frozenset(self.ours.get(Place(track, field), ())) for field in Field})
            for track, mark in zip(self.tracks, marks, strict=False)
        ]
        return list(self.open().preview(wants))

    def write(self, *marks: Mark | None, settings: RekordboxDbSettings = ALLOWED) -> list[Change]:
        planned = self.plan(*marks)
        with self.journal.start("write") as run:
            done = list(self.open(settings).write(planned, run, self.backups))
        for change in done:
            if change.status is WriteStatus.WRITTEN and change.ours:
                self.ours.setdefault(change.place, set()).add(change.ours)
        return done

    def undo(self) -> list[UndoResult]:
        def put_back(name: str, changed: list[Changed], run: Run) -> dict[str, str]:
            assert name == f"rekordbox-db:{self.path}"
            self.open().put_back(changed, run, self.backups)
            return {}

        return undo(self.journal, take_out=lambda *_: None, put_back=put_back)

    @contextmanager
    def rows(self) -> Iterator[sqlite3.Connection]:
        """The database, as another program opens it."""
        with closing(rekordbox_cipher.connect(self.path)) as connection:
            yield connection

    def value(self, field: Field, track: int = 0) -> str:
        place = Place(self.tracks[track], field)
        (value,) = [sighting.value for sighting in self.open().read() if sighting.place == place]
        return value

    def tag(self, track: int, name: str) -> None:
        """Exchange a track's My Tags of the category MoodZone for one, as its owner does in rekordbox."""
        with self.rows() as rows:
            song = self.id(rows, track)
            rows.execute("DELETE FROM djmdSongMyTag WHERE ContentID = ?", (song,))
            (category,) = rows.execute("SELECT ID FROM djmdMyTag WHERE Name = 'MoodZone'").fetchone()
            found = rows.execute("SELECT ID FROM djmdMyTag WHERE Name = ? AND ParentID = ?", (name, category))
            row = found.fetchone() or ("500",)
            if row[0] == "500":
                rows.execute(
                    "INSERT INTO djmdMyTag (ID, Seq, Name, Attribute, ParentID, created_at, updated_at) "
                    "VALUES ('500', 9, ?, 0, ?, ?, ?)",
                    (name, category, LATER, LATER),
                )
            rows.execute(
                "INSERT INTO djmdSongMyTag (ID, MyTagID, ContentID, created_at, updated_at) VALUES (?, ?, ?, ?, ?)",
                (f"mine-{song}", row[0], song, LATER, LATER),
            )

    def id(self, rows: sqlite3.Connection, track: int) -> str:
        found = rows.execute("SELECT ID FROM djmdContent WHERE FolderPath = ?", (str(self.tracks[track]),))
        return str(found.fetchone()[0])

    def shelves(self, songs: str = "djmdSongMyTag", shelf: str = "djmdMyTag", column: str = "MyTagID") -> Any:
        """What each list or tag of ours holds, by our tracks' numbers."""
        with self.rows() as rows:
            ids = {self.id(rows, number): number for number in range(len(self.tracks))}
            found = rows.execute(
                f"SELECT l.Name, s.ContentID FROM {songs} s JOIN {shelf} l ON l.ID = s.{column} "
                f"JOIN {shelf} f ON f.ID = l.ParentID WHERE f.Name = 'MoodZone' ORDER BY s.TrackNo"
            ).fetchall()
        held: dict[str, list[int]] = {}
        for name, song in found:
            held.setdefault(name, []).append(ids[song])
        return held

    def playlists(self) -> Any:
        return self.shelves("djmdSongPlaylist", "djmdPlaylist", "PlaylistID")


@pytest.fixture
def small(tmp_path: Path) -> Rekordbox:
    """A database of our own, not encrypted, with four tracks."""
    tracks = [tmp_path / "Music" / f"{number}.mp3" for number in range(4)]
    path = tmp_path / "rekordbox" / "master.db"
    path.parent.mkdir()
    comments = ("", "/* House / #PURPLE */", "Mine /* House */", "8A - 7")
    make_rekordbox_database(path, dict(zip(tracks, comments, strict=True)))
    return Rekordbox(tmp_path, path, tracks)


@pytest.fixture(params=["master_locked.db", "master_unlocked.db"])
def genuine(request: pytest.FixtureRequest, shared: Path, tmp_path: Path) -> Rekordbox:
    """A copy of rekordbox 6.6.2's database, encrypted or not, whose six tracks are in a folder of ours."""
    pytest.importorskip("pyrekordbox")
    fixtures = shared / "fixtures" / "dj" / "rekordbox" / "rekordbox6"
    folder = tmp_path / "rekordbox"
    folder.mkdir()
    path = Path(shutil.copyfile(fixtures / request.param, folder / "master.db"))
    shutil.copyfile(fixtures / "masterPlaylists6_template.xml", folder / "masterPlaylists6.xml")
    with closing(rekordbox_cipher.connect(path)) as rows:
        rows.execute(
            "UPDATE djmdContent SET FolderPath = replace(FolderPath, 'C:/Users/dylan', ?)", (str(tmp_path),)
        )
        tracks = [Path(row[0]) for row in rows.execute("SELECT FolderPath FROM djmdContent ORDER BY rowid")]
    assert len(tracks) == 6
    return Rekordbox(tmp_path, path, tracks)


def dump(rekordbox: Rekordbox) -> dict[str, dict[object, dict[str, object]]]:
    """Every row of every table, by its first column."""
    with rekordbox.rows() as rows:
        tables = rows.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {
            name: {
                row[0]: dict(zip(row.keys(), tuple(row), strict=True))
                for row in rows.execute(f"SELECT * FROM {name}")
            }
            for (name,) in map(tuple, tables)
        }


def expect_sound(rekordbox: Rekordbox) -> None:
    """By SQLite's checks, and by our own: its tables declare no foreign keys."""
    with rekordbox.rows() as rows:
        assert [tuple(row) for row in rows.execute("PRAGMA integrity_check")] == [("ok",)]
        assert not rows.execute("PRAGMA foreign_key_check").fetchall()
        for songs, column, shelf in (
            ("djmdSongPlaylist", "PlaylistID", "djmdPlaylist"),
            ("djmdSongMyTag", "MyTagID", "djmdMyTag"),
        ):
            for table, key in ((shelf, column), ("djmdContent", "ContentID")):
                lost = rows.execute(
                    f"SELECT count(*) FROM {songs} WHERE {key} NOT IN (SELECT ID FROM {table})"
                )
                assert lost.fetchone()[0] == 0


@contextmanager
def independent(rekordbox: Rekordbox, *, encrypted: bool) -> Iterator[Any]:
    """pyrekordbox's own view."""
    from pyrekordbox import MasterDatabase

    database = MasterDatabase(rekordbox.path, unlock=encrypted)
    try:
        yield database
    finally:
        database.close()
        database.engine.dispose()


@pytest.mark.shared
def test_pyrekordbox_reads_what_was_written(genuine: Rekordbox, request: pytest.FixtureRequest) -> None:
    counted = dump(genuine)["agentRegistry"]["localUpdateCount"]["int_1"]
    encrypted = "master_locked" in request.node.name
    assert genuine.path.read_bytes().startswith(b"SQLite format 3") is not encrypted
    done = genuine.write(YELLOW, GREEN, PURPLE, UNSURE, PURPLE)
    assert {change.status for change in done} == {WriteStatus.WRITTEN}
    assert genuine.path.read_bytes().startswith(b"SQLite format 3") is not encrypted
    expect_sound(genuine)
    with independent(genuine, encrypted=encrypted) as database:
        contents = {Path(content.FolderPath): content for content in database.get_content()}
        shown = [(contents[track].ColorName, contents[track].Commnt) for track in genuine.tracks]
        assert shown == [
            ("Yellow", "#YELLOW"),
            ("Green", "#GREEN"),
            ("Purple", "#PURPLE"),
            ("Green", "#GREEN?"),
            ("Purple", "#PURPLE Tracks by www.loopmasters.com"),
            (None, "Tracks by www.loopmasters.com"),
        ]
        (folder,) = database.get_playlist(Name="MoodZone")
        assert (folder.is_folder, folder.ParentID) == (True, "root")
        held = {
            playlist.Name: sorted((song.TrackNo, Path(song.Content.FolderPath)) for song in playlist.Songs)
            for playlist in folder.Children
        }
        assert held == {
            "YELLOW": [(1, genuine.tracks[0])],
            "GREEN": [(1, genuine.tracks[1])],
            "PURPLE": [(1, genuine.tracks[2]), (2, genuine.tracks[4])],
            "UNSURE": [(1, genuine.tracks[3])],
        }
        assert sorted(playlist.Seq for playlist in folder.Children) == [1, 2, 3, 4]
        tags = {
            name: contents[track].MyTagNames for track, name in zip(genuine.tracks, "abcdef", strict=True)
        }
        assert list(tags.values()) == [["YELLOW"], ["GREEN"], ["PURPLE"], ["UNSURE"], ["PURPLE"], []]
        (category,) = database.get_my_tag(Name="MoodZone")
        assert (category.Attribute, category.ParentID, category.Seq) == (1, "root", 5)
        for playlist in (folder, *folder.Children):
            node = database.playlist_xml.get(playlist.ID)
            assert node["Attribute"] == playlist.Attribute
            assert node["ParentId"] == ("0" if playlist is folder else f"{int(folder.ID):X}")
            assert abs((node["Timestamp"] - playlist.updated_at).total_seconds()) < 0.01
        usns = [content.rb_local_usn for content in contents.values()]
        assert max(usns) <= database.registry.get_local_update_count()
        # five comments and colours, twice a folder, four lists and five memberships; each row is one change
        assert database.registry.get_local_update_count() == counted + 2 * 5 + 2 * (1 + 4 + 5)


@pytest.mark.shared
def test_undo_leaves_every_row_as_it_was_but_for_the_count_of_changes(genuine: Rekordbox) -> None:
    before, xml = dump(genuine), genuine.xml.read_bytes()
    genuine.write(YELLOW, GREEN, PURPLE, UNSURE, PURPLE)
    results = genuine.undo()
    assert {result.outcome for result in results} == {Outcome.PUT_BACK}
    expect_sound(genuine)
    after = dump(genuine)
    assert after.keys() == before.keys()
    for table, rows in before.items():
        assert after[table].keys() == rows.keys(), table
        for key, row in rows.items():
            differing = {column for column in row if after[table][key][column] != row[column]}
            if table == "djmdContent" and Path(str(row["FolderPath"])) in genuine.tracks[:5]:
                assert differing == {"rb_local_usn", "updated_at"}
            elif key == "localUpdateCount":
                assert differing == {"int_1"}
            else:
                assert not differing, (table, key)
    assert genuine.xml.read_bytes() == xml


@pytest.mark.shared
def test_the_backup_is_a_database_of_the_same_rows(genuine: Rekordbox, tmp_path: Path) -> None:
    before, encrypted = dump(genuine), genuine.path.read_bytes()[:15] != b"SQLite format 3"
    genuine.write(YELLOW)
    (backup,) = genuine.backups.iterdir()
    assert {copy.name for copy in backup.iterdir()} == {"master.db", "masterPlaylists6.xml"}
    copy = Rekordbox(tmp_path / "copy", backup / "master.db", genuine.tracks)
    assert dump(copy) == before
    assert (copy.path.read_bytes()[:15] != b"SQLite format 3") is encrypted


@pytest.mark.shared
def test_it_is_read_while_rekordbox_holds_it_open(genuine: Rekordbox) -> None:
    with genuine.rows() as rows:
        rows.execute("PRAGMA journal_mode = WAL")
        rows.execute("UPDATE djmdContent SET ColorID = '8', Commnt = 'Mine #PURPLE'")
        assert genuine.path.with_name("master.db-wal").stat().st_size
        assert (genuine.value(Field.COLOUR), genuine.value(Field.TEXT)) == ("8", "Mine #PURPLE")
        with pytest.raises(CollectionError, match=r"start and close the program|in use by another"):
            genuine.write(YELLOW, None)
        rows.execute("BEGIN IMMEDIATE")
        assert genuine.value(Field.COLOUR) == "8"
        rows.execute("ROLLBACK")


@pytest.mark.shared
def test_the_lock_of_another_program_is_respected(genuine: Rekordbox) -> None:
    planned = genuine.plan(YELLOW)
    before = dump(genuine)
    with genuine.rows() as rows:
        rows.execute("PRAGMA journal_mode = WAL")
        rows.execute("BEGIN IMMEDIATE")
        with genuine.journal.start("write") as run, pytest.raises(CollectionError, match="in use by another"):
            list(genuine.open()._apply(planned, run))
    assert dump(genuine) == before


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from exporters.base import Want
    from exporters.journal import Journal, Run
    from exporters.rekordbox.db import RekordboxDb, RekordboxDbSettings
    from moodzone_agent.types import Mark, Zone

    class Killed(Run):
        def kill(self, *_):
            os.kill(os.getpid(), signal.SIGKILL)

    path, track, folder, where = sys.argv[1:]
    setattr(Killed, where, Killed.kill)
    collection = RekordboxDb(Path(path), RekordboxDbSettings(read=True, write=True))
    changes = list(collection.preview([Want(Path(track), Mark(Zone.YELLOW))]))
    with Journal(Path(folder) / "journal").start("write") as run:
        run.__class__ = Killed
        list(collection.write(changes, run, Path(folder) / "backups of the killed"))
"""


@pytest.mark.shared
@pytest.mark.skipif(sys.platform == "win32", reason="kills")
@pytest.mark.parametrize("where", ["change_in_place", "replaced"])
def test_a_write_that_is_killed_is_done_or_not(genuine: Rekordbox, tmp_path: Path, where: str) -> None:
    before = dump(genuine)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), genuine.path, genuine.tracks[0], tmp_path, where],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    if where == "change_in_place":
        assert dump(genuine) == before
        with (
            genuine.rows() as rows
        ):  # as rekordbox does at its start; it takes away what is left of the journal
            rows.execute("UPDATE agentRegistry SET int_1 = int_1 + 1 WHERE registry_id = 'localUpdateCount'")
        assert {change.status for change in genuine.write(YELLOW)} == {WriteStatus.WRITTEN}
        return
    assert genuine.value(Field.COLOUR) == "4"
    expect_sound(genuine)
    assert {result.outcome for result in genuine.undo()} == {Outcome.PUT_BACK}
    assert (genuine.value(Field.COLOUR), genuine.value(Field.LIST)) == ("", "")


@pytest.mark.shared
def test_colours_are_those_of_rekordbox(shared: Path) -> None:
    path = shared / "fixtures" / "dj" / "rekordbox" / "rekordbox6" / "master_unlocked.db"
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as rows:
        colours = dict(rows.execute("SELECT Commnt, ID FROM djmdColor ORDER BY SortKey"))
    assert {colour.value: colour.id for colour in RekordboxDbColour} == colours


def test_zones_need_three_colours() -> None:
    with pytest.raises(UsageError, match=r"\[rekordbox_db\]"):
        RekordboxDbSettings(yellow=RekordboxDbColour.GREEN)


def test_nothing_is_read_or_written_without_consent(small: Rekordbox) -> None:
    nothing = RekordboxDbSettings()
    planned = small.plan(YELLOW)
    before = small.path.read_bytes()
    for use in (
        lambda: list(small.open(nothing).read()),
        lambda: small.open(nothing).version(),
        lambda: small.open(nothing).census(),
    ):
        with pytest.raises(CollectionError, match=r"`read = true` under \[rekordbox_db\]"):
            use()
    with small.journal.start("write") as run:
        for settings in (nothing, RekordboxDbSettings(read=True)):
            with pytest.raises(CollectionError, match=r"`write = true` under \[rekordbox_db\]"):
                list(small.open(settings).write(planned, run, small.backups))
    assert small.path.read_bytes() == before
    assert len(list(small.open(RekordboxDbSettings(read=True)).read())) == 3 * 5


@pytest.mark.parametrize("parts", ["Library/Pioneer/rekordbox", "AppData/Roaming/Pioneer/rekordbox"])
def test_it_is_found_only_with_consent(
    parts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: Rekordbox
) -> None:
    monkeypatch.setattr("exporters.rekordbox.db.is_installed", lambda: True)
    path = tmp_path / parts / "master.db"
    path.parent.mkdir(parents=True)
    shutil.copyfile(small.path, path)
    machine = Machine(tmp_path, tmp_path / "Music", tmp_path / "Documents")
    assert TARGET.find(machine, RekordboxDbSettings()) == []
    [held] = TARGET.withheld(machine, RekordboxDbSettings())
    assert held.path == path
    assert "`read = true` or `write = true` under [rekordbox_db]" in held.cure
    assert [setting for setting, _ in held.consents] == ["read", "write"]
    for settings in (RekordboxDbSettings(read=True), RekordboxDbSettings(write=True)):
        assert [found.path for found in TARGET.find(machine, settings)] == [path]
        assert TARGET.withheld(machine, settings) == []
        assert TARGET.find(machine, replace(settings, database=str(tmp_path / "none.db"))) == []
        named = TARGET.find(machine, replace(settings, database=str(small.path)))
        assert [found.path for found in named] == [small.path]


def test_without_the_extra_the_cure_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rekordbox_cipher, "find_spec", lambda _: None)
    path = tmp_path / "Library" / "Pioneer" / "rekordbox" / "master.db"
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(range(256)) * 16)
    machine = Machine(tmp_path, tmp_path, tmp_path)
    assert TARGET.find(machine, ALLOWED) == []
    [allowed], [held] = TARGET.withheld(machine, ALLOWED), TARGET.withheld(machine, RekordboxDbSettings())
    assert 'pip install "moodzone[rekordbox]"' in allowed.cure
    assert held.cure.startswith(allowed.cure)
    assert "read = true" in held.cure
    assert held.consents == ()
    with pytest.raises(CollectionError, match=r'pip install "moodzone\[rekordbox\]"'):
        list(TARGET.open(path, machine, ALLOWED).read())


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pyrekordbox")
    path = tmp_path / "master.db"
    path.write_bytes(bytes(range(256)) * 16)
    with pytest.raises(CollectionError, match=r"no(t a)? database"):
        RekordboxDb(path, ALLOWED).version()


def test_only_files_that_can_be_here_are_read(small: Rekordbox) -> None:
    found = {sighting.place.track for sighting in small.open().read()}
    assert found == {*small.tracks, Path("/Elsewhere/a.mp3")}


def test_the_token_stands_outside_of_my_tags_in_a_comment(small: Rekordbox) -> None:
    small.write(None, YELLOW, GREEN)
    texts = [small.value(Field.TEXT, track) for track in (1, 2)]
    assert texts == ["#YELLOW /* House / #PURPLE */", "#GREEN Mine /* House */"]
    small.write(None, None, None)
    assert [small.value(Field.TEXT, track) for track in (1, 2)] == [
        "/* House / #PURPLE */",
        "Mine /* House */",
    ]


def test_a_correction_in_my_tag_is_read_and_the_playlist_follows(small: Rekordbox) -> None:
    small.write(GREEN, GREEN)
    small.tag(0, "PURPLE")
    assert small.value(Field.LIST) == "PURPLE"
    assert small.playlists() == {"GREEN": [0, 1]}
    (change,) = [change for change in small.write(PURPLE) if change.field is Field.LIST]
    assert change.status is WriteStatus.WRITTEN
    assert small.playlists() == small.shelves() == {"GREEN": [1], "PURPLE": [0]}
    assert {change.status for change in small.write(PURPLE)} == {WriteStatus.UNCHANGED}


def test_a_playlist_that_is_not_ours_does_not_follow_my_tag(small: Rekordbox) -> None:
    small.write(GREEN, GREEN)
    small.tag(0, "PURPLE")
    small.ours.clear()
    (change,) = [change for change in small.plan(PURPLE) if change.field is Field.LIST]
    assert change.status is WriteStatus.UNCHANGED


def test_edits_of_unknown_order_contradict_each_other(small: Rekordbox) -> None:
    small.write(GREEN)
    small.tag(0, "PURPLE")
    with small.rows() as rows:
        rows.execute("UPDATE djmdSongMyTag SET created_at = 'yesterday'")
    assert small.value(Field.LIST) == "GREEN + PURPLE"


def test_a_my_tag_that_was_taken_off_tells_nothing(small: Rekordbox) -> None:
    small.write(GREEN)
    with small.rows() as rows:
        rows.execute("DELETE FROM djmdSongMyTag")
    assert small.value(Field.LIST) == "GREEN"
    assert {change.status for change in small.write(GREEN)} == {WriteStatus.UNCHANGED}
    assert small.shelves() == {}


def test_positions_close_up_behind_a_track_that_leaves(small: Rekordbox) -> None:
    small.write(GREEN, GREEN, GREEN, GREEN)
    small.write(GREEN, PURPLE, GREEN, GREEN)
    with small.rows() as rows:
        found = rows.execute(
            "SELECT s.TrackNo FROM djmdSongPlaylist s JOIN djmdPlaylist l ON l.ID = s.PlaylistID "
            "WHERE l.Name = 'GREEN' ORDER BY s.TrackNo"
        )
        assert [row[0] for row in found] == [1, 2, 3]
    assert small.playlists() == {"GREEN": [0, 2, 3], "PURPLE": [1]}


def test_a_track_that_is_in_a_playlist_twice_leaves_it_whole(small: Rekordbox) -> None:
    small.write(GREEN, GREEN)
    with small.rows() as rows:
        rows.execute(
            "INSERT INTO djmdSongPlaylist (ID, PlaylistID, ContentID, TrackNo, created_at, updated_at) "
            "SELECT 'twice', PlaylistID, ContentID, 3, created_at, updated_at FROM djmdSongPlaylist "
            "WHERE ContentID = ? AND PlaylistID IN (SELECT ID FROM djmdPlaylist WHERE Name = 'GREEN')",
            (small.id(rows, 0),),
        )
    assert small.playlists() == {"GREEN": [0, 1, 0]}
    small.write(PURPLE)
    assert small.playlists() == {"GREEN": [1], "PURPLE": [0]}


def test_rows_that_rekordbox_keeps_as_deleted_count_as_gone(small: Rekordbox) -> None:
    small.write(GREEN, PURPLE)
    with small.rows() as rows:
        for table in ("djmdPlaylist", "djmdSongPlaylist", "djmdMyTag", "djmdSongMyTag"):
            rows.execute(f"UPDATE {table} SET rb_local_deleted = 1")
    kept = dump(small)
    assert small.value(Field.LIST) == ""
    (change,) = [change for change in small.write(GREEN) if change.field is Field.LIST]
    assert (change.status, change.before) == (WriteStatus.WRITTEN, "")
    assert small.value(Field.LIST) == "GREEN"
    now = dump(small)
    for table in ("djmdPlaylist", "djmdSongPlaylist", "djmdMyTag", "djmdSongMyTag"):
        assert {key: now[table][key] for key in kept[table]} == kept[table]


def test_a_column_of_my_tags_that_the_user_named_moodzone_is_used_and_stays(small: Rekordbox) -> None:
    with small.rows() as rows:
        rows.execute(
            "INSERT INTO djmdMyTag (ID, Seq, Name, Attribute, ParentID, created_at, updated_at) "
            "VALUES ('4', 4, 'MoodZone', 1, 'root', ?, ?)",
            (LATER, LATER),
        )
    small.write(GREEN)
    assert small.shelves() == {"GREEN": [0]}
    small.write(None)
    with small.rows() as rows:
        assert [row[0] for row in rows.execute("SELECT Name FROM djmdMyTag")] == ["MoodZone"]


def test_lists_of_the_user_in_our_folder_stay(small: Rekordbox) -> None:
    small.write(GREEN)
    with small.rows() as rows:
        (folder,) = rows.execute("SELECT ID FROM djmdPlaylist WHERE Name = 'MoodZone'").fetchone()
        rows.execute(
            "INSERT INTO djmdPlaylist (ID, Seq, Name, Attribute, ParentID, created_at, updated_at) "
            "VALUES ('500', 9, 'Mine', 0, ?, ?, ?)",
            (folder, LATER, LATER),
        )
    small.write(None)
    with small.rows() as rows:
        names = [row[0] for row in rows.execute("SELECT Name FROM djmdPlaylist ORDER BY Name")]
    assert names == ["Mine", "MoodZone", "YELLOW"]


def test_a_playlist_file_that_cannot_follow_is_told_and_mended(small: Rekordbox) -> None:
    small.xml.write_text("<MASTER_PLAYLIST><PLAYLISTS>")
    with pytest.raises(CollectionError, match=r"was written, but .*masterPlaylists6\.xml could not follow"):
        small.write(GREEN)
    assert small.value(Field.LIST) == "GREEN"
    small.xml.write_text("<MASTER_PLAYLIST><PLAYLISTS/></MASTER_PLAYLIST>")
    small.write(GREEN, GREEN)
    assert small.xml.read_text().count("<NODE ") == 2


def test_without_a_count_of_changes_nothing_is_written(small: Rekordbox) -> None:
    with small.rows() as rows:
        rows.execute("DELETE FROM agentRegistry")
    before = dump(small)
    with pytest.raises(CollectionError, match="does not count its changes"):
        small.write(GREEN)
    assert dump(small) == before


def test_the_census_leaves_out_what_is_ours(small: Rekordbox) -> None:
    small.write(GREEN, GREEN)
    census = small.open().census(lambda place: frozenset({"5"}))
    assert (census.tracks, dict(census.colours)) == (5, {"1": 1})
    assert census.lists == ("MoodZone", "MoodZone (My Tag)")
    assert small.open().census().colours == {"5": 2, "1": 1}


XML = b"""\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?>
<MASTER_PLAYLIST Version="3.0.0"><PLAYLISTS>
  <NODE Id="186A0" ParentId="0"  Attribute='-128'/>
</PLAYLISTS></MASTER_PLAYLIST>"""


def test_nodes_come_and_go_and_the_rest_stays_byte_for_byte() -> None:
    moment = _moment("2022-04-09 21:38:34.311 +00:00")
    assert moment
    rows = [ListRow(255, 0, 1, moment), ListRow(4096, 255, 0, moment)]
    added = with_playlists(XML, rows, [])
    assert added.count(b"<NODE ") == 3
    assert (
        b'<NODE Id="1000" ParentId="FF" Attribute="0" Timestamp="1649540314311" Lib_Type="0" CheckType="0"/>'
        in added
    )
    assert with_playlists(added, rows, []) == added
    assert with_playlists(added, [], [255, 4096, 7]) == XML


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2022-04-09 21:37:43.710 +00:00", "21:37:43.710"),
        ("2022-04-09 21:37:43.710 -05:00 (Central Daylight Time)", "02:37:43.710"),
        ("2022-04-09 21:37:43.710Z", "21:37:43.710"),
        ("2022-04-09 21:37:43", "21:37:43"),
    ],
)
def test_times_in_all_spellings(text: str, utc: str) -> None:
    from datetime import UTC

    moment = _moment(text)
    assert moment
    assert utc in moment.astimezone(UTC).isoformat(" ", "milliseconds")


def test_no_time_is_no_time() -> None:
    assert _moment(None) is _moment("yesterday") is None
