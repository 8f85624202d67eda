"""How much of the sound is sustained rather than struck."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.features.order import median_of_five
from moodzone_agent.features.spec import HARMONIC_BANDS

FloatArray = NDArray[np.float32]

_HOPS: Final = 4
"""That are averaged first: five of these spans are 0.46 s, longer than a stroke and shorter than a note."""


def harmonic_shares(mel: FloatArray) -> FloatArray:
    """[N, 8]: in eight bands of equal mel width, the share of harmonic sound in the power, 0 to 1.

    Of mel powers [N, H, 64]. Harmonic and percussive magnitude are medians over five spans of 93 ms and over five
    bands, and share the power by their squares (Fitzgerald 2010, "Harmonic/percussive separation using median
    filtering"). 0 in silence, and where there is no such span.
    """
    spans = mel.shape[1] // _HOPS
    power = mel[:, : spans * _HOPS].reshape(len(mel), spans, _HOPS, mel.shape[2]).mean(axis=2)
    # The square of a median is the median of squares.
    harmonic, percussive = (median_of_five(power, axis) for axis in (1, 2))
    both = np.add(harmonic, percussive, out=percussive)
    share = np.divide(harmonic, both, out=harmonic, where=both > 0)  # where it isn't, harmonic is 0 as well
    in_bands = (len(mel), HARMONIC_BANDS, -1)
    sustained = np.multiply(share, power, out=share).sum(axis=1).reshape(in_bands).sum(axis=2)
    total = power.sum(axis=1).reshape(in_bands).sum(axis=2)
    return np.asarray(np.divide(sustained, total, out=np.zeros_like(total), where=total > 0))
