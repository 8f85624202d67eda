"""Figures that judge a model, each beside what a trivial answer would reach."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.types import ZONES

FloatArray = NDArray[np.float64]

LEAST: Final = 1e-9
"""No zone is impossible."""


@dataclass(frozen=True, slots=True)
class Regression:
    """How well a continuous estimate follows the truth."""

    r2: float
    rmse: float
    pearson: float
    ccc: float
    """Lin's concordance correlation coefficient (1989)."""


@dataclass(frozen=True, slots=True)
class Classification:
    """How well zones are told apart; `majority` is the accuracy of always answering the commonest zone."""

    songs: int
    accuracy: float
    majority: float
    balanced_accuracy: float
    macro_f1: float
    weighted_f1: float
    recall: dict[str, float]
    yellow_purple_confusions: float
    """Share of songs taken for the opposite zone."""
    accuracy_low: float
    accuracy_high: float
    """Between these the true accuracy lies with 95 % confidence (Wilson 1927)."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """Whether probabilities mean what they say."""

    calibration_error: float
    """Expected calibration error over ten bins of confidence (Naeini et al. 2015)."""
    log_loss: float
    coverage_at_80: float
    """Share of the tracks, the most confident ones, that are right in 80 % of the cases."""


def regression(truth: FloatArray, estimate: FloatArray) -> Regression:
    """Of values [N]."""
    error = truth - estimate
    covariance = float(np.mean((truth - truth.mean()) * (estimate - estimate.mean())))
    return Regression(
        r2=1 - float(np.sum(error**2) / np.sum((truth - truth.mean()) ** 2)),
        rmse=float(np.sqrt(np.mean(error**2))),
        pearson=float(np.corrcoef(truth, estimate)[0, 1]),
        ccc=2 * covariance / float(truth.var() + estimate.var() + (truth.mean() - estimate.mean()) ** 2),
    )


def classification(truth: NDArray[np.intp], answer: NDArray[np.intp]) -> Classification:
    """Of zone ranks [N]. The recall of a zone that doesn't occur is not a number."""
    from sklearn.metrics import f1_score

    ranks = range(len(ZONES))
    accuracy = float(np.mean(truth == answer))
    low, high = wilson(accuracy, len(truth))
    recall = {
        zone: float(np.mean(answer[truth == zone.rank] == zone.rank))
        if np.any(truth == zone.rank)
        else np.nan
        for zone in ZONES
    }
    return Classification(
        songs=len(truth),
        accuracy=accuracy,
        majority=float(np.bincount(truth, minlength=len(ZONES)).max() / len(truth)),
        balanced_accuracy=float(np.nanmean(list(recall.values()))),
        macro_f1=float(f1_score(truth, answer, labels=list(ranks), average="macro", zero_division=0)),
        weighted_f1=float(f1_score(truth, answer, labels=list(ranks), average="weighted", zero_division=0)),
        recall={str(zone): value for zone, value in recall.items()},
        yellow_purple_confusions=float(np.mean(np.abs(truth - answer) == 2)),
        accuracy_low=low,
        accuracy_high=high,
    )


def wilson(share: float, count: int, *, deviations: float = 1.96) -> tuple[float, float]:
    """The interval in which the share lies that so many draws gave, for a normal quantile (95 % by default)."""
    centre = share + deviations**2 / (2 * count)
    reach = deviations * np.sqrt(share * (1 - share) / count + deviations**2 / (4 * count**2))
    total = 1 + deviations**2 / count
    return float((centre - reach) / total), float((centre + reach) / total)


def reliability(truth: NDArray[np.intp], probabilities: FloatArray, *, bins: int = 10) -> Reliability:
    """Of zone ranks [N] and probabilities [N, 3]."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(float(right[place == bin_].mean() - confidence[place == bin_].mean())) * np.mean(place == bin_)
        for bin_ in np.unique(place)
    ]
    return Reliability(
        calibration_error=float(sum(gaps)),
        log_loss=log_loss(truth, probabilities),
        coverage_at_80=sure_from(truth, probabilities, accuracy=0.8)[1],
    )


def log_loss(truth: NDArray[np.intp], probabilities: FloatArray, weights: FloatArray | None = None) -> float:
    """Mean negative logarithm of what the true ranks [N] were given in probabilities [N, 3]."""
    chance = probabilities[np.arange(len(truth)), truth]
    return float(-np.average(np.log(np.maximum(chance, LEAST)), weights=weights))


def sure_from(truth: NDArray[np.intp], probabilities: FloatArray, *, accuracy: float) -> tuple[float, float]:
    """The lowest confidence from which estimates reach the wanted accuracy, and the share of songs that have
    it.

    (1, 0) if none do.
    """
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    right = np.cumsum((probabilities.argmax(axis=1) == truth)[order]) / np.arange(1, len(truth) + 1)
    reached = np.flatnonzero(right >= accuracy)
    if reached.size == 0:
        return 1.0, 0.0
    last = int(reached[-1])
    return float(confidence[order[last]]), (last + 1) / len(truth)


def rounded(figures: Any) -> dict[str, Any]:
    """A figures dataclass as a dictionary with four decimals, for a manifest."""

    def round_all(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: round_all(item) for key, item in value.items()}
        return round(value, 4) if isinstance(value, float) else value

    result: dict[str, Any] = round_all(asdict(figures))
    return result
