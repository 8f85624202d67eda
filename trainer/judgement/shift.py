"""How a user's music differs from DEAM's, feature by feature.

DEAM itself isn't needed: the knots of the normal scores in a bundle are quantiles of its windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.features.spec import FEATURE_NAMES
from trainer.judgement.importance import FAMILY_OF
from trainer.pretraining.ensemble import NormalScores

_ONE_DEVIATION: Final = (0.15866, 0.84134)
"""Shares of a normal distribution below one standard deviation from its mean, either way."""


@dataclass(frozen=True, slots=True)
class Shift:
    """Of one feature."""

    feature: str
    family: str
    deam_mean: float
    """Of the quantiles, so that the outermost 3 % at either end don't count."""
    deam_median: float
    deam_spread: float
    """Half the distance of the quantiles that lie one standard deviation from the middle of a normal distribution."""
    user_mean: float
    user_median: float
    user_spread: float
    """By the same quantiles."""
    ratio: float | None
    """User's median by DEAM's; None where they differ in sign or DEAM's is nothing."""
    shift: float | None
    """User's median less DEAM's, in DEAM's spreads; None where DEAM's feature hardly ever varies."""
    outside: float
    """Share of the user's windows beyond DEAM's outermost quantiles, 0 to 1; of DEAM's own it is 0.06."""


def domain_shift(scores: NormalScores, windows: NDArray[np.float32]) -> list[Shift]:
    """Of all features, the most shifted first; from the user's windows [N, F], at least one."""
    knots = scores.knots.astype(np.float64)
    shares = (np.arange(len(knots)) + 0.5) / len(knots)
    rows = windows.astype(np.float64)
    low, middle, high = np.quantile(rows, (_ONE_DEVIATION[0], 0.5, _ONE_DEVIATION[1]), axis=0)
    result = []
    for column, feature in enumerate(FEATURE_NAMES):
        knot, values = knots[:, column], rows[:, column]
        deam_low, median, deam_high = np.interp((_ONE_DEVIATION[0], 0.5, _ONE_DEVIATION[1]), shares, knot)
        spread = float(deam_high - deam_low) / 2
        ratio = float(middle[column] / median) if middle[column] * median > 0 else None
        result.append(
            Shift(
                feature,
                FAMILY_OF[feature],
                deam_mean=float(knot.mean()),
                deam_median=float(median),
                deam_spread=spread,
                user_mean=float(values.mean()),
                user_median=float(middle[column]),
                user_spread=float(high[column] - low[column]) / 2,
                ratio=ratio,
                shift=float(middle[column] - median) / spread if spread > 0 else None,
                outside=float(np.mean((values < knot[0]) | (values > knot[-1]))),
            )
        )
    return sorted(result, key=lambda item: -abs(item.shift or 0.0))
