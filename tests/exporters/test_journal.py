"""The journal survives torn writes, knows its runs whatever the clock says, and has one writer at a time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from exporters.atomic import edit_file
from exporters.journal import Entry, Journal, Run
from exporters.undo import Outcome, undo
from moodzone_agent.errors import BusyError, FileError, JournalError, UsageError

ROOT = Path(__file__).resolve().parents[2]
AUDIO = os.urandom(5000)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "state" / "journal")


@pytest.fixture
def tracks(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "music"
    folder.mkdir()
    paths = [folder / f"{index}.mp3" for index in range(3)]
    for path in paths:
        path.write_bytes(AUDIO + path.name.encode())
    return paths


def tag(run: Run, path: Path, text: bytes = b"tag") -> None:
    def prepend(copy: Path) -> None:
        copy.write_bytes(text + copy.read_bytes())

    edit_file(path, prepend, run, note={"audio_id": path.stem})


def tag_all(journal: Journal, tracks: list[Path]) -> int:
    with journal.start("write") as run:
        for path in tracks:
            tag(run, path)
    return run.id


def refuse(copy: Path, entry: Entry) -> None:
    raise AssertionError(f"{copy} should be restored byte for byte")


def records(journal: Journal, run: int) -> Path:
    return journal.folder / f"{run:06}" / "run.jsonl"


def test_runs_are_listed_newest_first(journal: Journal, tracks: list[Path]) -> None:
    assert journal.runs() == []
    assert journal.size == 0
    first = tag_all(journal, tracks)
    second = tag_all(journal, tracks[:1])
    newest, oldest = journal.runs()
    assert (newest.id, newest.kind, newest.files, newest.undone) == (second, "write", 1, 0)
    assert (oldest.id, oldest.files) == (first, 3)
    assert abs(newest.when.timestamp() - time.time()) < 60
    assert newest.size + oldest.size == journal.size > 0
    assert [entry.path for entry in journal.entries(first)] == tracks
    assert [entry.note["audio_id"] for entry in journal.entries(first)] == ["0", "1", "2"]


def test_an_unknown_run_names_the_known_ones(journal: Journal, tracks: list[Path]) -> None:
    tag_all(journal, tracks)
    with pytest.raises(UsageError, match=r"no run 7.*: 1"):
        journal.entries(7)


def test_every_line_is_json_for_whoever_wants_to_look(journal: Journal, tracks: list[Path]) -> None:
    run = tag_all(journal, tracks[:1])
    lines = [json.loads(line) for line in records(journal, run).read_text("ascii").splitlines()]
    assert [line["record"] for line in lines] == ["run", "begin", "ready", "replaced", "end"]
    assert lines[1]["path"] == str(tracks[0])


def test_order_does_not_hang_on_the_clock(
    journal: Journal, tracks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    days = iter([20_000, 3, 10_000])
    monkeypatch.setattr(time, "time_ns", lambda: next(days) * 86_400_000_000_000)
    for path in tracks:
        tag_all(journal, [path])
    assert [run.id for run in journal.runs()] == [3, 2, 1]
    monkeypatch.undo()
    (result,) = undo(journal, take_out=refuse)
    assert result.path == tracks[2]


def test_an_empty_run_leaves_no_trace(journal: Journal, tracks: list[Path]) -> None:
    with journal.start("write") as run:
        assert not edit_file(tracks[0], lambda copy: None, run)
    assert journal.runs() == []


def test_one_writer_at_a_time(journal: Journal, tracks: list[Path]) -> None:
    code = "import sys; from pathlib import Path; from exporters.journal import Journal\n"
    code += "run = Journal(Path(sys.argv[1])).start('scan'); print('locked', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, journal.folder],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        for write in (lambda: journal.start("write"), journal.recover, lambda: journal.prune(max_bytes=0)):
            with pytest.raises(JournalError, match=f"process {other.pid}, scan"):
                write()
        assert len(journal.runs()) == 1  # reading needs no lock
        other.kill()
    tag_all(journal, tracks)  # the lock went with the process
    with journal.start("write"), pytest.raises(JournalError, match=f"process {os.getpid()}, write"):
        journal.start("write")


def test_a_torn_end_at_any_byte_loses_nothing(journal: Journal, tracks: list[Path], tmp_path: Path) -> None:
    """A power cut may take any part of the last lines that were not synced: all after ``ready``."""
    run = tag_all(journal, tracks)
    whole = records(journal, run).read_bytes()
    saved = tmp_path / "saved"
    shutil.copytree(tmp_path / "music", saved)
    for length in range(whole.rindex(b'{"record": "replaced"'), len(whole)):
        for tail in (b"", b"\x00" * 100):
            records(journal, run).write_bytes(whole[:length] + tail)
            journal.recover()
            assert [entry.replaced for entry in journal.entries(run)] == [True, True, True]
            assert journal.runs()[0].damaged == 0
            assert [json.loads(line) for line in records(journal, run).read_text("ascii").splitlines()][-1][
                "record"
            ] == "end"
    assert [result.outcome for result in undo(journal, take_out=refuse)] == [Outcome.RESTORED] * 3


def test_a_damaged_line_costs_one_file(journal: Journal, tracks: list[Path]) -> None:
    run = tag_all(journal, tracks)
    lines = records(journal, run).read_bytes().splitlines(keepends=True)
    ready = [index for index, line in enumerate(lines) if b'"ready"' in line]
    lines[ready[1]] = lines[ready[1]].replace(b'"old_mtime_ns": 1', b'"old_mtime_ns": 2')
    records(journal, run).write_bytes(b"".join(lines[:-1]))

    def take_out(copy: Path, entry: Entry) -> None:
        copy.write_bytes(copy.read_bytes().removeprefix(b"tag"))

    assert journal.runs()[0].damaged == 1
    results = undo(journal, take_out=take_out)
    assert [result.outcome for result in results] == [Outcome.RESTORED, Outcome.TAKEN_OUT, Outcome.RESTORED]
    assert [path.read_bytes() for path in tracks] == [AUDIO + path.name.encode() for path in tracks]


def test_a_newer_format_is_left_alone(journal: Journal, tracks: list[Path]) -> None:
    import zlib

    folder = journal.folder / "000001"
    folder.mkdir(parents=True)
    text = json.dumps({"record": "run", "format": 2})
    check = zlib.crc32(text.encode())
    (folder / "run.jsonl").write_text(json.dumps({"record": "run", "format": 2, "check": check}) + "\n")
    with pytest.raises(JournalError, match="newer MoodZone"):
        tag_all(journal, tracks)
    assert tracks[0].read_bytes() == AUDIO + b"0.mp3"


@pytest.mark.parametrize("obstacle", ["a file", "a folder without the right to write"])
def test_a_journal_that_cannot_be_kept_stops_the_run_first(
    tmp_path: Path, tracks: list[Path], obstacle: str
) -> None:
    if obstacle == "a file":
        (tmp_path / "journal").write_bytes(b"")
        journal = Journal(tmp_path / "journal")
    elif Path("/proc/self").is_dir():
        journal = Journal(Path("/proc/self/journal"))  # not even root may write there
    else:
        pytest.skip("no such folder")
    with pytest.raises(JournalError, match=r"cannot be kept .* without it no file is touched"):
        tag_all(journal, tracks)
    assert tracks[0].read_bytes() == AUDIO + b"0.mp3"


def test_forgetting_starts_at_the_oldest_and_spares_the_newest(
    journal: Journal, tracks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time_ns()
    for index, path in enumerate(tracks):
        monkeypatch.setattr(time, "time_ns", lambda index=index: now - (30 - 10 * index) * 86_400_000_000_000)
        tag_all(journal, [path])
    monkeypatch.undo()
    assert journal.prune() == []
    assert journal.prune(keep_days=40, max_bytes=journal.size) == []
    assert [run.id for run in journal.prune(keep_days=25)] == [1]
    assert [run.id for run in journal.prune(max_bytes=journal.size - 1)] == [2]
    assert journal.prune(keep_days=0, max_bytes=0) == []
    assert [run.id for run in journal.runs()] == [3]
    tag_all(journal, tracks)
    assert [run.id for run in journal.runs()] == [4, 3]


DAY = 86_400_000_000_000


@pytest.mark.parametrize(
    "days",
    [[20_000, 20_010, 20_020, 0], [0, 20_000, 20_010], [20_000, 47_000, 20_001], [47_000, 20_000, 20_010]],
    ids=["behind at last", "behind at first", "ahead once", "ahead at first"],
)
def test_a_clock_that_jumps_makes_no_run_old(
    journal: Journal, tracks: list[Path], monkeypatch: pytest.MonkeyPatch, days: list[int]
) -> None:
    # Now is real, and far from the made-up days.
    for day in days:
        monkeypatch.setattr(time, "time_ns", lambda day=day: day * DAY)
        tag_all(journal, tracks[:1])
    monkeypatch.undo()
    assert journal.prune(keep_days=100) == []


def test_runs_grow_old_by_small_steps(
    journal: Journal, tracks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time_ns()
    for days in (400, 300, 50 * 365, 200, 100):  # one by a clock that was reset
        monkeypatch.setattr(time, "time_ns", lambda days=days: now - days * DAY)
        tag_all(journal, tracks[:1])
    monkeypatch.undo()
    assert [run.id for run in journal.prune(keep_days=280)] == [1]
    assert [run.id for run in journal.prune(keep_days=150)] == [2, 3, 4]


def test_held_for_several_runs(journal: Journal, tracks: list[Path]) -> None:
    with journal.hold("remove"):
        tag_all(journal, tracks)
        undo(journal, take_out=refuse)
        with pytest.raises(JournalError, match=f"process {os.getpid()}, remove"):
            tag_all(Journal(journal.folder), tracks)
    tag_all(Journal(journal.folder), tracks)


def test_erased_but_for_what_the_user_keeps_there(journal: Journal, tracks: list[Path]) -> None:
    diary = journal.folder / "202401" / "diary.txt"
    diary.parent.mkdir(parents=True)
    diary.write_text("Dear diary")
    (journal.folder / "20240102").write_text("Dear diary")
    run = tag_all(journal, tracks)
    assert [info.id for info in journal.runs()] == [run]
    journal.recover()
    with journal.hold("remove"):
        journal.erase()
    left = {path.relative_to(journal.folder).as_posix() for path in journal.folder.rglob("*")}
    assert left == {"202401", "202401/diary.txt", "20240102"}
    shutil.rmtree(journal.folder)
    tag_all(journal, tracks)
    journal.erase()
    assert not journal.folder.exists()


def interrupted(journal: Journal, path: Path, *, ready: bool) -> Path:
    """Leave a run as a killed process does; returns its temporary file."""
    run = journal.start("write")
    entry = run.begin(path, {})
    entry.temp.write_bytes(b"tag" + path.read_bytes())
    if ready:
        from exporters.filesystem import hash_file

        run.prepare(
            entry,
            old_sha256=hash_file(path),
            new_sha256=hash_file(entry.temp),
            old_mtime_ns=path.stat().st_mtime_ns,
        )
    run._files.close()
    run._lock.close()
    return entry.temp


@pytest.mark.parametrize("ready", [True, False])
def test_the_files_of_a_drive_that_is_away_wait_for_it(
    journal: Journal, tracks: list[Path], tmp_path: Path, ready: bool
) -> None:
    drive = tracks[0].parent
    temp = interrupted(journal, tracks[0], ready=ready)
    away = drive.rename(drive.with_name("away"))
    drive.mkdir()  # a mount point stays
    assert journal.recover() == []
    assert journal.runs()[0].interrupted
    other = tmp_path / "other.mp3"
    other.write_bytes(AUDIO)
    tag_all(journal, [other])
    assert journal.prune(max_bytes=0) == []
    drive.rmdir()
    away.rename(drive)
    assert journal.recover() == [temp]
    assert sorted(drive.iterdir()) == tracks
    assert [run.id for run in journal.runs()] == [2]


def test_a_temporary_file_that_is_the_only_copy_becomes_the_file(
    journal: Journal, tracks: list[Path]
) -> None:
    """On FAT a power cut during the replacement may take the old name and leave the new one."""
    interrupted(journal, tracks[0], ready=True)
    tracks[0].unlink()
    assert journal.recover() == []
    assert tracks[0].read_bytes() == b"tag" + AUDIO + b"0.mp3"
    assert undo(journal, take_out=refuse)[0].outcome is Outcome.RESTORED
    assert tracks[0].read_bytes() == AUDIO + b"0.mp3"


def test_an_unfinished_copy_never_becomes_the_file(journal: Journal, tracks: list[Path]) -> None:
    temp = interrupted(journal, tracks[0], ready=False)
    tracks[0].unlink()
    assert journal.recover() == [temp]
    assert sorted(tracks[0].parent.iterdir()) == tracks[1:]


def test_a_failed_file_does_not_end_the_run(journal: Journal, tracks: list[Path]) -> None:
    tracks[1].unlink()
    with journal.start("write") as run:
        tag(run, tracks[0])
        with pytest.raises(FileError):
            tag(run, tracks[1])
        tag(run, tracks[2])
    assert journal.runs()[0].files == 2


def test_a_second_process_waits_for_the_first(tmp_path: Path) -> None:
    first = Journal(tmp_path / "journal").start("write")
    with pytest.raises(BusyError):
        Journal(tmp_path / "journal").start("write", patience=0.1)
    timer = threading.Timer(0.3, first.close)
    timer.start()
    with Journal(tmp_path / "journal").start("write", patience=30):
        assert timer.finished.is_set()
    timer.join()
