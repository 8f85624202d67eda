"""Tempo and pulse from the onset strength."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from moodzone_agent.features.rhythm import HOPS_PER_SECOND
from moodzone_agent.features.spec import ONSET_BAND_EDGES

FloatArray = NDArray[np.float32]
DoubleArray = NDArray[np.float64]

TEMPI: Final = np.geomspace(50.0, 210.0, 420)
"""Beats per minute that are tried: steps of 0.34 %."""
BEATS: Final = (1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 1, 5 / 4, 4 / 3, 3 / 2, 7 / 4, 2, 5 / 2, 3, 7 / 2, 4)
"""How many beats later the onsets are compared with themselves: where a beat's parts and a bar's beats come back,
thirds for swing, and places in between, which a wrong tempo takes for beats."""
BANDS: Final = len(ONSET_BAND_EDGES)
"""Over all bands, then kick, tone and body, snare, hats."""
PRIOR_CENTRE: Final = 120.0
"""BPM, also where nothing varies."""
PRIOR_OCTAVES: Final = 0.6
"""This far from the centre the prior takes 1 off a tempo's score: something to noise and to clicks, of which every
other may be the beat as well, little to drums."""
LAGS: Final = int(5 * HOPS_PER_SECOND) + 2
"""Hops up to 5 s: four beats at 50 BPM and what lies around them."""

_WEIGHTS: Final = "tempo_weights.json"
_REACH: Final = (1.5, 0.04)
"""What lies around a lag counts, less and less up to so many hops or this share of the lag: no drummer is a clock, and
neither are hops."""
_CLARITY_BEATS: Final = (1, 2, 4)
_SEGMENT_HOPS: Final = 1024
"""23.8 s. Longer than any lag by far, short enough that a break and the groove after it are centred apart."""
_LEAST_HOPS: Final = 43
"""A lag that was seen for less than 1 s counts less."""


def autocorrelation(onsets: FloatArray) -> DoubleArray:
    """Of onset strengths [W, H, B], at lags of 0 to 5 s: [W, B, 217], 1 at lag 0; 0 where nothing varies."""
    return _normalised(_products(onsets), _pairs(onsets.shape[1]))


def tempo(onsets: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Tempo [W] and pulse clarity [W] of onset strengths [W, H, 5]: over all bands first, then in each, low to high.

    The tempo (BPM, 50 to 210) is the one whose template the autocorrelation fits best: a weighted sum of how alike the
    onsets of each band are to themselves a quarter of a beat, a third of it and so on up to four beats later (after
    Klapuri et al. 2006, "Analysis of the Meter of Acoustic Musical Signals", and Seyerlehner et al. 2007, "From
    Rhythm Patterns to Perceived Tempo"), and the logarithm of a log-normal prior around 120 BPM (Ellis 2007, "Beat
    Tracking by Dynamic Programming"). The weights come from `trainer.pretraining.tempo`. The pulse clarity (-1 to 1) is
    the mean likeness after one, two and four beats, over all bands and in the lowest, which has the kick (after
    Lartillot 2008).
    120 and 0 where nothing varies.
    """
    return _best(autocorrelation(onsets))


class TempoAccumulator:
    """Takes the onset strengths of a track as they come and knows its tempo at any time.

    The autocorrelations of segments of 23.8 s are added up, each around its own mean; that is all that is kept.
    Segments are counted from the start, so that it doesn't matter in which pieces the onsets come.
    """

    def __init__(self) -> None:
        self._products = np.zeros((1, BANDS, LAGS))
        self._pairs = np.zeros(LAGS)
        self._waiting = np.empty((0, BANDS), np.float32)

    def push(self, onsets: FloatArray) -> None:
        """Take the next onset strengths, [H, 5], of any number."""
        self._waiting = np.concatenate((self._waiting, onsets))
        whole = len(self._waiting) // _SEGMENT_HOPS
        for segment in range(whole):
            first = segment * _SEGMENT_HOPS
            self._products += _products(self._waiting[None, first : first + _SEGMENT_HOPS])
            self._pairs += _pairs(_SEGMENT_HOPS)
        if whole:
            self._waiting = self._waiting[whole * _SEGMENT_HOPS :].copy()

    def result(self) -> tuple[FloatArray, FloatArray]:
        """Tempo [1] and pulse clarity [1] of what has come, as `tempo` defines them; more may follow."""
        return _best(self.autocorrelation())

    def autocorrelation(self) -> DoubleArray:
        """Of what has come, as `autocorrelation` gives it of one stretch: [1, 5, 217]."""
        products, pairs = self._products, self._pairs
        if len(self._waiting):
            products = products + _products(self._waiting[None])
            pairs = pairs + _pairs(len(self._waiting))
        return _normalised(products, pairs)


def _products(onsets: FloatArray) -> DoubleArray:
    """Of onset strengths [W, H, B] around their means: sums of products at each lag, [W, B, 217]."""
    hops = onsets.shape[1]
    lags = min(hops, LAGS)
    varying = onsets.transpose(0, 2, 1).astype(np.float64, order="C")
    varying -= varying.mean(axis=2, keepdims=True)
    size = scipy.fft.next_fast_len(hops + lags, real=True)
    spectrum = scipy.fft.rfft(varying, size, axis=2)
    products = np.zeros((*varying.shape[:2], LAGS))
    products[:, :, :lags] = scipy.fft.irfft(spectrum.real**2 + spectrum.imag**2, size, axis=2)[:, :, :lags]
    return products


def _pairs(hops: int) -> DoubleArray:
    """How many products there are at each lag, [217]."""
    return np.maximum(hops - np.arange(LAGS, dtype=np.float64), 0)


def _normalised(products: DoubleArray, pairs: DoubleArray) -> DoubleArray:
    likeness = products / np.maximum(pairs, _LEAST_HOPS)
    power = likeness[:, :, :1]
    return np.asarray(np.divide(likeness, power, out=np.zeros_like(likeness), where=power > 1e-9))


def _best(likeness: DoubleArray) -> tuple[FloatArray, FloatArray]:
    template = _template()
    best = np.argmax(likeness.reshape(len(likeness), -1) @ template.matrix + template.prior, axis=1)
    kick = (likeness[:, 0] + likeness[:, 1]) / 2
    clarity = np.einsum("wl,wl->w", kick, template.pulse[best])
    found = np.where(likeness.any(axis=(1, 2)), TEMPI[best], PRIOR_CENTRE)
    return found.astype(np.float32), clarity.astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Template:
    matrix: DoubleArray
    """[B * 217, T]: what a likeness at a lag adds to the score of each tempo."""
    prior: DoubleArray
    """[T]."""
    pulse: DoubleArray
    """[T, 217]: the mean after one, two and four beats."""


@cache
def _template() -> _Template:
    text = resources.files("moodzone_agent.features").joinpath(_WEIGHTS).read_text(encoding="utf-8")
    weights = np.array(json.loads(text)["weights"])
    matrix = np.zeros((BANDS, LAGS, TEMPI.size))
    for column, beats in zip(weights.T, BEATS, strict=True):
        matrix += column[:, None, None] * lag_sampler(beats).T
    return _Template(
        matrix=matrix.reshape(BANDS * LAGS, TEMPI.size),
        prior=log_prior(),
        pulse=np.mean([lag_sampler(beats) for beats in _CLARITY_BEATS], axis=0),
    )


def lag_sampler(beats: float) -> DoubleArray:
    """[T, 217]: for each of `TEMPI`, the weights, 1 in sum, of the lags around so many beats."""
    lags = 60.0 / TEMPI * HOPS_PER_SECOND * beats
    hops, share = _REACH
    reach = np.maximum(hops, share * lags)
    near = np.maximum(1 - np.abs(np.arange(LAGS) - lags[:, None]) / reach[:, None], 0)
    return np.asarray(near / near.sum(axis=1, keepdims=True))


def log_prior() -> DoubleArray:
    """[T]: what the prior takes off the score of each of `TEMPI`."""
    return np.asarray(-((np.log2(TEMPI / PRIOR_CENTRE) / PRIOR_OCTAVES) ** 2))
