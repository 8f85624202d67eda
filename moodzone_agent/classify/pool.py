"""From the windows' estimates to the track's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.features.spec import FEATURE_NAMES
from moodzone_agent.types import Estimate


@dataclass(frozen=True, slots=True)
class WindowEstimates:
    """What the model says of each window of a track."""

    probabilities: NDArray[np.float32]
    """[W, 3] of YELLOW, GREEN, PURPLE."""
    arousal: NDArray[np.float32]
    """[W], 1 to 9."""
    valence: NDArray[np.float32]
    """[W], 1 to 9."""

    @property
    def affect(self) -> NDArray[np.float32]:
        """[W, 2] arousal and valence."""
        return np.stack((self.arousal, self.valence), axis=1)

    def between(self, first: int, end: int) -> WindowEstimates:
        """What it says of some windows in a row, by the numbers of the first and of the one behind them."""
        at = slice(first, end)
        return WindowEstimates(self.probabilities[at], self.arousal[at], self.valence[at])


HEAD_INPUTS: Final = (
    *FEATURE_NAMES,
    "arousal_mean",
    "arousal_spread",
    "arousal_p10",
    "arousal_p90",
    "valence_mean",
    "valence_spread",
)
"""What a user's head sees of a track: the mean of its windows' features, and how their estimates lie."""


def head_inputs(features: NDArray[np.float32], windows: WindowEstimates) -> NDArray[np.float32]:
    """[H], in the order of `HEAD_INPUTS`, of a track's windows: their features [W, F] and estimates.

    All are means, spreads and quantiles, so that a long track is nothing else than a short one.
    """
    arousal, valence = (values.astype(np.float64) for values in (windows.arousal, windows.valence))
    # As np.quantile, in a fifth of its time.
    low, high = np.interp((0.1, 0.9), np.linspace(0, 1, len(arousal)), np.sort(arousal))
    pooled = (arousal.mean(), arousal.std(), low, high, valence.mean(), valence.std())
    return np.concatenate((features.mean(axis=0, dtype=np.float64), pooled)).astype(np.float32)


def window_inputs(features: NDArray[np.float32], windows: WindowEstimates) -> NDArray[np.float32]:
    """[W, H]: `head_inputs` of each window, since to a head a window is a track of one window."""
    arousal, valence = windows.arousal, windows.valence
    none = np.zeros(len(features), np.float32)
    return np.column_stack((features, arousal, none, arousal, arousal, valence, none))


def pool(windows: WindowEstimates, *, sure_from: float, model: str) -> Estimate:
    """The mean over the windows: of arousal, of valence, and of each zone's probability."""
    shares = windows.probabilities.mean(axis=0, dtype=np.float64)
    yellow, green, purple = (shares / shares.sum()).tolist()
    return Estimate(
        probabilities=(yellow, green, purple),
        arousal=float(windows.arousal.mean(dtype=np.float64)),
        valence=float(windows.valence.mean(dtype=np.float64)),
        sure=max(yellow, green, purple) >= sure_from,
        model=model,
    )
