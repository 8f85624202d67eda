"""Undo restores byte for byte what nobody touched since, and elsewhere takes out only what is still ours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from exporters.atomic import edit_file
from exporters.journal import Entry, Journal
from exporters.undo import Outcome, UndoResult, newest_to_undo, undo
from moodzone_agent.errors import FileError, TagError, UsageError

AUDIO = os.urandom(5000)
OURS = b"#PURPLE "
OLD_TIME = 1_500_000_000_123_456_789


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


@pytest.fixture
def tracks(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "music"
    folder.mkdir()
    paths = [folder / f"{index}.mp3" for index in range(3)]
    for index, path in enumerate(paths):
        path.write_bytes(before(path))
        os.utime(path, ns=(OLD_TIME, OLD_TIME + index))
    return paths


def before(path: Path) -> bytes:
    return b"comment" + AUDIO + path.name.encode()


def mark(journal: Journal, *paths: Path, token: bytes = OURS) -> int:
    with journal.start("write") as run:
        for path in paths:

            def prepend(copy: Path) -> None:
                copy.write_bytes(token + copy.read_bytes())

            edit_file(path, prepend, run, note={"audio_id": path.name})
    return run.id


def take_out(copy: Path, entry: Entry) -> None:
    copy.write_bytes(copy.read_bytes().replace(OURS, b""))


def outcomes(results: list[UndoResult]) -> list[str]:
    return [result.outcome.value for result in results]


def test_restores_bytes_and_times_last_file_first(journal: Journal, tracks: list[Path]) -> None:
    mark(journal, *tracks)
    reported: list[UndoResult] = []
    results = undo(journal, take_out=take_out, report=reported.append)
    assert outcomes(results) == ["restored"] * 3
    assert [result.path for result in results] == tracks[::-1]
    assert reported == results
    for index, path in enumerate(tracks):
        assert path.read_bytes() == before(path)
        assert path.stat().st_mtime_ns == OLD_TIME + index
    assert undo(journal, take_out=take_out) == []
    assert undo(journal, 1, take_out=take_out) == []


def test_last_run_first(journal: Journal, tracks: list[Path]) -> None:
    mark(journal, tracks[0])
    mark(journal, tracks[0], token=OURS + b"more ")
    assert outcomes(undo(journal, take_out=take_out)) == ["restored"]
    assert tracks[0].read_bytes() == OURS + before(tracks[0])
    assert outcomes(undo(journal, take_out=take_out)) == ["restored"]
    assert [run.undone for run in journal.runs() if run.kind == "write"] == [1, 1]
    assert tracks[0].read_bytes() == before(tracks[0])


def test_a_file_that_the_user_put_back_is_not_touched(journal: Journal, tracks: list[Path]) -> None:
    tracks[0].write_bytes(b"the user's own " + OURS)
    mark(journal, tracks[0])
    tracks[0].write_bytes(b"the user's own " + OURS)
    assert outcomes(undo(journal, take_out=take_out)) == ["already"]
    assert tracks[0].read_bytes() == b"the user's own " + OURS


def test_a_file_that_a_later_run_wrote_is_not_restored_over_it(journal: Journal, tracks: list[Path]) -> None:
    first = mark(journal, *tracks[:2])
    mark(journal, tracks[0], token=b"later ")
    results = undo(journal, first, take_out=take_out)
    assert outcomes(results) == ["restored", "taken out"]
    assert tracks[0].read_bytes() == b"later " + before(tracks[0])


def test_what_others_changed_since_stays(journal: Journal, tracks: list[Path]) -> None:
    mark(journal, *tracks)
    tracks[0].write_bytes(b"rating 5 " + tracks[0].read_bytes())
    tracks[1].write_bytes(before(tracks[1]))
    tracks[2].write_bytes(b"nothing of ours")
    results = undo(journal, take_out=take_out)
    assert outcomes(results) == ["already", "already", "taken out"]
    assert results[2].reason == "it was changed since"
    assert tracks[0].read_bytes() == b"rating 5 " + before(tracks[0])
    assert tracks[2].read_bytes() == b"nothing of ours"


def test_an_undo_can_be_undone_by_its_number(journal: Journal, tracks: list[Path]) -> None:
    mark(journal, tracks[0])
    tracks[0].write_bytes(b"rating 5 " + tracks[0].read_bytes())
    undo(journal, take_out=take_out)
    assert [(run.id, run.kind) for run in journal.runs()] == [(2, "undo"), (1, "write")]
    assert outcomes(undo(journal, 2, take_out=take_out)) == ["restored"]
    assert tracks[0].read_bytes() == b"rating 5 " + OURS + before(tracks[0])


def test_what_failed_can_be_undone_later(journal: Journal, tracks: list[Path]) -> None:
    mark(journal, *tracks)
    tracks[0].chmod(0o444)
    hidden = tracks[1].rename(tracks[1].with_name("hidden"))
    results = undo(journal, take_out=take_out)
    assert outcomes(results) == ["restored", "failed", "failed"]
    assert "vanished" in results[1].reason
    assert "read-only" in results[2].reason
    hidden.rename(tracks[1])
    tracks[0].chmod(0o644)
    assert outcomes(undo(journal, take_out=take_out)) == ["restored"] * 2
    assert [path.read_bytes() for path in tracks] == [before(path) for path in tracks]


def test_a_file_that_cannot_be_taken_out_says_why(journal: Journal, tracks: list[Path]) -> None:
    mark(journal, tracks[0])
    tracks[0].write_bytes(b"other" + tracks[0].read_bytes())

    def refuse(copy: Path, entry: Entry) -> None:
        raise TagError("cannot be spliced")

    (result,) = undo(journal, take_out=refuse)
    assert (result.outcome, result.reason) == (Outcome.FAILED, "cannot be spliced")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_in_the_files_place_does_not_hang(journal: Journal, tracks: list[Path]) -> None:
    mark(journal, tracks[0])
    tracks[0].unlink()
    os.mkfifo(tracks[0])
    (result,) = undo(journal, take_out=take_out)
    assert result.outcome is Outcome.FAILED
    assert "regular" in result.reason


def test_a_moved_file_is_found_by_what_the_caller_noted(journal: Journal, tracks: list[Path]) -> None:
    mark(journal, *tracks)
    moved = tracks[0].rename(tracks[0].with_name("moved.mp3"))

    def locate(entry: Entry) -> Path:
        return moved if entry.note["audio_id"] == "0.mp3" else entry.path

    results = undo(journal, take_out=take_out, locate=locate)
    assert outcomes(results) == ["restored"] * 3
    assert results[2].path == moved
    assert moved.read_bytes() == before(tracks[0])
    assert moved.stat().st_mtime_ns == OLD_TIME


def test_a_file_whose_place_is_unknown_waits(journal: Journal, tracks: list[Path]) -> None:
    """Another drive may be where its own one was, with a file of the same name."""
    mark(journal, tracks[0])
    written = tracks[0].read_bytes()

    def locate(entry: Entry) -> Path:
        raise FileError("its drive is away")

    (result,) = undo(journal, take_out=take_out, locate=locate)
    assert (result.outcome, result.reason) == (Outcome.FAILED, "its drive is away")
    assert tracks[0].read_bytes() == written
    assert outcomes(undo(journal, take_out=take_out)) == ["restored"]


def test_what_an_undone_undo_brought_back_can_be_undone_again(journal: Journal, tracks: list[Path]) -> None:
    mark(journal, *tracks)
    assert newest_to_undo(journal) == 1
    undo(journal, take_out=take_out)
    assert newest_to_undo(journal) is None
    undo(journal, 2, take_out=take_out)
    assert newest_to_undo(journal) == 1
    undo(journal, 3, take_out=take_out)  # so that run 2 stands again, and run 1 is undone
    assert newest_to_undo(journal) is None
    assert [path.read_bytes() for path in tracks] == [before(path) for path in tracks]
    assert outcomes(undo(journal, 2, take_out=take_out)) == ["restored"] * 3
    assert outcomes(undo(journal, take_out=take_out)) == ["restored"] * 3
    assert [path.read_bytes() for path in tracks] == [before(path) for path in tracks]


@pytest.mark.parametrize("damage", ["flipped", "deleted"])
def test_without_its_patch_a_file_loses_only_what_is_ours(
    journal: Journal, tracks: list[Path], damage: str
) -> None:
    mark(journal, tracks[0])
    patches = journal.folder / "000001" / "patches"
    if damage == "flipped":
        data = bytearray(patches.read_bytes())
        data[len(data) // 2] ^= 0xFF
        patches.write_bytes(data)
    else:
        patches.unlink()
    (result,) = undo(journal, take_out=take_out)
    assert result.outcome is Outcome.TAKEN_OUT
    assert "patch" in result.reason
    assert tracks[0].read_bytes() == before(tracks[0])


def test_nothing_to_undo(journal: Journal) -> None:
    assert undo(journal, take_out=take_out) == []
    with pytest.raises(UsageError):
        undo(journal, 1, take_out=take_out)
    assert journal.runs() == []
