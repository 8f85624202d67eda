"""Our figures against scikit-learn's and SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from moodzone_agent.types import ZONES
from trainer.judgement.evaluate import classification, regression, sure_from

ranks = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60)


def test_regression_figures() -> None:
    rng = np.random.default_rng(2)
    truth = rng.normal(5, 1.3, 200)
    estimate = 0.7 * truth + rng.normal(1.5, 0.6, 200)
    figures = regression(truth, estimate)
    assert figures.r2 == pytest.approx(metrics.r2_score(truth, estimate))
    assert figures.rmse == pytest.approx(metrics.root_mean_squared_error(truth, estimate))
    assert figures.pearson == pytest.approx(stats.pearsonr(truth, estimate).statistic)
    assert figures.ccc < figures.pearson
    assert regression(truth, truth).ccc == pytest.approx(1)


@given(ranks)
def test_classification_figures(pairs: list[tuple[int, int]]) -> None:
    truth, answer = (np.array(column) for column in zip(*pairs, strict=True))
    figures = classification(truth, answer)
    assert figures.accuracy == pytest.approx(metrics.accuracy_score(truth, answer))
    present = np.unique(truth)
    recalls = metrics.recall_score(truth, answer, labels=present, average=None, zero_division=0)
    assert figures.balanced_accuracy == pytest.approx(recalls.mean())
    for rank, recall in zip(present, recalls, strict=True):
        assert figures.recall[ZONES[rank]] == pytest.approx(recall)
    confusion = metrics.confusion_matrix(truth, answer, labels=[0, 1, 2])
    assert figures.yellow_purple_confusions == pytest.approx((confusion[0, 2] + confusion[2, 0]) / len(pairs))
    assert figures.majority == pytest.approx(confusion.sum(axis=1).max() / len(pairs))


def test_sure_from_is_the_lowest_threshold_that_reaches_the_accuracy() -> None:
    confidence = np.array([0.95, 0.9, 0.8, 0.7, 0.6, 0.5])
    right = np.array([1, 1, 1, 0, 1, 0], bool)
    probabilities = np.stack([confidence, 1 - confidence, np.zeros(6)], axis=1)
    truth = np.where(right, 0, 2)
    threshold, coverage = sure_from(truth, probabilities, accuracy=0.8)
    assert threshold == 0.6
    assert coverage == pytest.approx(5 / 6)
    assert sure_from(np.full(6, 2), probabilities, accuracy=0.8) == (1.0, 0.0)
