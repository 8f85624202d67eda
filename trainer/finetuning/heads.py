"""Heads: from what the pretrained model makes of a track to the zones of one user.

A head sees one row per track (`classify.pool.head_inputs`): the mean of its windows' features, and how the estimates of
arousal and valence lie over its windows. It is trained on tracks that the user has labelled, with ranks 0 (YELLOW) to
2 (PURPLE).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import ndtr, softmax

from moodzone_agent.classify.pool import HEAD_INPUTS
from moodzone_agent.features.spec import FEATURE_NAMES
from moodzone_agent.types import ZONES
from trainer.judgement.evaluate import LEAST, log_loss
from trainer.pretraining.ensemble import NormalScores

FloatArray = NDArray[np.float64]
Rows = NDArray[np.float32]
Ranks = NDArray[np.intp]

_FEATURES: Final = len(FEATURE_NAMES)

# Of the thresholds between the ranks: low, log of the gap to the high one, log of the error's spread.
_THRESHOLDS: Final = np.array([-0.5, 0.0, np.log(0.5)])
_THRESHOLDS_SPREAD: Final = 0.3

# The prior of the Gaussian process, in ranks. DEAM's cuts lie two steps of arousal apart, so a step is worth half a
# rank; 0.6 because estimates vary less than the truth. Scores hardly depend on any of these within a factor of two.
AFFECT: Final = ("arousal_mean", "valence_mean", "arousal_spread")
AFFECT_COLUMNS: Final = [HEAD_INPUTS.index(name) for name in AFFECT]
CENTRE: Final = np.array([5.0, 5.0, 0.5])
_SLOPE: Final = np.array([0.6, 0.0, 0.0])
_SLOPE_SPREAD: Final = np.array([0.2, 0.2, 0.2])
_OFFSET_SPREAD: Final = 1.0
KERNEL_VARIANCE: Final = 0.3
GAMMA: Final = 0.3 / len(FEATURE_NAMES)
NOISE: Final = 0.4
"""Variance of a label around what the features can tell."""

_TREES: Final = {
    "max_depth": 3,
    "learning_rate": 0.05,
    "subsample": 0.7,
    "colsample_bytree": 0.3,
    "min_child_weight": 3,
    "tree_method": "hist",
    "objective": "multi:softprob",
    "num_class": len(ZONES),
}
_ROUNDS: Final = 150
_FAINT: Final = 0.01
LEAST_STACKED: Final = 0.01
"""Below this, logarithms would tell members apart by what is rounding in single precision."""


class Head(Protocol):
    """What has been fitted."""

    def predict(self, rows: Rows) -> FloatArray:
        """Probabilities of the zones, [N, 3], of rows [N, H]."""
        ...


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From a position on the scale of ranks (-1, 0, 1) to zones, with a normal error around it."""

    low: float
    high: float
    spread: float

    @classmethod
    def fit(cls, positions: FloatArray, ranks: Ranks, weights: FloatArray) -> Self:
        """The most probable ones, given that they are likely near -0.5 and 0.5, and the error near 0.5."""

        def loss(values: FloatArray) -> float:
            chance = cls._of(values).probabilities(positions)[np.arange(len(ranks)), ranks]
            surprise = -np.sum(weights * np.log(np.maximum(chance, LEAST)))
            return float(surprise + np.sum(((values - _THRESHOLDS) / _THRESHOLDS_SPREAD) ** 2) / 2)

        return cls._of(minimize(loss, _THRESHOLDS, method="Nelder-Mead").x)

    @classmethod
    def _of(cls, values: FloatArray) -> Self:
        low, gap, spread = values
        return cls(float(low), float(low + np.exp(gap)), float(np.exp(spread)))

    def probabilities(self, positions: FloatArray) -> FloatArray:
        """[N, 3] of positions [N]."""
        below_low, below_high = (
            ndtr((threshold - positions) / self.spread) for threshold in (self.low, self.high)
        )
        return np.stack((below_low, below_high - below_low, 1 - below_high), axis=1)


@dataclass(frozen=True, slots=True)
class GaussianProcessHead:
    """A Gaussian process on the ranks (Rasmussen & Williams 2006), whose mean before any label is what DEAM taught.

    The position on the scale of ranks is linear in the pretrained estimates, with a prior on the slopes, plus a smooth
    function of the features' normal scores. With few labels it is the pretrained model, moved and stretched to the
    user's zones; with many it learns what that model doesn't know.
    """

    scores: NormalScores
    scale: NDArray[np.float32]
    """[F], of the scores."""
    references: NDArray[np.float32]
    """[L, F], scaled scores of the labelled tracks."""
    coefficients: FloatArray
    """[L], of the kernel to each of these."""
    slopes: FloatArray
    """[3], of `AFFECT`."""
    offset: float
    thresholds: Thresholds

    @classmethod
    def fit(cls, rows: Rows, ranks: Ranks, weights: FloatArray, scores: NormalScores) -> Self:
        """Train on rows [L, H]; a label of weight 0.5 counts as one with twice the noise."""
        mapped = scores.transform(rows[:, :_FEATURES])
        # Standardised within the user's own tracks: differences inside dance music count in full.
        scale = (1 / np.maximum(mapped.std(axis=0), 0.1)).astype(np.float32)
        references = mapped * scale
        affect = rows[:, AFFECT_COLUMNS] - CENTRE
        basis = np.column_stack((affect * _SLOPE_SPREAD, np.full(len(rows), _OFFSET_SPREAD)))
        covariance = basis @ basis.T + KERNEL_VARIANCE * _kernel(references, references)
        inverse = np.linalg.inv(covariance + np.diag(NOISE / weights))
        surprise = (ranks - 1.0) - affect @ _SLOPE
        solved = inverse @ surprise
        learned = basis.T @ solved
        # What each track would be estimated at without its own label (the same, section 5.4.2).
        left_out = (ranks - 1.0) - solved / np.diag(inverse)
        return cls(
            scores,
            scale,
            references,
            coefficients=KERNEL_VARIANCE * solved,
            slopes=_SLOPE + _SLOPE_SPREAD * learned[:-1],
            offset=float(_OFFSET_SPREAD * learned[-1]),
            thresholds=Thresholds.fit(left_out, ranks, weights),
        )

    def predict(self, rows: Rows) -> FloatArray:
        """Probabilities of the zones, [N, 3], of rows [N, H]."""
        scaled = self.scores.transform(rows[:, :_FEATURES]) * self.scale
        affect = rows[:, AFFECT_COLUMNS] - CENTRE
        smooth = _kernel(scaled, self.references) @ self.coefficients
        return self.thresholds.probabilities(affect @ self.slopes + smooth + self.offset)


def _kernel(rows: NDArray[np.float32], others: NDArray[np.float32]) -> FloatArray:
    a, b = rows.astype(np.float64), others.astype(np.float64)
    distance = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T
    return np.asarray(np.exp(-GAMMA * np.maximum(distance, 0)))


@dataclass(frozen=True, slots=True)
class TreesHead:
    """Gradient-boosted trees on everything in a row."""

    booster: Any

    @classmethod
    def fit(cls, rows: Rows, ranks: Ranks, weights: FloatArray, *, seed: int, base: Any = None) -> Self:
        """Train on rows [L, H], from scratch or on top of the trees of `base`."""
        import xgboost

        data = xgboost.DMatrix(rows, ranks, weight=weights)
        parameters = {**_TREES, "seed": seed, "nthread": 1}
        return cls(xgboost.train(parameters, data, _ROUNDS, xgb_model=base))

    def predict(self, rows: Rows) -> FloatArray:
        """Probabilities of the zones, [N, 3], of rows [N, H]."""
        import xgboost

        return np.asarray(self.booster.predict(xgboost.DMatrix(rows)), np.float64)


@dataclass(frozen=True, slots=True)
class LogisticHead:
    """Logistic regression on some columns of a row."""

    columns: tuple[int, ...]
    coefficients: FloatArray
    """[C, 3]."""
    intercepts: FloatArray
    """[3]."""

    @classmethod
    def fit(
        cls, rows: FloatArray | Rows, ranks: Ranks, weights: FloatArray, columns: tuple[int, ...]
    ) -> Self:
        """Train on rows [L, *]."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        chosen = rows[:, columns].astype(np.float64)
        # One faint track of each zone in the middle, so that a zone without any in a fold stays possible.
        chosen = np.concatenate((chosen, np.repeat(chosen.mean(axis=0)[None], len(ZONES), axis=0)))
        ranks = np.concatenate((ranks, np.arange(len(ZONES))))
        weights = np.concatenate((weights, np.full(len(ZONES), _FAINT)))
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        model.fit(chosen, ranks, logisticregression__sample_weight=weights)
        scaler, regression = model
        coefficients = regression.coef_.T / scaler.scale_[:, None]
        return cls(columns, coefficients, regression.intercept_ - scaler.mean_ @ coefficients)

    def predict(self, rows: FloatArray | Rows) -> FloatArray:
        """Probabilities of the zones, [N, 3], of rows [N, *]."""
        return np.asarray(softmax(rows[:, self.columns] @ self.coefficients + self.intercepts, axis=1))


@dataclass(frozen=True, slots=True)
class StackedHead:
    """Logistic regression on what other heads say."""

    members: tuple[Head, ...]
    judge: LogisticHead

    def predict(self, rows: Rows) -> FloatArray:
        """Probabilities of the zones, [N, 3], of rows [N, H]."""
        return self.judge.predict(log_odds([member.predict(rows) for member in self.members]))


@dataclass(frozen=True, slots=True)
class Calibration:
    """Makes probabilities mean what they say, then moves the operating point if that is wanted."""

    temperature: float = 1.0
    """Above 1 softens, below 1 sharpens (Guo et al. 2017, "On calibration of modern neural networks")."""
    odds: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """By how much each zone is favoured."""

    @classmethod
    def fit(cls, probabilities: FloatArray, ranks: Ranks) -> Self:
        """The temperature that makes the truth of held-out tracks likeliest, of probabilities [N, 3]."""

        def surprise(logarithm: float) -> float:
            return log_loss(ranks, cls(float(np.exp(logarithm))).apply(probabilities))

        return cls(float(np.exp(minimize_scalar(surprise, bounds=(-1.0, 1.5), method="bounded").x)))

    def apply(self, probabilities: FloatArray) -> FloatArray:
        """[N, 3] of [N, 3]."""
        powers = np.maximum(probabilities, LEAST) ** (1 / self.temperature) * self.odds
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))


@dataclass(frozen=True, slots=True)
class MeanHead:
    """The weighted mean of what other heads say, calibrated."""

    members: tuple[Head, ...]
    weights: tuple[float, ...]
    """Of the members; they sum to 1."""
    calibration: Calibration

    def predict(self, rows: Rows) -> FloatArray:
        """Probabilities of the zones, [N, 3], of rows [N, H]."""
        mean = sum(
            weight * member.predict(rows) for weight, member in zip(self.weights, self.members, strict=True)
        )
        return self.calibration.apply(np.asarray(mean))


def log_odds(members: list[FloatArray]) -> FloatArray:
    """What a `StackedHead` sees: logarithms of probabilities [N, 3], side by side, [N, 3 M]."""
    return np.log(np.maximum(np.concatenate(members, axis=1), LEAST_STACKED))
