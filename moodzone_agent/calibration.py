"""Cuts between the zones that fit one library: zones are relative to what a DJ plays.

The model gives a track the zone that is most probable, its arousal taken to lie around the estimate. GREEN lies
between the other two, and loses to both where they are closer than that spread. So the cuts are not put at the
library's quantiles themselves, but where the model's answers change there.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.errors import UsageError
from moodzone_agent.types import Cuts

Shares = tuple[float, float, float]

DEFAULT_SHARES: Final[Shares] = (0.3, 0.4, 0.3)
"""Of YELLOW, GREEN and PURPLE."""

_HALF_WAY: Final = 50
"""Tracks with which the cuts go half the way from the usual ones to the library's own."""
_BARRED: Final = 0.5
_BARRED_AT_LAST: Final = 0.1
_LEAST_PURPLE: Final = 0.55
"""What is PURPLE with less than half a probability can't be the likeliest zone, wherever the cut lies."""
_ROUNDS: Final = 100
_NORMAL: Final = NormalDist()


@dataclass(frozen=True, slots=True)
class Spread:
    """Standard deviations of the truth around a track's estimate, as the model takes them."""

    arousal: float
    valence: float


def calibrated(
    arousal: NDArray[np.floating[Any]],
    valence: NDArray[np.floating[Any]],
    spread: Spread,
    shares: Shares = DEFAULT_SHARES,
) -> Cuts:
    """Cuts, rounded to 0.01, for the estimates [N] of a library's tracks, in any order.

    They go n / (n + 50) of the way from the usual cuts to those that give the shares. The least valence of
    PURPLE stays, unless it bars more than half of the tracks that their arousal would make PURPLE: then the
    library's music is dark as a whole, and the border goes to the lowest tenth of theirs, as far as the others.
    """
    usual = Cuts()
    if not len(arousal):
        return usual
    weight = len(arousal) / (len(arousal) + _HALF_WAY)

    def blended(own: float, default: float) -> float:
        return round(float(np.clip(weight * own + (1 - weight) * default, 1, 9)), 2)

    low, high = (float(edge) for edge in np.quantile(arousal, (shares[0], shares[0] + shares[1])))
    bright = valence[arousal >= high]
    least = usual.purple_min_valence
    if (bright <= least).mean() > _BARRED:
        least = blended(float(np.quantile(bright, _BARRED_AT_LAST)), least)
    passing = np.mean([_NORMAL.cdf((float(value) - least) / max(spread.valence, 1e-6)) for value in bright])
    yellow_max, purple_min = _cuts_between(
        low, high, spread=max(spread.arousal, 1e-6), passing=max(float(passing), _LEAST_PURPLE)
    )
    first = blended(yellow_max, usual.yellow_max)
    return Cuts(first, max(first, blended(purple_min, usual.purple_min)), least)


def _cuts_between(low: float, high: float, *, spread: float, passing: float) -> tuple[float, float]:
    """The cuts with which YELLOW is as probable as GREEN at `low`, and PURPLE as GREEN at `high`.

    `passing`: the share of PURPLE's probability that valence leaves. Each cut follows from the other; repeated,
    that converges.
    """
    yellow_max, purple_min = low, high
    for _ in range(_ROUNDS):
        purple = passing * _NORMAL.cdf((low - purple_min) / spread)
        yellow_max = low + spread * _NORMAL.inv_cdf((1 - purple) / 2)
        not_yellow = _NORMAL.cdf((high - yellow_max) / spread)
        purple_min = high - spread * _NORMAL.inv_cdf(not_yellow / (2 * passing))
    return yellow_max, max(yellow_max, purple_min)


def parse_shares(text: str) -> Shares:
    """Shares as a user writes them, ``30,40,30``. Errors: `UsageError`."""
    try:
        yellow, green, purple = (float(part) / 100 for part in text.split(","))
    except ValueError:
        raise UsageError(f"--shares {text}: write three percentages, such as 30,40,30") from None
    if not (min(yellow, green, purple) >= 0.01 and abs(yellow + green + purple - 1) < 1e-6):
        raise UsageError(f"--shares {text}: each must be at least 1, and together they must be 100")
    return yellow, green, purple
