"""From the windows' estimates to the track's, and to its ribbon."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.classify.session import WindowEstimates
from moodzone_agent.features.spec import FRAME_SECONDS, WINDOW_FRAMES, WINDOW_STEP
from moodzone_agent.types import Estimate


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


def ribbon(windows: WindowEstimates, duration: float) -> NDArray[np.float64]:
    """Rank of the zone (0 to 2) and arousal (1 to 9) along the track, [T, 2] for its T frames of 0.5 s.

    Each comes from the mean over the windows that hold the frame.
    """
    frames = max(1, int(duration / FRAME_SECONDS))
    count = len(windows.arousal)
    starts = np.minimum(np.arange(count) * WINDOW_STEP, max(0, frames - WINDOW_FRAMES))
    values = np.column_stack((windows.probabilities, windows.arousal)).astype(np.float64)
    edges = np.zeros((frames + 1, values.shape[1]))
    held = np.zeros(frames + 1)
    ends = np.minimum(starts + WINDOW_FRAMES, frames)
    for at, sign in ((starts, 1.0), (ends, -1.0)):
        np.add.at(edges, at, sign * values)
        np.add.at(held, at, sign)
    means = np.cumsum(edges, axis=0)[:-1] / np.cumsum(held)[:-1, None]
    return np.column_stack((means[:, :3].argmax(axis=1), means[:, 3]))
