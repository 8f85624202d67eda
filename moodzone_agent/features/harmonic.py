"""How much of the sound is sustained rather than struck."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

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
    magnitude = np.sqrt(power)
    harmonic, percussive = (_median_of_five(magnitude, axis) ** 2 for axis in (1, 2))
    both = harmonic + percussive
    share = np.divide(harmonic, both, out=np.zeros_like(both), where=both > 0)
    in_bands = (len(mel), spans, HARMONIC_BANDS, -1)
    sustained = (share * power).reshape(in_bands).sum(axis=(1, 3))
    total = power.reshape(in_bands).sum(axis=(1, 3))
    return np.asarray(np.divide(sustained, total, out=np.zeros_like(total), where=total > 0))


def _median_of_five(values: FloatArray, axis: int) -> FloatArray:
    """The running median over five places of an axis; its ends are repeated.

    By minima and maxima, ten passes over the array: sorting takes ten times as long.
    """
    width = [(2, 2) if dimension == axis else (0, 0) for dimension in range(values.ndim)]
    padded = np.pad(values, width, mode="edge") if values.shape[axis] else np.pad(values, width)
    a, b, c, d, e = (
        np.take(padded, range(first, first + values.shape[axis]), axis=axis) for first in range(5)
    )
    lower = np.maximum(np.minimum(a, b), np.minimum(c, d))
    upper = np.minimum(np.maximum(a, b), np.maximum(c, d))
    return np.asarray(np.maximum(np.minimum(e, lower), np.minimum(np.maximum(e, lower), upper)))
