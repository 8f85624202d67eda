"""Importance, domain shift, learning curve and suspects, on data whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression

from moodzone_agent.classify.bundle import load_bundle
from moodzone_agent.classify.pool import HEAD_INPUTS
from moodzone_agent.features.spec import FAMILIES, FEATURE_NAMES
from moodzone_agent.types import Cuts
from trainer.finetuning.learning_curve import SHOWN, Point, learning_curve, sizes
from trainer.finetuning.strategies import Labelled, load_base
from trainer.judgement import plots
from trainer.judgement.importance import FAMILY_OF, POOLED, permute, shares_of_gain
from trainer.judgement.mislabelled import suspects
from trainer.judgement.shift import domain_shift
from trainer.pretraining.ensemble import NormalScores

FloatArray = NDArray[np.float64]


def noisy_zones(count: int, *, columns: int = 4) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Rows whose first column tells the zone; the others are noise."""
    rng = np.random.default_rng(3)
    ranks = rng.integers(0, 3, count)
    rows = rng.normal(0, 1, (count, columns))
    rows[:, 0] = 2.0 * ranks + rng.normal(0, 0.7, count)
    return rows.astype(np.float32), ranks


def test_permutation_is_scikit_learns() -> None:
    rows, ranks = noisy_zones(400)
    model = LogisticRegression().fit(rows[:, :3], ranks)

    def predict(some: NDArray[np.float32]) -> FloatArray:
        return np.asarray(model.predict_proba(some[:, :3]))

    groups = {"telling": [0], "noise": [1], "unused": [3], "both": [0, 1]}
    rises = permute(predict, rows, ranks, groups, repeats=20, seed=0)
    assert rises["unused"] == (0.0, 0.0)
    expected = permutation_importance(
        model, rows[:, :3], ranks, scoring="neg_log_loss", n_repeats=20, random_state=1
    )
    assert rises["telling"][0] == pytest.approx(expected.importances_mean[0], rel=0.1)
    assert abs(rises["noise"][0]) < 0.05 * rises["telling"][0]
    assert rises["both"][0] == pytest.approx(rises["telling"][0], rel=0.1)


def test_shuffling_keeps_a_groups_columns_together() -> None:
    rows = np.arange(20, dtype=np.float32)[:, None].repeat(3, axis=1)
    seen = []

    def predict(some: NDArray[np.float32]) -> FloatArray:
        seen.append(some)
        return np.full((len(some), 3), 1 / 3)

    permute(predict, rows, np.zeros(20, np.intp), {"pair": [0, 2]}, repeats=1, seed=0)
    np.testing.assert_array_equal(seen[1][:, 0], seen[1][:, 2])
    np.testing.assert_array_equal(seen[1][:, 1], rows[:, 1])
    assert not np.array_equal(seen[1][:, 0], rows[:, 0])


def test_every_input_has_a_family() -> None:
    assert list(FAMILY_OF) == list(HEAD_INPUTS)
    assert set(FAMILY_OF.values()) == {*FAMILIES, POOLED}


def test_gain_is_of_the_shipped_trees() -> None:
    shares = shares_of_gain(load_base(load_bundle()).booster)
    assert shares is not None
    assert sum(shares) == pytest.approx(1)
    assert HEAD_INPUTS[int(np.argmax(shares))] == "arousal_mean"
    assert shares_of_gain(None) is None


def test_no_shift_where_there_is_none() -> None:
    rng = np.random.default_rng(0)
    rows = rng.gamma(4.0, 1.0, (4000, len(FEATURE_NAMES))).astype(np.float32)
    rows[:, 7] = 1.0  # never varies
    moved = rows.copy()
    column = FEATURE_NAMES.index("brightness")
    moved[:, column] = rows[:, column] * 2
    items = domain_shift(NormalScores.fit(rows), moved)
    by_name = {item.feature: item for item in items}
    assert items[0].feature == "brightness"
    assert items[0].ratio == pytest.approx(2, rel=0.02)
    deviation = rows[:, column].std()
    assert items[0].shift == pytest.approx(np.median(rows[:, column]) / deviation, rel=0.1)
    constant = by_name[FEATURE_NAMES[7]]
    assert (constant.shift, constant.ratio, constant.outside) == (None, 1.0, 0.0)
    others = [item for item in items[1:] if item is not constant]
    assert max(abs(item.shift or 0) for item in others) < 0.01
    assert np.mean([item.outside for item in others]) == pytest.approx(1 / 17, abs=0.003)


def test_swapped_labels_are_the_first_suspects() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 200)
    logits = 3.0 * np.eye(3)[truth] + rng.normal(0, 0.5, (200, 3))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    ranks = truth.copy()
    ranks[:6] = (truth[:6] + 1) % 3
    found = suspects(ranks, chances)
    assert {item.place for item in found[:6]} == set(range(6))
    assert [item.suggested for item in found[:6]] == [truth[item.place] for item in found[:6]]
    assert [item.margin for item in found] == sorted(item.margin for item in found)
    assert suspects(truth, np.eye(3)[truth]) == []
    assert suspects(np.empty(0, np.intp), np.empty((0, 3))) == []


@pytest.mark.parametrize(
    ("most", "expected"),
    [(11, []), (12, [12]), (13, [12, 13]), (50, [12, 25, 50]), (230, [12, 25, 50, 100, 200, 230])],
)
def test_sizes_of_the_learning_curve(most: int, expected: list[int]) -> None:
    assert list(sizes(most)) == expected


def labelled(count: int, *, artists: int) -> Labelled:
    """Rows whose mean arousal tells the zone."""
    rng = np.random.default_rng(2)
    ranks = rng.integers(0, 3, count)
    rows = rng.normal(0, 1, (count, len(HEAD_INPUTS))).astype(np.float32)
    rows[:, HEAD_INPUTS.index("arousal_mean")] = 3.5 + 1.5 * ranks + rng.normal(0, 0.4, count)
    return Labelled(rows, ranks, np.ones(count), tuple(f"{place % artists}" for place in range(count)))


def test_the_curve_of_what_is_easy_is_high() -> None:
    base = load_base(load_bundle())
    points = learning_curve(labelled(80, artists=40), base)
    assert {point.strategy for point in points} == set(SHOWN)
    counts = sorted({point.labels for point in points})
    assert counts[:3] == [12, 25, 50]
    assert 60 <= counts[-1] <= 66
    assert all(point.accuracy > 0.8 for point in points if point.labels == counts[-1])
    assert all(0 <= point.error < 0.1 for point in points)
    assert learning_curve(labelled(80, artists=40), base) == points


@pytest.mark.parametrize(("count", "artists"), [(12, 12), (60, 1), (0, 1)])
def test_no_curve_without_enough(count: int, artists: int) -> None:
    assert learning_curve(labelled(count, artists=artists), load_base(load_bundle())) == []


def test_pictures_of_extremes(tmp_path: Path) -> None:
    """One track, one zone, certainty, one point, thousands of dots, cuts at the edge."""
    one = np.zeros(1, np.intp)
    plots.confusion_matrix(one, one, tmp_path / "a.png")
    plots.reliability_diagram(one, np.array([[1.0, 0.0, 0.0]]), tmp_path / "b.png")
    plots.learning_curve([Point("transfer", 12, 1.0, 0.0)], 1.0, tmp_path / "c.png")
    rng = np.random.default_rng(0)
    many = plots.Dots(
        rng.uniform(1, 9, 5000), rng.uniform(1, 9, 5000), rng.integers(0, 3, 5000), coloured_by="rating"
    )
    plots.zone_map(many, Cuts(1.0, 9.0, 9.5), tmp_path / "d.png", tinted=True)
    assert all(path.stat().st_size > 5000 for path in tmp_path.iterdir())
