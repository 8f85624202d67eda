"""The pretrained model: arousal and valence from a window's features, and from these the zones.

Two members see the same features: a support vector machine with a radial kernel, and gradient-boosted trees. They err
differently, so that their mean is better than either; `docs/model.md` has the figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from moodzone_agent.features.spec import FAMILIES, FEATURE_NAMES
from moodzone_agent.types import Cuts

FloatArray = NDArray[np.float64]

TARGETS: Final = ("arousal", "valence")
SCALE: Final = (1.0, 9.0)
"""Of DEAM's annotators; estimates are held within it."""

_SVR: Final = {"C": 2.0, "epsilon": 0.3}
_KERNEL_WIDTH: Final = 0.3
"""Gamma, times the number of features."""
_FAMILY_WEIGHTS: Final[tuple[dict[str, float], ...]] = (
    {"sub_band": 2, "repetition": 2, "key": 0.5, "modulation": 0.5},
    {"pulse": 4, "tuning": 4, "chord": 2, "sub_band": 0.5, "modulation": 0.5, "harmonic": 0.5},
)
"""For arousal and for valence: how much more than 1 a family of features counts in the squared distance of the kernel.

Rounded from what maximises the marginal likelihood of a Gaussian process with this kernel (Rasmussen & Williams 2006,
chapter 5) on DEAM's artists outside the lockbox.
"""
_KNOTS: Final = 17
KERNEL_SHARE: Final = 2 / 3
"""Of the kernel machines in the mean; the trees have the rest."""
TREES: Final = {
    "n_estimators": 600,
    "max_depth": 3,
    "learning_rate": 0.04,
    "subsample": 0.7,
    "colsample_bytree": 0.3,
    "min_child_weight": 5,
    "tree_method": "hist",
    "n_jobs": 1,
}
"""One thread: the trees are small, and threads that wait for each other on a busy computer take many times as long."""


@dataclass(frozen=True, slots=True)
class NormalScores:
    """Maps each feature to the standard normal distribution, by straight lines between quantiles of the training data.

    Beyond the outer knots the map is constant, so that nothing lies outside of what was trained on. A feature that is
    not a number gets the score of the median.
    """

    knots: NDArray[np.float32]
    """[K, F], rising."""
    slopes: NDArray[np.float32]
    """[K - 1, F] of the segments between them; 0 where two knots are one."""
    start: NDArray[np.float32]
    """[F], the score at the first knot."""

    @classmethod
    def fit(cls, rows: NDArray[np.float32]) -> Self:
        """From rows [N, F]."""
        shares = (np.arange(_KNOTS) + 0.5) / _KNOTS
        knots = np.quantile(rows.astype(np.float64), shares, axis=0).astype(np.float32)
        scores = np.empty(knots.shape)
        for column in range(rows.shape[1]):
            # Where one value is frequent, several quantiles coincide: it gets the mean of their scores.
            _, place = np.unique(knots[:, column], return_inverse=True)
            scores[:, column] = (np.bincount(place, ndtri(shares)) / np.bincount(place))[place]
        steps = np.diff(knots.astype(np.float64), axis=0)
        slopes = np.divide(np.diff(scores, axis=0), steps, out=np.zeros_like(steps), where=steps > 0)
        return cls(knots, slopes.astype(np.float32), scores[0].astype(np.float32))

    def transform(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """[N, F] of rows [N, F], in single precision, as the exported graph computes it."""
        scores = np.repeat(self.start[None], len(rows), axis=0)
        for low, high, slope in zip(self.knots[:-1], self.knots[1:], self.slopes, strict=True):
            scores += (np.clip(rows, low, high) - low) * slope
        return np.where(np.isnan(rows), np.float32(0), scores)


@dataclass(frozen=True, slots=True)
class KernelMachine:
    """A support vector machine for one target, on weighted normal scores."""

    weights: NDArray[np.float32]
    """[F], of each score."""
    svr: Any

    @classmethod
    def fit(
        cls,
        scores: NDArray[np.float32],
        target: FloatArray,
        row_weights: FloatArray,
        families: dict[str, float],
    ) -> Self:
        """Train on scores [N, F]; `families` as of `_FAMILY_WEIGHTS`."""
        from sklearn.svm import SVR

        importance = {name: families.get(family, 1.0) for family, names in FAMILIES.items() for name in names}
        squared = np.array([importance[name] for name in FEATURE_NAMES])
        # Each varies as much as its weight says, whatever share of its values coincide.
        spread = np.maximum(scores.std(axis=0, dtype=np.float64), 1e-3)
        weights = (np.sqrt(squared / squared.mean()) / spread).astype(np.float32)
        svr = SVR(gamma=_KERNEL_WIDTH / len(FEATURE_NAMES), **_SVR)
        return cls(weights, svr.fit(_doubled(scores * weights), target, sample_weight=row_weights))

    def predict(self, scores: NDArray[np.float32]) -> FloatArray:
        """[N] of scores [N, F]."""
        return np.asarray(self.svr.predict(_doubled(scores * self.weights)))


def _doubled(rows: NDArray[np.float32]) -> FloatArray:
    """In double precision: what the kernel machine stores is then what the exported graph stores."""
    return rows.astype(np.float64)


@dataclass(frozen=True, slots=True)
class AffectEnsemble:
    """Fitted members, one of each for either target; made by `fit`."""

    scores: NormalScores
    kernels: tuple[KernelMachine, KernelMachine]
    """On normal scores."""
    trees: tuple[Any, Any]
    """On raw features."""

    @classmethod
    def fit(
        cls, windows: NDArray[np.float32], targets: FloatArray, weights: FloatArray, *, seed: int
    ) -> AffectEnsemble:
        """Train on windows [N, F] with arousal and valence [N, 2]; weights [N] sum to 1 within each song."""
        from xgboost import XGBRegressor

        scores, kernels = fit_kernel_machines(windows, targets, weights)
        trees = [
            XGBRegressor(**TREES, random_state=seed).fit(windows, target, sample_weight=weights)
            for target in targets.T
        ]
        return cls(scores, kernels, (trees[0], trees[1]))

    def predict(self, windows: NDArray[np.float32]) -> FloatArray:
        """Arousal and valence [N, 2] of windows [N, F], 1 to 9."""
        scores = self.scores.transform(windows)
        both = [
            KERNEL_SHARE * kernel.predict(scores) + (1 - KERNEL_SHARE) * trees.predict(windows)
            for kernel, trees in zip(self.kernels, self.trees, strict=True)
        ]
        return np.asarray(np.clip(np.stack(both, axis=1), *SCALE))


def fit_kernel_machines(
    windows: NDArray[np.float32], targets: FloatArray, weights: FloatArray
) -> tuple[NormalScores, tuple[KernelMachine, KernelMachine]]:
    """The kernel machines of arousal and valence alone; arguments as of `AffectEnsemble.fit`."""
    scores = NormalScores.fit(windows)
    rows = scores.transform(windows)
    arousal, valence = (
        KernelMachine.fit(rows, target, weights, families)
        for target, families in zip(targets.T, _FAMILY_WEIGHTS, strict=True)
    )
    return scores, (arousal, valence)


def zone_probabilities(affect: FloatArray, spread: FloatArray, cuts: Cuts) -> FloatArray:
    """Of YELLOW, GREEN and PURPLE, [N, 3], for estimates of arousal and valence [N, 2].

    The truth is taken to lie around the estimate with the standard deviations `spread` [2] that
    cross-validation found, independently in both; a zone's probability is the share of that within the
    zone's part of the plane.
    """
    arousal, valence = affect.T
    yellow = ndtr((cuts.yellow_max - arousal) / spread[0])
    purple = ndtr((arousal - cuts.purple_min) / spread[0]) * ndtr(
        (valence - cuts.purple_min_valence) / spread[1]
    )
    return np.asarray(np.stack((yellow, 1 - yellow - purple, purple), axis=1))
