"""Tempo and pulse from the onset strength."""

from __future__ import annotations

from typing import Final

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from moodzone_agent.features.rhythm import HOPS_PER_SECOND

FloatArray = NDArray[np.float32]

_TEMPI: Final = np.geomspace(50.0, 210.0, 420)
"""Beats per minute that are tried: steps of 0.34 %."""
_BEATS: Final = (1, 2, 4)
"""A tempo's score counts the likeness after one, two and four beats."""
_PRIOR_CENTRE: Final = 120.0
_PRIOR_OCTAVES: Final = 0.9


def autocorrelation(onsets: FloatArray) -> NDArray[np.float64]:
    """Of onset strengths [W, H], at lags of 0 to 5 s (or H - 1 hops), 1 at lag 0; 0 where nothing varies."""
    hops = onsets.shape[1]
    lags = min(hops, int(5 * HOPS_PER_SECOND) + 2)
    varying = onsets.astype(np.float64) - onsets.mean(axis=1, keepdims=True)
    spectrum = scipy.fft.rfft(varying, scipy.fft.next_fast_len(2 * hops), axis=1)
    likeness = scipy.fft.irfft(spectrum.real**2 + spectrum.imag**2, axis=1)[:, :lags]
    unbiased = likeness / (hops - np.arange(lags))
    power = unbiased[:, :1]
    return np.asarray(np.divide(unbiased, power, out=np.zeros_like(unbiased), where=power > 1e-9))


def tempo(onsets: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Tempo and pulse clarity of onset strengths [W, H, B], over all bands first, then in each from low to high.

    The tempo (BPM, 50 to 210) is the one whose beat, two beats and four beats later the onset strength is most like
    itself, in all bands and in the lowest, which has the kick; weighed by a log-normal prior around 120 BPM (Ellis
    2007, "Beat Tracking by Dynamic Programming"). The pulse clarity (-1 to 1) is that likeness without the prior
    (after Lartillot 2008). 120 and 0 where nothing varies.
    """
    likeness = (autocorrelation(onsets[:, :, 0]) + autocorrelation(onsets[:, :, 1])) / 2
    lags = 60.0 / _TEMPI * HOPS_PER_SECOND
    scores = np.zeros((onsets.shape[0], _TEMPI.size))
    counted = np.zeros(_TEMPI.size)
    for beats in _BEATS:
        lag = lags * beats
        inside = lag < likeness.shape[1] - 1
        low = np.floor(lag[inside]).astype(int)
        share = lag[inside] - low
        scores[:, inside] += likeness[:, low] * (1 - share) + likeness[:, low + 1] * share
        counted += inside
    scores /= np.maximum(counted, 1)
    prior = np.exp(-0.5 * (np.log2(_TEMPI / _PRIOR_CENTRE) / _PRIOR_OCTAVES) ** 2)
    best = np.argmax(np.maximum(scores, 0) * prior, axis=1)
    clarity = scores[np.arange(scores.shape[0]), best]
    silent = ~likeness.any(axis=1)
    found = np.where(silent, _PRIOR_CENTRE, _TEMPI[best])
    return found.astype(np.float32), clarity.astype(np.float32)
