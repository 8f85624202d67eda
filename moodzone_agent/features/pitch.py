"""Pitch from the peaks of a frame's mean spectrum: which pitch classes sound, and how well they are in tune."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.audio.rate import SAMPLE_RATE
from moodzone_agent.features.spec import N_FFT, PITCH_CLASSES

FloatArray = NDArray[np.float32]

_LOWEST_HZ: Final = 130.0
"""Below, a spectrum of 2048 samples doesn't tell semitones apart."""
_HIGHEST_HZ: Final = 2000.0
_BIN_HZ: Final = SAMPLE_RATE / N_FFT
_FLOOR: Final = 1e-3
"""Magnitude that counts as nothing, some 110 dB under full scale."""

PITCH_BINS: Final = slice(int(_LOWEST_HZ / _BIN_HZ) - 1, int(_HIGHEST_HZ / _BIN_HZ) + 2)
"""The bins of the spectrum that `pitch_columns` looks at."""


def pitch_columns(spectra: FloatArray) -> FloatArray:
    """[T, 14] of the mean magnitudes [T, K] of `PITCH_BINS` in T frames.

    First the mean of cos and of sin of the peaks' distance from the tempered scale at 440 Hz, a semitone being the
    whole circle: its length is 1 where all peaks agree on one tuning and near 0 in noise. Then the harmonic pitch
    class profile from C to B (Gómez 2006, "Tonal description of music audio signals"), the strongest at 1. Peaks are
    placed between bins by a parabola through their levels, and count by the square root of their magnitude. All 0
    where there is no peak.
    """
    level = np.log(np.maximum(spectra, np.float32(_FLOOR)))
    before, here, after = level[:, :-2], level[:, 1:-1], level[:, 2:]
    frame, peak = np.nonzero((here > before) & (here >= after))
    low, top, high = before[frame, peak], here[frame, peak], after[frame, peak]
    place = PITCH_BINS.start + 1 + peak + 0.5 * (low - high) / (low - 2 * top + high)
    pitch = 69 + 12 * np.log2(place * (_BIN_HZ / 440.0))
    weight = np.exp(top / 2)

    lower = np.floor(pitch)
    share = pitch - lower
    frames, classes = spectra.shape[0], len(PITCH_CLASSES)
    cell = frame * classes
    profile = np.bincount(
        np.concatenate((cell + lower.astype(int) % classes, cell + (lower.astype(int) + 1) % classes)),
        np.concatenate((weight * (1 - share), weight * share)),
        minlength=frames * classes,
    ).reshape(frames, classes)
    strongest = np.maximum(profile.max(axis=1, keepdims=True), 1e-9)

    angle = 2 * np.pi * share
    total = np.maximum(np.bincount(frame, weight, minlength=frames), 1e-9)
    tuning = [
        np.bincount(frame, weight * part, minlength=frames) / total for part in (np.cos(angle), np.sin(angle))
    ]
    return np.column_stack((*tuning, profile / strongest)).astype(np.float32)
