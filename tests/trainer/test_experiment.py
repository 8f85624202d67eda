"""`moodzone-train experiment`: the ways to fine-tune beside baselines, on one user's labels."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, log_loss, recall_score
from sklearn.preprocessing import StandardScaler

from moodzone_agent.classify.bundle import load_bundle
from moodzone_agent.classify.pool import HEAD_INPUTS
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.errors import DataSetError, UsageError
from moodzone_agent.features.spec import FEATURE_NAMES
from moodzone_agent.types import ZONES, LabelOrigin
from tests.trainer.music import make_track
from trainer import cli
from trainer.commands import learning as cli_learning
from trainer.datasets.deam import Song
from trainer.datasets.splits import FOLDS, label_folds
from trainer.datasets.store import analyse_into, open_cache
from trainer.datasets.user import UserLabel
from trainer.finetuning.deam_rows import deam_labelled
from trainer.finetuning.experiment import (
    EXPERIMENTS,
    MAJORITY,
    UNTUNED,
    Experiment,
    StandardisedHead,
    compare,
    fit_standardised,
    paired,
    pretrained_bundle,
    ranked,
)
from trainer.finetuning.heads import TreesHead
from trainer.finetuning.strategies import STRATEGIES, Base, Labelled, held_out
from trainer.finetuning.user_rows import UserData
from trainer.pretraining.ensemble import NormalScores
from trainer.pretraining.pretrain import TrainingData

AROUSAL = HEAD_INPUTS.index("arousal_mean")


def rows_and_ranks(count: int, *, seed: int) -> Labelled:
    """Tracks whose zones follow arousal; two by each artist."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, len(HEAD_INPUTS))).astype(np.float32)
    arousal = rng.uniform(2, 8, count)
    rows[:, AROUSAL] = arousal
    ranks = np.digitize(arousal + rng.normal(scale=0.5, size=count), (4.0, 5.5))
    return Labelled(rows, ranks, np.ones(count), tuple(f"artist {track // 2}" for track in range(count)))


def as_user(labels: Labelled, origin: LabelOrigin = LabelOrigin.IMPORTED) -> UserData:
    tracks = tuple(
        UserLabel(f"id {place}", ZONES[rank], origin, artist, Path(f"{place}.mp3"))
        for place, (rank, artist) in enumerate(zip(labels.ranks, labels.artists, strict=True))
    )
    return UserData(labels, tracks, np.random.default_rng(3).dirichlet((1, 1, 1), len(labels)))


@pytest.fixture(scope="module")
def base() -> Base:
    deam = rows_and_ranks(80, seed=8)
    booster = TreesHead.fit(deam.rows, deam.ranks, deam.weights, seed=0).booster
    return Base(NormalScores.fit(deam.rows[:, : len(FEATURE_NAMES)]), booster, deam)


def run(data: UserData, base: Base, *ways: str) -> Experiment:
    return compare(
        data,
        base,
        user_weight=3.0,
        seed=1,
        progress=lambda done, of: None,
        ways={name: EXPERIMENTS[name] for name in ways or EXPERIMENTS},
    )


@pytest.fixture(scope="module")
def compared(base: Base) -> Experiment:
    return run(as_user(rows_and_ranks(60, seed=2)), base)


def test_all_strategies_and_baselines_are_there(compared: Experiment) -> None:
    assert {row.strategy for row in compared.rows} == {MAJORITY, UNTUNED, *EXPERIMENTS}
    assert compared.left_out == ()
    accuracies = [row.zone.accuracy for row in compared.rows]
    assert accuracies == sorted(accuracies, reverse=True)
    by_name = {row.strategy: row for row in compared.rows}
    assert by_name["transfer"].zone.accuracy > by_name[MAJORITY].zone.accuracy


def test_figures_are_scikit_learns(compared: Experiment, base: Base) -> None:
    labels = rows_and_ranks(60, seed=2)
    said = held_out(lambda some: STRATEGIES["logistic"].fit(some, base, 3.0, 1), labels, folds=FOLDS, seed=1)
    answers = said.argmax(axis=1)
    row = next(row for row in compared.rows if row.strategy == "logistic")
    assert row.zone.accuracy == pytest.approx(accuracy_score(labels.ranks, answers))
    assert row.zone.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels.ranks, answers))
    assert row.zone.macro_f1 == pytest.approx(f1_score(labels.ranks, answers, average="macro"))
    assert row.zone.weighted_f1 == pytest.approx(f1_score(labels.ranks, answers, average="weighted"))
    assert row.zone.recall["PURPLE"] == pytest.approx(recall_score(labels.ranks, answers, average=None)[2])
    assert row.reliability.log_loss == pytest.approx(log_loss(labels.ranks, said))


def test_the_majority_is_that_of_the_other_folds(compared: Experiment) -> None:
    labels = rows_and_ranks(60, seed=2)
    right = 0
    for train, judge in label_folds(labels.ranks, labels.artists, folds=FOLDS, seed=1):
        right += np.count_nonzero(labels.ranks[judge] == np.bincount(labels.ranks[train]).argmax())
    row = next(row for row in compared.rows if row.strategy == MAJORITY)
    assert row.zone.accuracy == pytest.approx(right / 60)


def test_strategies_that_need_deam_are_left_out_without_it(base: Base) -> None:
    needing = tuple(name for name, strategy in EXPERIMENTS.items() if strategy.needs_deam)
    assert set(needing) == {"joint", "balanced", "standardised"}
    found = run(
        as_user(rows_and_ranks(40, seed=2)), Base(base.scores, base.booster), "transfer", *needing, "logistic"
    )
    assert found.left_out == needing
    assert {row.strategy for row in found.rows} == {MAJORITY, UNTUNED, "transfer", "logistic"}


def test_standardising_takes_away_what_all_tracks_of_a_library_share(base: Base) -> None:
    """Louder by so much or wider by so much, all of them, changes nothing."""
    labels, others = rows_and_ranks(40, seed=2), rows_and_ranks(10, seed=3)
    head = fit_standardised(labels, base, 3.0, 1)
    moved = replace(labels, rows=(labels.rows * 2 + 5).astype(np.float32))
    again = fit_standardised(moved, base, 3.0, 1)
    said = again.predict((others.rows * 2 + 5).astype(np.float32))
    np.testing.assert_allclose(said, head.predict(others.rows), atol=0.05)
    assert isinstance(head, StandardisedHead)
    np.testing.assert_allclose(head.centre, StandardScaler().fit(labels.rows).mean_, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(head.scale, StandardScaler().fit(labels.rows).scale_, rtol=1e-5)


def test_weak_labels_judge_nothing(base: Base) -> None:
    data = as_user(rows_and_ranks(40, seed=2))
    weak = as_user(data.labelled, LabelOrigin.WEAK)
    mixed = replace(data, tracks=(*weak.tracks[:10], *data.tracks[10:]))
    found = run(mixed, base, "logistic")
    assert (found.labels, found.judged) == (40, 30)
    assert all(row.zone.songs == 30 for row in found.rows)
    with pytest.raises(DataSetError, match="all labels are weak"):
        run(weak, base)


def test_differences_are_paired() -> None:
    """On the same tracks; where each artist has one, the standard error is the usual one."""
    rng = np.random.default_rng(0)
    differences = rng.integers(-1, 2, 50).astype(np.float64)
    mean, error = paired(differences, [f"artist {track}" for track in range(50)])
    assert mean == pytest.approx(differences.mean())
    assert error == pytest.approx(differences.std(ddof=1) / np.sqrt(50))
    _, twice = paired(np.repeat(differences, 2), [f"artist {track // 2}" for track in range(100)])
    assert twice == pytest.approx(error), "the same track twice tells nothing new"


def test_what_is_too_close_to_tell_is_said() -> None:
    ranks = np.arange(60) % 3
    right, wrong = np.eye(3)[ranks], np.eye(3)[(ranks + 1) % 3]
    nearly = right.copy()
    nearly[0] = wrong[0]
    rows = ranked({"bad": wrong, "good": right, "near": nearly}, ranks, [str(track) for track in range(60)])
    assert [row.strategy for row in rows] == ["good", "near", "bad"]
    assert rows[1].difference == pytest.approx(-1 / 60)
    assert [row.as_good for row in rows] == [True, True, False]
    found = Experiment(60, 60, 0, rows, ())
    assert found.verdict().endswith("don't tell which is better: near.")
    assert "ahead of each other" in Experiment(60, 60, 0, (rows[0], rows[2]), ()).verdict()


def test_deams_rows_are_rated_by_models_that_do_not_know_their_artist() -> None:
    """Artists whose every song lies far from the others' can't be rated right by those who don't know them."""
    rng = np.random.default_rng(6)
    windows = rng.normal(size=(60, len(FEATURE_NAMES))).astype(np.float32)
    songs = tuple(
        Song(song, Path(), f"artist {song // 4}", "", arousal=float(rng.uniform(1, 9)), valence=5.0)
        for song in range(60)
    )
    from moodzone_agent.types import Cuts

    data = TrainingData(songs, windows, np.arange(60))
    labelled = deam_labelled(data, Cuts(), seed=0)
    said = labelled.rows[:, AROUSAL]
    assert np.corrcoef(said, data.truth[:, 0])[0, 1] < 0.5, "noise was learned by heart"
    assert np.corrcoef(data.fit(seed=0).predict(windows)[:, 0], data.truth[:, 0])[0, 1] > 0.9


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eighteen labelled tracks, and the home with their features."""
    folder = tmp_path_factory.mktemp("labelled").resolve()
    lines = ["path,zone"]
    for seed in range(18):
        path = make_track(folder / f"{seed}.flac", seed, artist=f"Artist {seed // 2}", title=f"Title {seed}")
        lines.append(f"{path},{ZONES[seed % 3]}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with open_cache(folder / "home" / "training.sqlite") as cache:
        analyse_into(cache, [folder], jobs=2, progress=lambda done, of: None)
    return folder


def test_the_command_compares_on_labels_of_any_kind(
    music: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MOODZONE_HOME", str(music / "home"))
    arguments = ["experiment", "--data", str(music / "labels.csv"), "--jobs", "1", "--json"]
    monkeypatch.setattr(sys, "argv", ["moodzone-train", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    said = capfd.readouterr()
    assert stop.value.code == 0, said.err
    assert "18 labelled tracks (18 imported)" in said.err
    assert "train on DEAM's tracks, too: joint, balanced, standardised; give --deam" in said.err
    written = json.loads(said.out)
    assert (written["judged"], written["left_out"]) == (18, ["joint", "balanced", "standardised"])
    assert {row["strategy"] for row in written["rows"]} >= {MAJORITY, UNTUNED, "transfer"}


def test_the_table_holds_each_way(
    compared: Experiment, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    cli_learning._print_experiment(compared)
    lines = capfd.readouterr().out.splitlines()
    assert "judged on 60 labels; 0 held out took no part" in lines[0]
    for row in compared.rows:
        (line,) = [line for line in lines if f"│ {row.strategy} " in line]
        assert f"{row.zone.accuracy:.3f}" in line
        assert f"{row.reliability.log_loss:.3f}" in line
    assert lines[-1] == compared.verdict()


def test_a_fine_tuned_bundle_is_no_base(tmp_path: Path) -> None:
    """It has learned from the labels that would judge it."""
    import hashlib
    import shutil

    from moodzone_agent.classify.bundle import PRETRAINED

    folder = tmp_path / "tuned"
    shutil.copytree(PRETRAINED, folder)
    shutil.copyfile(folder / "zone.onnx", folder / "head.onnx")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["head.onnx"] = hashlib.sha256((folder / "head.onnx").read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match="was fine-tuned on labels"):
        pretrained_bundle(folder)
    assert ZoneModel(pretrained_bundle(None)).model_id == load_bundle().model_id
