"""Heads on rows whose zones follow from what they hold; what is exported agrees with what was trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct

from moodzone_agent.classify.pool import HEAD_INPUTS
from moodzone_agent.errors import BundleError, DataSetError, UsageError
from moodzone_agent.features.spec import FEATURE_NAMES
from moodzone_agent.types import Zone
from trainer.export.head import check_head_parity, head_to_onnx
from trainer.finetuning import heads
from trainer.finetuning.finetune import Recipe, check_artists, check_enough, favour, tune
from trainer.finetuning.heads import (
    Calibration,
    GaussianProcessHead,
    LogisticHead,
    MeanHead,
    StackedHead,
    Thresholds,
    TreesHead,
)
from trainer.finetuning.strategies import STRATEGIES, Base, Labelled, held_out
from trainer.pretraining.ensemble import NormalScores

# onnx's own code calls what newer NumPy and protobuf deprecate.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

AROUSAL = HEAD_INPUTS.index("arousal_mean")


def labelled(count: int, *, seed: int = 0, features_tell: bool = False) -> Labelled:
    """Tracks whose zone follows from their arousal or, if `features_tell`, from their first feature as well."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(0, 1, (count, len(HEAD_INPUTS))).astype(np.float32)
    rows[:, len(FEATURE_NAMES) :] = 0.5
    rows[:, AROUSAL] = rng.uniform(2.5, 7.5, count)
    rows[:, HEAD_INPUTS.index("valence_mean")] = 5
    position = rows[:, AROUSAL] - 5 + (1.5 * rows[:, 0] if features_tell else 0)
    ranks = np.digitize(position + rng.normal(0, 0.3, count), [-0.7, 0.7])
    return Labelled(rows, ranks, np.ones(count), tuple(f"artist {number // 2}" for number in range(count)))


@pytest.fixture(scope="module")
def base() -> Base:
    deam = labelled(300, seed=9)
    scores = NormalScores.fit(deam.rows[:, : len(FEATURE_NAMES)])
    return Base(scores, TreesHead.fit(deam.rows, deam.ranks, deam.weights, seed=0).booster, deam)


def accuracy(probabilities: NDArray[np.float64], ranks: NDArray[np.intp]) -> float:
    return float(np.mean(probabilities.argmax(axis=1) == ranks))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_learns_and_its_export_agrees(strategy: str, base: Base, tmp_path: Path) -> None:
    train, test = labelled(90), labelled(90, seed=1)
    head = STRATEGIES[strategy].fit(train, base, 3.0, 0)
    probabilities = head.predict(test.rows)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert accuracy(probabilities, test.ranks) > 0.75
    path = tmp_path / "head.onnx"
    onnx.save(head_to_onnx(head), path)
    assert check_head_parity(path, head, test.rows) <= 1e-5


def test_a_head_that_disagrees_is_refused(base: Base, tmp_path: Path) -> None:
    train = labelled(60)
    head = GaussianProcessHead.fit(train.rows, train.ranks, train.weights, base.scores)
    path = tmp_path / "head.onnx"
    onnx.save(head_to_onnx(head), path)
    other = GaussianProcessHead.fit(train.rows, 2 - train.ranks, train.weights, base.scores)
    with pytest.raises(BundleError, match="differs"):
        check_head_parity(path, other, train.rows)


def test_the_process_is_scikit_learns(base: Base) -> None:
    """The position on the scale of ranks is the mean of a process with the same kernel, noise and prior mean."""
    train, test = labelled(60, features_tell=True), labelled(20, seed=1, features_tell=True)
    head = GaussianProcessHead.fit(train.rows, train.ranks, train.weights, base.scores)

    def inputs(rows: NDArray[np.float32]) -> NDArray[np.float64]:
        affect = (rows[:, heads.AFFECT_COLUMNS] - heads.CENTRE) * heads._SLOPE_SPREAD
        scaled = base.scores.transform(rows[:, : len(FEATURE_NAMES)]) * head.scale
        return np.column_stack((affect, scaled))

    def prior(rows: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.asarray((rows[:, heads.AFFECT_COLUMNS] - heads.CENTRE) @ heads._SLOPE)

    # scikit-learn has no kernel on some columns only: those that a part shall not see are stretched to nothing.
    far = np.r_[np.full(3, 1e9), np.full(len(FEATURE_NAMES), np.sqrt(1 / (2 * heads.GAMMA)))]
    smooth = ConstantKernel(heads.KERNEL_VARIANCE, "fixed") * RBF(far, "fixed")
    rows, others = inputs(train.rows), inputs(test.rows)
    line = DotProduct(1.0, "fixed")
    covariance = line(rows[:, :3]) + smooth(rows)
    across = line(others[:, :3], rows[:, :3]) + smooth(others, rows)
    solved = np.linalg.solve(covariance + heads.NOISE * np.eye(60), train.ranks - 1.0 - prior(train.rows))
    expected = prior(test.rows) + across @ solved
    np.testing.assert_allclose(head.predict(test.rows), head.thresholds.probabilities(expected), atol=1e-6)
    # And that this is the formula by which scikit-learn predicts.
    regressor = GaussianProcessRegressor(smooth, alpha=heads.NOISE, optimizer=None).fit(
        rows, train.ranks - 1.0
    )
    by_hand = smooth(others, rows) @ np.linalg.solve(
        smooth(rows) + heads.NOISE * np.eye(60), train.ranks - 1.0
    )
    np.testing.assert_allclose(regressor.predict(others), by_hand, atol=1e-8)


def test_few_labels_leave_it_near_what_was_pretrained_and_many_teach_it(base: Base) -> None:
    test = labelled(200, seed=5, features_tell=True)
    reached = [
        accuracy(
            STRATEGIES["transfer"]
            .fit(labelled(count, seed=4, features_tell=True), base, 3.0, 0)
            .predict(test.rows),
            test.ranks,
        )
        for count in (15, 400)
    ]
    logistic = STRATEGIES["logistic"].fit(labelled(400, seed=4, features_tell=True), base, 3.0, 0)
    assert reached[1] > reached[0]
    assert reached[1] > accuracy(logistic.predict(test.rows), test.ranks)


@pytest.mark.parametrize("strategy", ["transfer", "user", "ensemble"])
def test_features_that_are_no_numbers_are_learned_around(strategy: str, base: Base, tmp_path: Path) -> None:
    """Some of some tracks, and all of one: the pretrained estimates are always there."""
    train = labelled(60)
    train.rows[::3, 3:40] = np.nan
    train.rows[7, : len(FEATURE_NAMES)] = np.nan
    head = STRATEGIES[strategy].fit(train, base, 3.0, 0)
    assert np.isfinite(head.predict(train.rows)).all()
    onnx.save(head_to_onnx(head), tmp_path / "head.onnx")
    assert check_head_parity(tmp_path / "head.onnx", head, train.rows) <= 1e-5


def test_no_fold_knows_an_artist_it_judges() -> None:
    labels = labelled(40)
    seen: list[set[str]] = []

    class Remembers:
        def __init__(self, some: Labelled) -> None:
            self.artists = set(some.artists)

        def predict(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
            places = [np.flatnonzero((labels.rows == row).all(axis=1))[0] for row in rows]
            judged = {labels.artists[place] for place in places}
            assert not judged & self.artists
            seen.append(judged)
            return np.full((len(rows), 3), 1 / 3)

    held_out(Remembers, labels, folds=5, seed=0)
    assert len(seen) == 5
    assert set.union(*seen) == set(labels.artists)


@settings(max_examples=15)
@given(st.floats(0.3, 3), st.integers(0, 1000))
def test_a_temperature_is_found_again(temperature: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    true = rng.dirichlet((1, 1, 1), 3000)
    ranks = (true.cumsum(axis=1) > rng.random((3000, 1))).argmax(axis=1)
    distorted = Calibration(1 / temperature).apply(true)
    assert Calibration.fit(distorted, ranks).temperature == pytest.approx(temperature, rel=0.25)


def test_thresholds_follow_the_labels_when_there_are_many() -> None:
    rng = np.random.default_rng(0)
    positions = rng.uniform(-2, 2, 3000)
    ranks = np.digitize(positions + rng.normal(0, 0.3, 3000), [-0.2, 1.1])
    found = Thresholds.fit(positions, ranks, np.ones(3000))
    assert (found.low, found.high, found.spread) == pytest.approx((-0.2, 1.1, 0.3), abs=0.06)
    assert Thresholds.fit(positions[:1], ranks[:1], np.full(1, 1e-9)).high == pytest.approx(0.5, abs=0.01)


def test_favouring_a_zone_finds_as_many_as_asked() -> None:
    labels = labelled(200, seed=3)
    said = held_out(
        lambda some: LogisticHead.fit(some.rows, some.ranks, some.weights, (AROUSAL,)),
        labels,
        folds=5,
        seed=0,
    )
    found = favour(Calibration(), said, labels.ranks, Zone.PURPLE, 0.97).apply(said).argmax(axis=1)
    purple = labels.ranks == Zone.PURPLE.rank
    assert np.mean(found[purple] == Zone.PURPLE.rank) >= 0.97


def test_tuning_twice_is_the_same(base: Base) -> None:
    labels = labelled(60)
    first, second = (tune(labels, base, Recipe("ensemble", seed=4)) for _ in range(2))
    np.testing.assert_array_equal(first.held_out, second.held_out)
    assert first.metrics == second.metrics
    np.testing.assert_array_equal(first.head.predict(labels.rows), second.head.predict(labels.rows))


def test_a_dozen_labels_are_enough(base: Base) -> None:
    few = labelled(12)
    even = Labelled(few.rows, np.arange(12) % 3, few.weights, few.artists)
    assert tune(even, base, Recipe("ensemble")).metrics["cv"]["zone"]["songs"] == 12


def test_what_cannot_be_tuned_is_said(base: Base) -> None:
    with pytest.raises(UsageError, match="transfer"):
        tune(labelled(40), base, Recipe("magic"))
    with pytest.raises(UsageError, match="--deam"):
        tune(labelled(40), Base(base.scores, base.booster), Recipe("joint"))
    with pytest.raises(DataSetError, match="3 labels are too few"):
        check_enough(np.array([0, 1, 2]))
    with pytest.raises(DataSetError, match="only 0 of 20 labels are YELLOW"):
        check_enough(np.repeat([1, 2], 10))
    with pytest.raises(DataSetError, match="of 2 artists: label tracks of 3 or more"):
        check_artists(["a", "b", "a"])


def test_members_are_stacked_and_averaged(base: Base, tmp_path: Path) -> None:
    train = labelled(60)
    members = tuple(STRATEGIES[name].fit(train, base, 3.0, 0) for name in ("transfer", "user"))
    said = [member.predict(train.rows) for member in members]
    mean = MeanHead(members, (0.25, 0.75), Calibration(1.0)).predict(train.rows)
    np.testing.assert_allclose(mean, 0.25 * said[0] + 0.75 * said[1], atol=1e-9)
    rows = heads.log_odds(said)
    judge = LogisticHead.fit(rows, train.ranks, train.weights, tuple(range(6)))
    np.testing.assert_allclose(StackedHead(members, judge).predict(train.rows), judge.predict(rows))
    nested = MeanHead(
        (MeanHead(members, (0.5, 0.5), Calibration(2.0, (1.0, 1.0, 2.0))), members[0]),
        (0.5, 0.5),
        Calibration(),
    )
    onnx.save(head_to_onnx(nested), tmp_path / "nested.onnx")
    assert check_head_parity(tmp_path / "nested.onnx", nested, train.rows) <= 1e-5
