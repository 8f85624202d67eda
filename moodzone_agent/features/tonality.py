"""Key, chords and tuning of a stretch of frames."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.features.spec import CHORDS, PITCH_CLASSES, REPETITION_FRAMES

FloatArray = NDArray[np.float32]

_CLASSES: Final = len(PITCH_CLASSES)

# Probe-tone ratings of Krumhansl & Kessler (1982), from the tonic upwards.
_MAJOR: Final = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR: Final = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)


def _on_every_root(profile: NDArray[np.float64]) -> NDArray[np.float64]:
    """[12, 12]: the profile from each of the twelve roots, of length 1."""
    unit = profile / np.linalg.norm(profile)
    return np.stack([np.roll(unit, root) for root in range(_CLASSES)])


_KEYS: Final = [_on_every_root(np.subtract(profile, np.mean(profile))) for profile in (_MAJOR, _MINOR)]
_CHORDS: Final = [
    _on_every_root(np.bincount(tones, minlength=_CLASSES).astype(np.float64)) for tones in CHORDS.values()
]


def tonal_features(chroma: FloatArray, hpcp: FloatArray, tuning: FloatArray) -> FloatArray:
    """[N, 18] of stretches of frames: chroma and harmonic pitch class profiles [N, T, 12], tuning [N, T, 2].

    - ``key_clarity`` (-1 to 1): correlation of the mean chroma with the profile of the best key (Krumhansl & Kessler
      1982); ``mode_majorness`` (-2 to 2): by how much the best major key beats the best minor one.
    - ``chroma_entropy``: of the mean chroma, 0 to log 12; ``chroma_change``: mean distance from frame to frame.
    - ``chord_major`` to ``chord_minor_seventh`` (0 to 1): how like the frames' profiles are to a chord on its best root
      (cosine; after Fujishima 1999), mean.
    - ``tuning_clarity`` (0 to 1): whether all that sounds keeps to one tuning; noise, voices and distortion don't.
    - ``repetition_1`` to ``_8`` (0 to 1): likeness (cosine) of profiles that many frames apart, mean; 0 where the
      stretch is shorter.
    """
    mean = chroma.mean(axis=1, dtype=np.float64)
    total = mean.sum(axis=1, keepdims=True)
    share = np.divide(mean, total, out=np.full_like(mean, 1 / _CLASSES), where=total > 1e-9)
    entropy = -np.sum(share * np.log(np.maximum(share, 1e-12)), axis=1)
    centred = _unit(mean - mean.mean(axis=1, keepdims=True))
    major, minor = ((centred @ keys.T).max(axis=1) for keys in _KEYS)
    steps = np.linalg.norm(np.diff(chroma.astype(np.float64), axis=1), axis=2)
    change = steps.mean(axis=1) if steps.shape[1] else np.zeros(len(chroma))

    profiles = _unit(hpcp.astype(np.float64))
    likeness = np.stack([(profiles @ roots.T).max(axis=2) for roots in _CHORDS], axis=2)
    clarity = np.linalg.norm(tuning.mean(axis=1, dtype=np.float64), axis=1)
    repetition = [
        np.einsum("ntc,ntc->nt", profiles[:, apart:], profiles[:, :-apart]).mean(axis=1)
        if profiles.shape[1] > apart
        else np.zeros(len(profiles))
        for apart in REPETITION_FRAMES
    ]
    return np.stack(
        (
            np.maximum(major, minor),
            major - minor,
            entropy,
            change,
            *likeness.mean(axis=1).T,
            clarity,
            *repetition,
        ),
        axis=1,
    ).astype(np.float32)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vectors [..., 12] brought to length 1; 0 stays 0."""
    norm = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(np.divide(vectors, norm, out=np.zeros_like(vectors), where=norm > 1e-9))
