"""The ribbon: zone and arousal along a track, one row per 0.5 s.

Its shape comes from the frame model, which hears where a break begins; its level from the windows, which know better
how energetic the track is as a whole. So the mean of a ribbon's arousal is the track's. Without a frame model, the
windows' estimates are laid along the track.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.classify.pool import WindowEstimates
from moodzone_agent.features.spec import FRAME_SECONDS, WINDOW_FRAMES, WINDOW_STEP
from moodzone_agent.types import Cuts

FloatArray = NDArray[np.float64]

MIN_SECTION: Final = 8
"""Frames: a zone lasts at least 4 s, except where the track is shorter."""
CONTEXT_FRAMES: Final = 10
"""So many frames before a frame are all that the frame model's estimate of it depends on."""
_SCALE: Final = (1.0, 9.0)
_LEAST: Final = 1e-4
"""Smaller probabilities are taken for this one, where they are divided."""


@dataclass(frozen=True, slots=True)
class ZoneShares:
    """The zones' probabilities that a bundle's graph gives to estimates of arousal and valence, for any such."""

    cuts: Cuts
    spread: tuple[float, float]
    """Standard deviations of the errors of arousal and valence."""

    def of(self, arousal: NDArray[np.floating[Any]], valence: NDArray[np.floating[Any]]) -> FloatArray:
        """Of YELLOW, GREEN and PURPLE, [N, 3]; of values [N], 1 to 9."""
        yellow = _normal_share((self.cuts.yellow_max - arousal) / self.spread[0])
        aroused = _normal_share((arousal - self.cuts.purple_min) / self.spread[0])
        purple = aroused * _normal_share((valence - self.cuts.purple_min_valence) / self.spread[1])
        return np.stack((yellow, 1 - yellow - purple, purple), axis=1)


def window_ribbon(windows: WindowEstimates, duration: float) -> FloatArray:
    """Rank of the zone (0 to 2) and arousal (1 to 9), [T, 2], of a track of so many seconds, from its windows alone."""
    rows = np.column_stack((windows.probabilities, windows.arousal))
    means = along(rows, max(1, int(duration / FRAME_SECONDS)))
    arousal = means[:, 3]
    return np.column_stack((smoothed(means[:, :3].argmax(axis=1), arousal), arousal))


def course_ribbon(
    windows: WindowEstimates, course: NDArray[np.floating[Any]], shares: ZoneShares
) -> FloatArray:
    """Rank of the zone and arousal, [T, 2], of a track whose arousal takes this course [T], but for its level.

    A frame gets the zone that a window of the same arousal would get. A user's head puts the borders elsewhere than
    `shares`: what it says of the track's windows tells how much it favours each zone.
    """
    arousal = np.clip(course - course.mean() + windows.arousal.mean(), *_SCALE)
    favoured = np.log(np.maximum(windows.probabilities, _LEAST)) - np.log(
        np.maximum(shares.of(windows.arousal, windows.valence), _LEAST)
    )
    valence = along(windows.valence[:, None], len(course))[:, 0]
    probabilities = np.maximum(shares.of(arousal, valence), _LEAST) * np.exp(favoured.mean(axis=0))
    return np.column_stack((smoothed(probabilities.argmax(axis=1), arousal), arousal))


def smoothed(ranks: NDArray[np.intp], arousal: FloatArray) -> NDArray[np.intp]:
    """The ranks [T] with no section shorter than 4 s: again and again the shortest, the first of equals, joins the
    neighbour whose mean arousal is nearer, the earlier of equals.
    """
    edges = [0, *(np.flatnonzero(np.diff(ranks)) + 1).tolist(), len(ranks)]
    zones = ranks[edges[:-1]].tolist()
    lengths = np.diff(edges).tolist()
    sums = np.add.reduceat(arousal, edges[:-1]).tolist()
    while len(zones) > 1 and min(lengths) < MIN_SECTION:
        short = lengths.index(min(lengths))
        level = sums[short] / lengths[short]
        neighbours = [at for at in (short - 1, short + 1) if 0 <= at < len(zones)]
        zones[short] = zones[min(neighbours, key=lambda at: abs(sums[at] / lengths[at] - level))]
        for at in (short, short - 1):  # what now has the zone of the section behind it becomes one with that
            if 0 <= at < len(zones) - 1 and zones[at] == zones[at + 1]:
                lengths[at] += lengths.pop(at + 1)
                sums[at] += sums.pop(at + 1)
                del zones[at + 1]
    return np.repeat(zones, lengths)


def along(rows: NDArray[np.floating[Any]], frames: int) -> FloatArray:
    """Values of windows, [W, C], along so many frames, [T, C]: the mean over the windows that hold the frame."""
    starts = np.minimum(np.arange(len(rows)) * WINDOW_STEP, max(0, frames - WINDOW_FRAMES))
    edges = np.zeros((frames + 1, rows.shape[1]))
    held = np.zeros(frames + 1)
    ends = np.minimum(starts + WINDOW_FRAMES, frames)
    for at, sign in ((starts, 1.0), (ends, -1.0)):
        np.add.at(edges, at, sign * rows.astype(np.float64))
        np.add.at(held, at, sign)
    means: FloatArray = np.cumsum(edges, axis=0)[:-1] / np.cumsum(held)[:-1, None]
    return means


def _normal_share(deviations: NDArray[np.floating[Any]]) -> FloatArray:
    """Of a standard normal distribution, what lies below; SciPy's would take longer to import than to run."""
    scaled = deviations.astype(np.float64) / -math.sqrt(2)
    return 0.5 * np.fromiter(map(math.erfc, scaled.tolist()), np.float64, len(scaled))
