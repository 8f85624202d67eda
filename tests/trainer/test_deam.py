"""DEAM's official layout, with its known fault."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from moodzone_agent.errors import DataSetError
from tests.trainer.deam_folder import make_deam
from trainer.datasets.deam import load_deam
from trainer.datasets.splits import artist_folds, in_lockbox

STATIC = "annotations/annotations averaged per song/song_level/static_annotations_averaged_songs_1_2000.csv"


@pytest.mark.parametrize("exchanged", [True, False])
def test_labels_are_right_whether_or_not_they_were_exchanged(tmp_path: Path, exchanged: bool) -> None:
    truth = make_deam(tmp_path / "deam", audio=False, exchanged=exchanged)
    deam = load_deam(tmp_path / "deam")
    assert deam.exchange_undone == (20 if exchanged else 0)
    assert {song.song_id: (song.arousal, song.valence) for song in deam.songs} == {
        song: (pytest.approx(arousal, abs=1e-3), pytest.approx(valence, abs=1e-3))
        for song, (arousal, valence) in truth.items()
    }


def test_artists_come_from_the_metadata(tmp_path: Path) -> None:
    make_deam(tmp_path, audio=False)
    songs = load_deam(tmp_path).songs
    assert songs[0].artist == songs[1].artist == "artist 0"
    assert songs[2].artist == "artist 1"


def test_songs_without_audio_or_label_are_counted(tmp_path: Path) -> None:
    make_deam(tmp_path, audio=False)
    (tmp_path / "MEMD_audio" / "1003.flac").unlink()
    (tmp_path / "MEMD_audio" / "1999.mp3").touch()
    (tmp_path / "MEMD_audio" / "notes.txt").touch()
    deam = load_deam(tmp_path)
    assert deam.left_out == {"no audio": 1, "no label": 1}
    assert 1003 not in {song.song_id for song in deam.songs}


def test_missing_parts_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"static_annotations.*is missing"):
        load_deam(tmp_path)
    make_deam(tmp_path / "deam", audio=False)
    (tmp_path / "deam" / STATIC).write_text("song_id,arousal_mean\n1,high\n")
    with pytest.raises(DataSetError, match="a row is not"):
        load_deam(tmp_path / "deam")


@pytest.mark.shared
def test_the_real_release(shared: Path) -> None:
    deam = load_deam(shared / "data" / "deam")
    assert len(deam.songs) == 1802
    assert deam.exchange_undone == 744
    with (shared / "data" / "deam" / "songs_checked.csv").open(encoding="utf-8") as file:
        checked = {int(row["song_id"]): row for row in csv.DictReader(file)}
    for song in deam.songs:
        assert song.arousal == pytest.approx(float(checked[song.song_id]["arousal_static"]))
        assert song.valence == pytest.approx(float(checked[song.song_id]["valence_static"]))


def test_folds_and_lockbox_never_share_an_artist() -> None:
    artists = [f"artist {number // 3}" for number in range(300)]
    seen: list[int] = []
    for train, judge in artist_folds(artists, seed=1):
        assert not {artists[row] for row in train} & {artists[row] for row in judge}
        seen.extend(judge.tolist())
    assert sorted(seen) == list(range(300))
    locked = sum(in_lockbox(f"name {number}") for number in range(5000)) / 5000
    assert locked == pytest.approx(0.2, abs=0.02)
