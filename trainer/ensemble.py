"""The pretrained model: arousal and valence from a window's features, and from these the zones.

Two members see the same features and are averaged: a support vector machine with a radial kernel, and
gradient-boosted trees. They err differently; `docs/model.md` has the figures of each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from moodzone_agent.types import Cuts

FloatArray = NDArray[np.float64]

TARGETS: Final = ("arousal", "valence")
SCALE: Final = (1.0, 9.0)
"""Of DEAM's annotators; estimates are held within it."""

_SVR: Final = {"C": 2.0, "epsilon": 0.3}
_KERNEL_WIDTH: Final = 0.3
"""Gamma, times the number of features."""
_TREES: Final = {
    "n_estimators": 600,
    "max_depth": 3,
    "learning_rate": 0.04,
    "subsample": 0.7,
    "colsample_bytree": 0.3,
    "min_child_weight": 5,
    "tree_method": "hist",
}


@dataclass(frozen=True, slots=True)
class AffectEnsemble:
    """Fitted members; made by `fit`."""

    scaler: Any
    """Clips each feature to the range of the training data, then standardises it."""
    svr: tuple[Any, Any]
    """One per target, on scaled features."""
    trees: tuple[Any, Any]
    """One per target, on raw features."""

    @classmethod
    def fit(
        cls, windows: NDArray[np.float32], targets: FloatArray, weights: FloatArray, *, seed: int
    ) -> AffectEnsemble:
        """Train on windows [N, F] with arousal and valence [N, 2]; weights [N] sum to 1 within each song."""
        from xgboost import XGBRegressor

        scaler, svr = fit_kernel_machines(windows, targets, weights)
        trees = [
            XGBRegressor(**_TREES, random_state=seed).fit(windows, target, sample_weight=weights)
            for target in targets.T
        ]
        return cls(scaler, svr, (trees[0], trees[1]))

    def predict(self, windows: NDArray[np.float32]) -> FloatArray:
        """Arousal and valence [N, 2] of windows [N, F], 1 to 9."""
        scaled = self.scaler.transform(windows.astype(np.float64))
        both = [
            (svr.predict(scaled) + trees.predict(windows)) / 2
            for svr, trees in zip(self.svr, self.trees, strict=True)
        ]
        return np.asarray(np.clip(np.stack(both, axis=1), *SCALE))


def fit_kernel_machines(
    windows: NDArray[np.float32], targets: FloatArray, weights: FloatArray
) -> tuple[Any, tuple[Any, Any]]:
    """The scaler and the support vector machines of arousal and valence alone; arguments as of `AffectEnsemble.fit`."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler
    from sklearn.svm import SVR

    scaler = make_pipeline(MinMaxScaler(clip=True), StandardScaler())
    # Rounded to what the exported graph stores, so that its kernel meets the very same rows.
    scaled = scaler.fit_transform(windows.astype(np.float64)).astype(np.float32).astype(np.float64)
    gamma = _KERNEL_WIDTH / windows.shape[1]
    arousal, valence = (
        SVR(gamma=gamma, **_SVR).fit(scaled, target, sample_weight=weights) for target in targets.T
    )
    return scaler, (arousal, valence)


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
