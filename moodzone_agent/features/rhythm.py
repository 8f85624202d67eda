"""Pulse, onsets and modulation of a stretch of onset strengths; its tempo is `tempo.tempo`."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from moodzone_agent.audio.rate import SAMPLE_RATE
from moodzone_agent.features.order import quantiles
from moodzone_agent.features.spec import HOP_LENGTH, MODULATION_EDGES

FloatArray = NDArray[np.float32]

HOPS_PER_SECOND: Final = SAMPLE_RATE / HOP_LENGTH

_PERIODS: Final = (0.37, 5.0)
"""Seconds between the onsets of what counts as periodic."""


def rhythm_features(onsets: FloatArray, clarity: FloatArray) -> FloatArray:
    """[N, 2 + 6 B] of onset strengths [N, H, B], over all bands first, then in each; and the pulse clarity [N].

    - ``pulse_clarity`` as given; ``onset_rate``: onsets a second over all bands, peaks more than a standard deviation
      above the mean.
    - ``periodicity_0`` to ``_4`` (-1 to 1): of each band, its highest autocorrelation at 0.37 to 5 s.
    - ``modulation_0_1`` to ``_4_5``: shares of 0.5-1-2-4-8-16 Hz in the power of each band's strengths
      (Tzanetakis & Cook 2002); equal where nothing moves.
    """
    values = np.ascontiguousarray(onsets.transpose(0, 2, 1))
    varying = values - values.mean(axis=2, keepdims=True)
    figures = (
        clarity[:, None],
        _onset_rate(values[:, 0])[:, None],
        _periodicity(varying),
        _modulation(varying).reshape(len(onsets), -1),
    )
    return np.concatenate(figures, axis=1).astype(np.float32)


def loudness_features(loudness: FloatArray) -> FloatArray:
    """[N, 6] of the loudness of each hop [N, H], dB.

    ``loudness_spread``: standard deviation; ``loudness_range``, ``loudness_reach``, ``loudness_fall``: from the 5th
    to the 95th percentile, from the median to the 95th, from the 5th to the median; ``loudness_skew``: skewness;
    ``loudness_change``: mean absolute change from hop to hop.
    """
    low, middle, high = quantiles(loudness, 0.05, 0.5, 0.95)
    varying = loudness - loudness.mean(axis=1, keepdims=True)
    squares = varying * varying  # a power of 3 takes a logarithm each
    spread = np.sqrt(squares.mean(axis=1))
    cubes = (squares * varying).mean(axis=1)
    skew = np.divide(cubes, spread**3, out=np.zeros_like(spread), where=spread > 1e-3)
    steps = np.abs(np.diff(loudness, axis=1))
    change = steps.mean(axis=1) if steps.shape[1] else np.zeros(len(loudness))
    return np.stack((spread, high - low, high - middle, middle - low, skew, change), axis=1).astype(
        np.float32
    )


def _onset_rate(onsets: FloatArray) -> FloatArray:
    if onsets.shape[1] < 3:
        return np.zeros(len(onsets), np.float32)
    middle = onsets[:, 1:-1]
    threshold = onsets.mean(axis=1, keepdims=True) + onsets.std(axis=1, keepdims=True)
    peaks = (middle > onsets[:, :-2]) & (middle >= onsets[:, 2:]) & (middle > threshold)
    return np.asarray(np.count_nonzero(peaks, axis=1) * (HOPS_PER_SECOND / onsets.shape[1]), np.float32)


def _periodicity(varying: FloatArray) -> FloatArray:
    hops = varying.shape[2]
    first, last = (int(seconds * HOPS_PER_SECOND) for seconds in _PERIODS)
    if hops <= first:
        return np.zeros(varying.shape[:2], np.float32)
    spectrum = scipy.fft.rfft(varying, scipy.fft.next_fast_len(2 * hops, real=True))
    likeness = scipy.fft.irfft(spectrum.real**2 + spectrum.imag**2)[:, :, : min(hops, last + 1)]
    unbiased = likeness / (hops - np.arange(likeness.shape[2], dtype=np.float32))
    power = unbiased[:, :, 0]
    best = unbiased[:, :, first:].max(axis=2)
    return np.asarray(np.divide(best, power, out=np.zeros_like(best), where=power > 1e-9))


def _modulation(varying: FloatArray) -> FloatArray:
    size = max(scipy.fft.next_fast_len(varying.shape[2], real=True), int(4 * HOPS_PER_SECOND))
    spectrum = scipy.fft.rfft(varying, size)
    power = spectrum.real**2 + spectrum.imag**2
    edges = np.ceil(np.array(MODULATION_EDGES) * size / HOPS_PER_SECOND).astype(int)
    bands = np.stack([power[:, :, low:high].sum(axis=2) for low, high in pairwise(edges)], axis=2)
    total = bands.sum(axis=2, keepdims=True)
    even = np.full_like(bands, 1 / bands.shape[2])
    return np.asarray(np.divide(bands, total, out=even, where=total > 1e-9))
