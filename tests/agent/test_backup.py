"""Backups of the library rotate, and a damaged library comes back with every label that can still be read."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exporters.base import Field, Place
from moodzone_agent.errors import DamagedLibraryError, LibraryError
from moodzone_agent.library import backup, store
from moodzone_agent.library.backup import (
    DAILIES,
    WEEKLIES,
    Backup,
    back_up,
    backups_in,
    erase,
    erase_rest,
    kept,
    labels_from_tags,
    open_or_recover,
)
from moodzone_agent.library.records import LabelEvent, PlaceEvent, PlaceEventKind
from moodzone_agent.library.store import Analysis, FileRecord, FileStatus, Library, Stamp
from moodzone_agent.types import Label, LabelOrigin, Mark, MarkState, Zone
from tests.agent.conftest import NOBODY, no_root

NOON = datetime(2021, 11, 25, 12, tzinfo=UTC)
DAY = timedelta(days=1)
LABELS = 300
NEW = 40
"""Labels that came after the backup."""


def fill(library: Library, numbers: range) -> None:
    with library.transaction():
        for number in numbers:
            audio_id = f"{number % 211:064x}"
            track = np.full(50, number, np.float32)
            library.put_analysis(
                Analysis(audio_id, 300.0, 128.0, (30.0,), 1, track, np.stack([track] * 6), ())
            )
            library.put_file(
                FileRecord(Path(f"/music/{number}.mp3"), Stamp(1, 2, 3), FileStatus.OK, audio_id)
            )
            if number % 17 == 0:
                library.retract_label(audio_id, "cli", number)
            else:
                zone = tuple(Zone)[number % 3]
                library.add_label(Label(audio_id, zone, LabelOrigin.CORRECTED, f"source {number}", number))
            event = PlaceEvent(PlaceEventKind.WROTE, f"value {number}", "#GREEN", None)
            place = Place(Path(f"/music/{number}.mp3"), Field.TEXT)
            library.add_place_events("serato", Path("/music/_Serato_"), [(place, event)])


def events(path: Path) -> list[LabelEvent]:
    with Library.open(path) as library:
        library.check(thorough=True)
        return library.labels()


def place_values(library: Library) -> list[str]:
    histories = library.place_events("serato", Path("/music/_Serato_"))
    return sorted(event.value for history in histories.values() for event in history)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a library, its log not yet in it, and a backup that lacks the newest labels."""
    home = tmp_path_factory.mktemp("world")
    library = Library.open(home / "library.sqlite")
    fill(library, range(LABELS - NEW))
    back_up(library, home / "backups", now=NOON)
    fill(library, range(LABELS - NEW, LABELS))
    copy = home / "copy"
    copy.mkdir()
    for end in ("", "-wal"):  # as if the power had failed
        shutil.copy(home / f"library.sqlite{end}", copy / f"library.sqlite{end}")
    library.close()
    shutil.copytree(home / "backups", copy / "backups")
    checkpointed = home / "checkpointed"
    shutil.copytree(home / "backups", checkpointed / "backups")
    shutil.copy(home / "library.sqlite", checkpointed / "library.sqlite")
    return home


@pytest.fixture
def home(world: Path, tmp_path: Path) -> Path:
    return shutil.copytree(world / "checkpointed", tmp_path / "home")


def damage(path: Path, how: str, dice: random.Random) -> None:
    content = bytearray(path.read_bytes())
    size, pages = len(content), len(content) // 4096
    match how:
        case "truncate":
            del content[dice.randrange(size) :]
        case "zero pages":
            for page in dice.sample(range(pages), dice.randint(1, max(1, pages // 3))):
                content[page * 4096 : (page + 1) * 4096] = bytes(4096)
        case "noise":
            start = dice.randrange(size)
            length = dice.randrange(1, 30_000)
            content[start : start + length] = dice.randbytes(min(length, size - start))
        case "flip":
            for _ in range(dice.randint(1, 60)):
                content[dice.randrange(size)] ^= 1 << dice.randrange(8)
        case "head":
            for _ in range(dice.randint(1, 4)):
                content[dice.randrange(100)] ^= 1 << dice.randrange(8)
        case "swap pages":
            one, other = (4096 * page for page in dice.sample(range(pages), 2))
            content[one : one + 4096], content[other : other + 4096] = (
                content[other : other + 4096],
                content[one : one + 4096],
            )
    path.write_bytes(content)


@settings(max_examples=120, deadline=None)
@given(
    how=st.sampled_from(["truncate", "zero pages", "noise", "flip", "head", "swap pages"]),
    seed=st.integers(0, 2**32),
    with_log=st.booleans(),
    with_backup=st.booleans(),
)
@example(how="truncate", seed=768727658, with_log=False, with_backup=False)  # within a row
def test_no_label_of_the_backup_is_lost_and_none_doubled(
    world: Path, how: str, seed: int, with_log: bool, with_backup: bool
) -> None:
    dice = random.Random(seed)
    before = events(world / "checkpointed" / "library.sqlite")
    with TemporaryDirectory() as folder:
        home = shutil.copytree(world / ("copy" if with_log else "checkpointed"), Path(folder) / "home")
        if not with_backup:
            shutil.rmtree(home / "backups")
        path = home / "library.sqlite"
        damage(path, how, dice)
        damaged = path.read_bytes()
        library, recovery = open_or_recover(path, home / "backups", thorough=True)
        with library:
            library.check(thorough=True)
            after = library.labels()
        if recovery is None:  # damage that SQLite cannot know of: in a text, or in a page that is free
            return
        if recovery.set_aside is not None and not with_log:
            assert recovery.set_aside.read_bytes() == damaged
        if with_backup:
            assert after[: LABELS - NEW] == before[: LABELS - NEW]
        times = [event.time_ns for event in after]
        if how in {"truncate", "zero pages", "swap pages"}:  # else texts and times may have changed
            assert times == sorted(set(times))
            assert set(after) <= set(before)
        assert len(after) <= len(before)
        if with_log:  # the newest are in the log, which is whole
            assert set(before[LABELS - NEW :]) <= set(after)
        assert len(after) == recovery.labels_of_backup + recovery.labels_salvaged
        assert open_or_recover(path, home / "backups")[1] is None


def test_what_is_readable_is_salvaged_behind_the_backup(home: Path) -> None:
    """Without its schema SQLite can read nothing of it."""
    path = home / "library.sqlite"
    before = events(path)
    path.write_bytes(bytes(4096) + path.read_bytes()[4096:])
    library, recovery = open_or_recover(path, home / "backups")
    assert recovery is not None
    with library:
        assert library.labels() == before
        assert place_values(library) == sorted(f"value {number}" for number in range(LABELS))
        assert len(list(library.analyses(1))) == 211
        library.add_label(Label("a", Zone.GREEN, LabelOrigin.ASKED, "cli", 0))
        assert len(library.labels()) == LABELS + 1
    assert (recovery.labels_of_backup, recovery.labels_salvaged, recovery.labels_lost) == (
        LABELS - NEW,
        NEW,
        0,
    )
    assert (recovery.place_events_salvaged, recovery.place_events_lost) == (NEW, 0)
    said = str(recovery)
    assert "was damaged" in said
    assert f"{NOON:%Y-%m-%d}" in said
    assert "260 labels" in said
    assert "40 labels" in said
    assert str(recovery.set_aside) in said


def test_labels_that_are_lost_are_counted(home: Path) -> None:
    path = home / "library.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    path.write_bytes(path.read_bytes()[: pages // 3 * 4096])
    library, recovery = open_or_recover(path, home / "backups")
    assert recovery is not None
    with library:
        left = len(library.labels())
    assert left < LABELS
    assert recovery.labels_lost == LABELS - left
    assert f"{LABELS - left} labels could not be read" in str(recovery)


def test_labels_come_back_without_a_backup(home: Path) -> None:
    path = home / "library.sqlite"
    before = events(path)
    content = path.read_bytes()
    path.write_bytes(b"no database" + content[11:])
    library, recovery = open_or_recover(path, home / "none")
    assert recovery is not None
    with library:
        assert library.labels() == before
    assert recovery.backup is None
    assert "no backup" in str(recovery)


def test_labels_of_another_library_are_kept_beside_the_backups(home: Path) -> None:
    """The library was deleted and begun anew; the backups are of the old one."""
    path = home / "library.sqlite"
    old = events(path)[: LABELS - NEW]
    path.unlink()
    with Library.open(path) as library:
        for number in range(5):
            library.add_label(Label(f"n{number}", Zone.PURPLE, LabelOrigin.ASKED, "cli", 10**9 + number))
        new = library.labels()
    path.write_bytes(b"\0" + path.read_bytes()[1:])
    library, _ = open_or_recover(path, home / "backups")
    with library:
        assert library.labels() == old + new


def test_a_damaged_backup_is_passed_over(home: Path) -> None:
    path = home / "library.sqlite"
    with Library.open(path) as library:
        newer = back_up(library, home / "backups", now=NOON + DAY)
    assert newer is not None
    newer.write_bytes(newer.read_bytes()[:50_000])
    path.write_bytes(b"")
    library, recovery = open_or_recover(path, home / "backups")
    assert recovery is not None
    with library:
        assert len(library.labels()) == LABELS - NEW
    assert recovery.backup is not None
    assert recovery.backup.number == 1
    assert newer.exists()


def test_a_library_that_is_gone_comes_back(home: Path) -> None:
    path = home / "library.sqlite"
    path.unlink()
    library, recovery = open_or_recover(path, home / "backups")
    assert recovery is not None
    with library:
        assert len(library.labels()) == LABELS - NEW
    assert recovery.set_aside is None
    assert "it is gone" in str(recovery)


def test_a_first_library_is_made(tmp_path: Path) -> None:
    library, recovery = open_or_recover(tmp_path / "new" / "library.sqlite", tmp_path / "backups")
    library.close()
    assert recovery is None


@pytest.mark.parametrize("at", ["before", "within"])
def test_killed_while_it_puts_the_new_one_in_place(
    home: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    path = home / "library.sqlite"
    before = events(path)
    path.write_bytes(bytes(4096) + path.read_bytes()[4096:])

    def killed(name: Path) -> None:
        if at == "within":
            name.rename(home / "library damaged 1.sqlite")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patch.setattr(backup, "_put_in_place", killed)
        open_or_recover(path, home / "backups")
    library, _ = open_or_recover(path, home / "backups")
    with library:
        assert library.labels() == before
    assert not (home / "library.sqlite.rebuilt").exists()
    erase_rest(path)
    assert sorted(each.name for each in home.iterdir()) == ["backups"]


def test_a_newer_library_is_no_damaged_one(home: Path) -> None:
    path = home / "library.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE future (id INTEGER); PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(LibraryError, match="update MoodZone"):
        open_or_recover(path, home / "backups")
    assert path.read_bytes() == before


def test_a_library_held_by_another_program(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = home / "library.sqlite"
    with Library.open(path) as library:
        code = (
            "import sqlite3, sys\n"
            "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
            "connection.execute('PRAGMA locking_mode = EXCLUSIVE')\n"
            "connection.execute('BEGIN EXCLUSIVE')\n"
            "connection.execute(\"INSERT INTO meta VALUES ('a', 'b')\")\n"
            "print('held', flush=True)\n"
            "sys.stdin.read()\n"
        )
    monkeypatch.setattr(store, "_BUSY_SECONDS", 0.01)
    with subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(LibraryError, match="try again when it is done") as caught:
            open_or_recover(path, home / "backups")
        assert not isinstance(caught.value, DamagedLibraryError)
        other.communicate()
    assert len(events(path)) == LABELS
    assert not list(home.glob("*damaged*"))
    assert library.path == path


def test_a_backup_while_others_write(home: Path) -> None:
    with Library.open(home / "library.sqlite") as library, Library.open(home / "library.sqlite") as other:
        with other.transaction():
            other.add_label(Label("open", Zone.GREEN, LabelOrigin.ASKED, "cli", 0))
            made = back_up(library, home / "backups", now=NOON + DAY)
        assert len(library.labels()) == LABELS + 1
    assert made is not None
    assert len(events(made)) == LABELS
    assert back_up_again(home, NOON + DAY + timedelta(hours=23)) is None


def back_up_again(home: Path, now: datetime) -> Path | None:
    with Library.open(home / "library.sqlite") as library:
        return back_up(library, home / "backups", now=now)


def test_one_a_day_and_one_more_where_the_clock_went_back(home: Path) -> None:
    assert back_up_again(home, NOON) is None
    assert back_up_again(home, NOON - timedelta(hours=1)) is not None
    assert back_up_again(home, NOON + 10_000 * DAY) is not None  # a clock far ahead,
    assert back_up_again(home, NOON + DAY) is not None  # put right
    assert back_up_again(home, NOON + DAY) is None
    assert [each.number for each in backups_in(home / "backups")] == [1, 2, 3, 4]


def test_only_the_newest_backup_holds_features(home: Path) -> None:
    for day in (1, 2):
        back_up_again(home, NOON + day * DAY)
    found = backups_in(home / "backups")
    counts, labels = [], []
    for each in found:
        with Library.open(each.path) as library:
            library.check(thorough=True)
            counts.append(len(list(library.analyses(1))))
            labels.append(len(library.labels()))
    assert counts == [0, 0, 211]
    assert labels == [LABELS - NEW, LABELS, LABELS]
    assert found[0].path.stat().st_size < found[-1].path.stat().st_size / 1.5


def test_a_damaged_library_makes_no_backup(home: Path) -> None:
    path = home / "library.sqlite"
    with Library.open(path) as library:
        (root,) = library._rows("SELECT rootpage FROM sqlite_master WHERE name = 'label_by_audio'")
        content = bytearray(path.read_bytes())
        content[(root[0] - 1) * 4096 : root[0] * 4096] = bytes(4096)
        path.write_bytes(content)
        library._connection.execute("PRAGMA shrink_memory")
        with pytest.raises(DamagedLibraryError, match="damaged"):
            back_up(library, home / "backups", now=NOON + DAY)
    assert len(backups_in(home / "backups")) == 1
    assert not list((home / "backups").glob(".mz-*"))


def test_a_library_begun_anew_does_not_push_out_the_backups_of_the_old(home: Path) -> None:
    (home / "library.sqlite").unlink()
    for day in range(1, 12):
        back_up_again(home, NOON + day * DAY)
    first = backups_in(home / "backups")[0]
    assert first.number == 1
    assert len(events(first.path)) == LABELS - NEW


def test_all_backups_are_erased(home: Path) -> None:
    (home / "backups" / ".mz-01234567.tmp").touch()
    (home / "backups" / "mine.txt").touch()
    erase(home / "backups")
    assert [each.name for each in (home / "backups").iterdir()] == ["mine.txt"]
    (home / "backups" / "mine.txt").unlink()
    erase(home / "backups")
    erase(home / "backups")
    assert not (home / "backups").exists()


def rotated(times: list[datetime]) -> list[Backup]:
    backups: list[Backup] = []
    for number, time in enumerate(times, 1):
        backups.append(Backup(number, time, Path(str(number))))
        keep = kept(backups)
        backups = [each for each in backups if each.number in keep]
    return backups


def test_a_year_of_days_leaves_seven_and_four_a_week_apart() -> None:
    left = rotated([NOON + day * DAY for day in range(365)])
    assert [each.number for each in left[-DAILIES:]] == list(range(359, 366))
    weeklies = [each.time for each in left[:-DAILIES]]
    assert len(weeklies) == WEEKLIES
    assert {later - earlier for earlier, later in pairwise(weeklies)} == {7 * DAY}


@given(st.lists(st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)), min_size=1, max_size=60))
def test_a_wrong_clock_deletes_nothing_new(times: list[datetime]) -> None:
    left = rotated([time.replace(tzinfo=UTC) for time in times])
    numbers = [each.number for each in left]
    newest = list(range(1, len(times) + 1))[-DAILIES:]
    assert numbers[-len(newest) :] == newest
    assert len(left) <= DAILIES + WEEKLIES


def test_a_clock_that_was_once_wrong_costs_no_weeklies() -> None:
    times = [NOON + day * DAY for day in range(60)]
    times[50] = NOON + 9000 * DAY
    numbers = [each.number for each in rotated(times)]
    assert len(numbers) == DAILIES + WEEKLIES
    assert min(numbers) <= 32


# The disk.


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("cannot mount a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill_up(folder: Path) -> None:
    with (folder / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_the_backups_disk_is_full(home: Path, small_disk: Path) -> None:
    fill_up(small_disk)
    with Library.open(home / "library.sqlite") as library:
        with pytest.raises(LibraryError, match="No backup") as caught:
            back_up(library, small_disk / "backups")
        assert not isinstance(caught.value, DamagedLibraryError)
        assert len(library.labels()) == LABELS
        (small_disk / "filler").unlink()
        library.put_analysis(replace(big(), audio_id="big"))
        with pytest.raises(LibraryError, match="full"):
            back_up(library, small_disk / "backups")
    assert backups_in(small_disk / "backups") == []
    assert [each.name for each in (small_disk / "backups").iterdir()] == ["library.lock"]


def big() -> Analysis:
    track = np.zeros(300, np.float32)
    return Analysis("", 1.0, 120.0, (), 1, track, np.zeros((4000, 300), np.float32), ())


def test_no_room_to_rebuild(home: Path, small_disk: Path) -> None:
    path = small_disk / "library.sqlite"
    content = bytes(4096) + (home / "library.sqlite").read_bytes()[4096:]
    path.write_bytes(content)
    fill_up(small_disk)
    with pytest.raises(LibraryError, match="cannot be rebuilt"):
        open_or_recover(path, home / "backups")
    assert path.read_bytes() == content
    assert not list(small_disk.glob(".mz-*"))
    (small_disk / "filler").unlink()
    library, recovery = open_or_recover(path, home / "backups")
    with library:
        assert len(library.labels()) == LABELS
    assert recovery is not None


def test_a_full_disk_takes_no_label(small_disk: Path) -> None:
    with Library.open(small_disk / "library.sqlite") as library:
        fill(library, range(50))
        fill_up(small_disk)
        with pytest.raises(LibraryError, match="full"):
            fill(library, range(50, 2000))
        assert len(library.labels()) == 50
        (small_disk / "filler").unlink()
        fill(library, range(50, 60))
        library.check(thorough=True)
        assert len(library.labels()) == 60


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="as POSIX does it")
def test_folders_that_may_not_be_written(home: Path) -> None:
    path = home / "library.sqlite"
    content = bytes(4096) + path.read_bytes()[4096:]
    path.write_bytes(content)
    assert backups_in(home / "backups")  # reads dates: their module is loaded while it may be
    home.chmod(0o555)
    if os.geteuid() == 0:
        for parent in home.parents:
            if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001 and parent != Path("/tmp"):
                parent.chmod(parent.stat().st_mode | 0o011)
        for each in home.rglob("*"):
            os.chown(each, NOBODY, NOBODY)
    try:
        with no_root(), pytest.raises(LibraryError, match="cannot be rebuilt"):
            open_or_recover(path, home / "backups")
        (home / "backups").chmod(0o555)
        with (
            Library.open(home.parent / "other.sqlite") as library,
            no_root(),
            pytest.raises(LibraryError, match="No backup"),
        ):
            back_up(library, home / "backups")
    finally:
        home.chmod(0o755)
        (home / "backups").chmod(0o755)
    assert path.read_bytes() == content


# Tags.


def test_labels_come_back_from_tags(world_of_music: tuple[Library, dict[str, Path]]) -> None:
    library, paths = world_of_music
    given_labels = labels_from_tags(library, [*paths.values(), Path("/music/unknown.mp3")])
    assert [(each.zone, each.origin, each.source) for each in given_labels] == [
        (Zone.PURPLE, LabelOrigin.IMPORTED, "tags")
    ]
    track = library.track_of(paths["labelled"])
    assert track is not None
    assert track.mark == Mark(Zone.PURPLE, MarkState.LABELLED)
    assert labels_from_tags(library, paths.values()) == []


@pytest.fixture
def world_of_music(tmp_path: Path) -> Iterator[tuple[Library, dict[str, Path]]]:
    """Files by what they are, each in the library."""
    from exporters.tags.edit import apply_mark
    from tests.agent.conftest import make_track

    marks = {
        "labelled": Mark(Zone.PURPLE, MarkState.LABELLED),
        "taken back": Mark(Zone.PURPLE, MarkState.LABELLED),
        "known": Mark(Zone.PURPLE, MarkState.LABELLED),
        "rated": Mark(Zone.GREEN, MarkState.RATED),
    }
    with Library.open(tmp_path / "library.sqlite") as library:
        paths = {}
        for seed, (name, mark) in enumerate(marks.items()):
            paths[name] = make_track(tmp_path / f"{name}.flac", seed=seed)
            apply_mark(paths[name], mark)
            library.put_file(FileRecord(paths[name], Stamp(1, 2, 3), FileStatus.OK, name))
        library.add_label(Label("taken back", Zone.PURPLE, LabelOrigin.ASKED, "cli", 1))
        library.retract_label("taken back", "cli", 2)
        library.add_label(Label("known", Zone.YELLOW, LabelOrigin.ASKED, "cli", 1))
        yield library, paths
