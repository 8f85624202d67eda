"""The benchmark: who is judged by what, and figures that are scikit-learn's."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, r2_score, recall_score

from moodzone_agent.errors import DataSetError
from moodzone_agent.features.spec import FEATURE_NAMES
from moodzone_agent.types import Cuts
from tests.trainer.deam_folder import make_deam
from trainer import cli
from trainer.datasets.deam import Song, load_deam
from trainer.datasets.splits import FOLDS
from trainer.finetuning.strategies import STRATEGIES
from trainer.judgement.benchmark import (
    MAJORITY,
    STAND_IN_LABELS,
    UNTUNED,
    Goal,
    StandIn,
    accuracy_of_surest,
    fold_score,
    read_split,
    split_parts,
    stand_in_parts,
)
from trainer.pretraining.ensemble import NormalScores, zone_probabilities
from trainer.pretraining.pretrain import TrainingData


def made_up(songs: int = 200) -> TrainingData:
    """Songs of one window each whose features hold their arousal; a third is Electronic, artists have several."""
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(songs, len(FEATURE_NAMES))).astype(np.float32)
    arousal = np.clip(5 + 1.5 * rows[:, 0] + rng.normal(scale=0.3, size=songs), 1, 9)
    made = tuple(
        Song(
            song,
            Path(f"{song}.mp3"),
            artist=f"artist {song % 57}",
            genre="Rock, Electronic" if song % 57 % 3 == 0 and song > 60 else "Rock",
            arousal=float(arousal[song]),
            valence=float(rng.uniform(2, 8)),
        )
        for song in range(songs)
    )
    return TrainingData(made, rows, np.arange(songs))


@pytest.fixture(scope="module")
def stand_in() -> StandIn:
    data = made_up()
    others, users = stand_in_parts(data)

    def guess(part: TrainingData) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        return np.column_stack((5 + 1.5 * part.windows[:, 0], np.full(len(part.windows), 5.0)))

    return StandIn.of(others, users, guess(others), guess(users), NormalScores.fit(others.windows), seed=0)


def test_the_stand_ins_model_knows_none_of_its_artists() -> None:
    """Not even by songs of theirs of another genre, which go to neither side."""
    data = made_up()
    others, users = stand_in_parts(data)
    assert not set(others.artists) & set(users.artists)
    assert all("Electronic" in song.genre for song in users.songs)
    assert len(users.songs) == sum("Electronic" in song.genre for song in data.songs)
    of_both = len(data.songs) - len(others.songs) - len(users.songs)
    assert of_both > 0, "some artists have songs of both genres"


@pytest.mark.parametrize("labels", STAND_IN_LABELS)
def test_the_stand_in_never_trains_on_the_artists_it_is_judged_on(
    stand_in: StandIn, labels: int | None
) -> None:
    artists = np.array(stand_in.labels.artists)
    for repeat in range(3):
        judged = []
        for fold in range(FOLDS):
            train, judge = stand_in.given(repeat, fold, labels, seed=0)
            every, same = stand_in.given(repeat, fold, None, seed=0)
            assert not set(artists[train]) & set(artists[judge])
            assert set(train) <= set(every)
            assert len(train) == min(labels or len(every), len(every))
            np.testing.assert_array_equal(judge, same)
            judged += judge.tolist()
        assert sorted(judged) == list(range(len(stand_in.labels))), "each track once"


def test_each_strategy_answers_with_few_labels_of_rare_zones(stand_in: StandIn) -> None:
    """Of two PURPLE tracks there is none in one of three inner folds."""
    rare = np.flatnonzero(stand_in.labels.ranks == 2)[2:]
    labels = stand_in.labels.only(np.setdiff1d(np.arange(len(stand_in.labels)), rare)[:30])
    for strategy in STRATEGIES.values():
        said = strategy.fit(labels, stand_in.base, 3.0, 0).predict(stand_in.labels.rows)
        np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-5)


def test_the_stand_ins_scores_are_means_over_repeats(stand_in: StandIn) -> None:
    """Of answers with known errors; each repeat counts all tracks once."""
    rng = np.random.default_rng(2)
    ranks = stand_in.labels.ranks
    names = (MAJORITY, UNTUNED, *STRATEGIES)
    answers, truth = {}, []
    for repeat in range(2):
        said = {name: rng.dirichlet((1, 1, 1), len(ranks)) for name in names}
        truth.append(accuracy_score(ranks, said["joint"].argmax(axis=1)))
        for fold in range(FOLDS):
            train, judge = stand_in.given(repeat, fold, 30, seed=0)
            answers[repeat, fold, 30] = (
                len(train),
                judge,
                {name: values[judge] for name, values in said.items()},
            )
            for labels in (100, None):
                answers[repeat, fold, labels] = answers[repeat, fold, 30]
    scores = {(score.strategy, score.labels): score for score in stand_in.scores_of(answers)}
    assert scores["joint", 30].by_repeat == pytest.approx(truth)
    assert scores["joint", 30].accuracy == pytest.approx(np.mean(truth))
    assert scores[MAJORITY, None].accuracy_of_surest is None


def test_the_surest_are_those_of_highest_probability() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.4, 0.35, 0.25], [0.0, 0.1, 0.9]])
    ranks = np.array([1, 1, 2, 2])
    assert accuracy_of_surest(ranks, probabilities, share=0.5) == 1
    assert accuracy_of_surest(ranks, probabilities, share=1.0) == 0.5


def test_figures_of_the_folds_are_scikit_learns() -> None:
    data = made_up()
    rng = np.random.default_rng(1)
    rows = data.truth + rng.normal(scale=1.0, size=data.truth.shape)
    score = fold_score(data, rows)
    ranks = np.array([Cuts().zone(*affect).rank for affect in data.truth])
    probabilities = zone_probabilities(rows, (rows - data.truth).std(axis=0), Cuts())
    evened = probabilities / (np.bincount(ranks) / len(ranks))
    assert score.arousal_r2 == pytest.approx(r2_score(data.truth[:, 0], rows[:, 0]))
    assert score.valence_r2 == pytest.approx(r2_score(data.truth[:, 1], rows[:, 1]))
    for figures, answers in ((score.natural, probabilities), (score.balanced, evened)):
        zones = answers.argmax(axis=1)
        assert figures.accuracy == pytest.approx(accuracy_score(ranks, zones))
        assert figures.balanced_accuracy == pytest.approx(balanced_accuracy_score(ranks, zones))
        assert figures.recall["PURPLE"] == pytest.approx(recall_score(ranks, zones, average=None)[2])
    assert score.balanced.recall["PURPLE"] > score.natural.recall["PURPLE"]


def test_goals_are_not_rounded_into_reach() -> None:
    assert not Goal("", 0.73, 0.7299).met
    assert Goal("", 0.73, 0.73).met
    assert Goal("", 0.003, 0.0029, at_most=True).met
    assert not Goal("", 0.003, 0.0031, at_most=True).met


def test_labels_can_be_left_as_released(tmp_path: Path) -> None:
    truth = make_deam(tmp_path / "deam", audio=False)
    deam = load_deam(tmp_path / "deam", undo_exchange=False)
    assert deam.exchange_undone == 0
    for song in deam.songs:
        arousal, valence = truth[song.song_id]
        expected = (valence, arousal) if song.song_id <= 1000 else (arousal, valence)
        assert (song.arousal, song.valence) == pytest.approx(expected, abs=1e-3)


def make_split(folder: Path, train: list[int], validation: list[int], test: list[int]) -> Path:
    folder.mkdir()
    for name, ids in (("train", train), ("validation", validation), ("test", test)):
        (folder / f"{name}.txt").write_text("\n".join(map(str, ids)) + "\n", encoding="utf-8")
    return folder


def test_the_split_is_as_its_files_say(tmp_path: Path) -> None:
    ids = read_split(make_split(tmp_path / "split", [3, 1], [5], [2, 999]))
    assert ids == ([3, 1, 5], [2, 999])
    train, test = split_parts(made_up(20), *ids)
    assert [song.song_id for song in train.songs] == [1, 3, 5]
    assert [song.song_id for song in test.songs] == [2]


def test_a_split_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"train\.txt cannot be read.*--split wants"):
        read_split(tmp_path)
    with pytest.raises(DataSetError, match="song 3 is both"):
        read_split(make_split(tmp_path / "both", [1, 3], [4], [3]))
    folder = make_split(tmp_path / "words", [1], [2], [3])
    (folder / "test.txt").write_text("three\n")
    with pytest.raises(DataSetError, match="a song id in each line"):
        read_split(folder)
    with pytest.raises(DataSetError, match="no song of DEAM"):
        split_parts(made_up(20), [1], [777])


def test_a_deam_of_one_genre_has_no_stand_in() -> None:
    data = made_up()
    electronic = np.flatnonzero(["Electronic" in song.genre for song in data.songs])
    with pytest.raises(DataSetError, match="needs 5 artists"):
        stand_in_parts(data.only(electronic))


def test_a_place_for_figures_that_is_not_there_is_said_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--deam", str(tmp_path), "--json", str(tmp_path / "not there" / "figures.json")]
    monkeypatch.setattr(sys, "argv", ["moodzone-train", "benchmark", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    assert "there is no folder" in capfd.readouterr().err


@pytest.mark.slow
def test_the_command_prints_tables_and_writes_every_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    deam = tmp_path / "deam"
    make_deam(deam)
    metadata = deam / "metadata" / "metadata_2014.csv"
    # The comma in its titles is not quoted, as in the release, and would push the genre aside.
    lines = metadata.read_text(encoding="utf-8").replace("title, with a comma", "title").splitlines()
    lines = [
        line.replace("Electronic", "Rock") if number % 4 in {1, 2} else line
        for number, line in enumerate(lines)
    ]
    metadata.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (deam / "MEMD_audio" / "1001.flac").write_bytes(b"not music")
    ids = [song.song_id for song in load_deam(deam).songs]
    split = make_split(tmp_path / "split", ids[::2], ids[1::4], ids[3::4])
    monkeypatch.setenv("MOODZONE_HOME", str(tmp_path / "home"))
    figures = tmp_path / "figures.json"
    arguments = ["--deam", deam, "--split", split, "--json", figures, "--repeats", 1, "--jobs", 2]
    monkeypatch.setattr(sys, "argv", ["moodzone-train", "benchmark", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    said = capfd.readouterr()
    assert stop.value.code == 0, said.err
    assert "left out 1 songs of DEAM: audio cannot be read" in said.err
    written = json.loads(figures.read_text(encoding="utf-8"))
    assert {score["strategy"] for score in written["stand_in"]} == {MAJORITY, UNTUNED, *STRATEGIES}
    assert len(written["stand_in"]) == 3 * (2 + len(STRATEGIES))
    assert [split["as_released"] for split in written["splits"]] == [True, False]
    assert written["folds"]["arousal_r2"] > 0.5, "arousal follows the music's energy"
    for goal in written["goals"]:
        assert goal["what"] in said.out
    assert f"| arousal R² | {written['folds']['arousal_r2']:.3f} |" in said.out
