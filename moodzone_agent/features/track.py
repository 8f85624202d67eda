"""From a frame table to feature vectors: one for each 10-s window, one for the whole track."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.features.drops import Drop, find_drops
from moodzone_agent.features.frames import FrameAccumulator, FrameTable, first_hop
from moodzone_agent.features.spec import (
    FEATURE_NAMES,
    FRAME_COLUMNS,
    NAMED_FEATURES,
    PITCH_CLASSES,
    STATISTICS,
    STATISTICS_COLUMNS,
    STATISTICS_FEATURES,
    WINDOW_FRAMES,
    WINDOW_STEP,
)
from moodzone_agent.features.tempo import modulation_spectrum, onset_rate, tempo

FloatArray = NDArray[np.float32]

_COLUMN: Final = {name: index for index, name in enumerate(FRAME_COLUMNS)}
_CHROMA: Final = slice(_COLUMN[f"chroma_{PITCH_CLASSES[0]}"], _COLUMN[f"chroma_{PITCH_CLASSES[-1]}"] + 1)
_STATISTICS: Final = [_COLUMN[name] for name in STATISTICS_COLUMNS]
_STATISTICS_KEPT: Final = np.array(
    [
        f"{column}_{statistic}" in STATISTICS_FEATURES
        for statistic in STATISTICS
        for column in STATISTICS_COLUMNS
    ]
)
_NAMED_MFCC: Final = [_COLUMN[f"mfcc_{i}"] for i in range(1, 6)]
_QUIETEST_DB: Final = -60.0
_WINDOW_HOPS: Final = first_hop(WINDOW_FRAMES) - 1
"""Windows begin on different fractions of a hop; all hold at least this many."""

# Probe-tone ratings of Krumhansl & Kessler (1982), from the tonic upwards.
_MAJOR: Final = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR: Final = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)


@dataclass(frozen=True, slots=True)
class TrackFeatures:
    """What the frames of a track amount to."""

    track: FloatArray
    """[F], in the order of `spec.FEATURE_NAMES`."""
    windows: FloatArray
    """[W, F]: frames 0-20, 10-30 and so on; the last window ends with the track."""
    drops: tuple[Drop, ...]


class TrackAccumulator:
    """Takes the analysis signal in blocks of any size; knows the features so far at any time, and at the end."""

    def __init__(self) -> None:
        self._frames = FrameAccumulator()

    def push(self, block: FloatArray) -> None:
        """Take the next samples, [n] float32 at 22,050 Hz, of any number."""
        self._frames.push(block)

    def so_far(self) -> TrackFeatures | None:
        """The features of the frames that are complete; None before the first. Pushing may go on."""
        table = self._frames.so_far()
        return track_features(table) if len(table.columns) else None

    def result(self) -> TrackFeatures | None:
        """The features of the whole; None if there was not one frame. The accumulator is used up."""
        table = self._frames.result()
        return track_features(table) if len(table.columns) else None


def track_features(table: FrameTable) -> TrackFeatures:
    """The vectors of a track of at least one frame.

    The 22 named features of a stretch of frames:

    - ``tempo``: BPM, 50 to 210 (`tempo.tempo`).
    - ``zero_crossing_rate``, ``spectral_rolloff`` (Hz), ``brightness`` (0 to 1), ``spectral_centroid`` (Hz):
      means over the frames, see `frames.FrameAccumulator`. ``rms_energy``: mean RMS, 0 to 1.
    - ``low_energy``: share of frames with an RMS below the mean RMS, 0 to 1 (Tzanetakis & Cook 2002).
    - ``mfcc_1_mean`` to ``mfcc_5_mean`` and ``mfcc_1_std`` to ``mfcc_5_std``: over the frames; ``mfcc_1`` is
      the one that librosa counts as 0.
    - ``energy_variance``: variance over the frames of the level in dB, not below -60 dB.
    - ``drop_strength``: the strongest rise of the low band at a drop, dB. ``drop_contrast_mean``: mean rise
      of the whole level at the drops, dB. ``drop_count``. ``drop_intensity``: mean share that the 8 s after
      a drop reach of the loudest frame. All 0 without drops (`drops.Drop`).

    Behind them, for each frame column but chroma: its mean, standard deviation, 10th and 90th percentile and
    mean absolute change; pulse clarity, onsets a second, the modulation spectrum of five onset bands; and of
    the mean chroma its likeness to the best key (-1 to 1), by how much major keys beat minor ones (-2 to 2),
    its entropy (0 to log 12), and the mean distance from frame to frame.
    """
    frames = table.columns.shape[0]
    starts = list(range(0, frames - WINDOW_FRAMES + 1, WINDOW_STEP)) or [0]
    if starts[-1] + WINDOW_FRAMES < frames:
        starts.append(frames - WINDOW_FRAMES)
    hops = min(_WINDOW_HOPS, table.onsets.shape[0])
    columns = np.stack([table.columns[start : start + WINDOW_FRAMES] for start in starts])
    onsets = np.stack([table.onsets[first_hop(start) :][:hops] for start in starts])
    drops = tuple(find_drops(table.columns))
    return TrackFeatures(
        track=_vectors(table.columns[None], table.onsets[None], [drops])[0],
        windows=_vectors(columns, onsets, [tuple(find_drops(window)) for window in columns]),
        drops=drops,
    )


def _vectors(columns: FloatArray, onsets: FloatArray, drops: list[tuple[Drop, ...]]) -> FloatArray:
    """Feature vectors [N, F] of stretches: columns [N, T, C], onsets [N, H, 5] and the drops of each."""
    tempi, clarity = tempo(onsets)
    rhythm = np.concatenate(
        (
            clarity[:, None],
            onset_rate(onsets[:, :, 0])[:, None],
            modulation_spectrum(onsets).reshape(columns.shape[0], -1),
        ),
        axis=1,
    )
    vectors = np.concatenate(
        (_named(columns, tempi, drops), _statistics(columns), rhythm, _tonal(columns[:, :, _CHROMA])), axis=1
    ).astype(np.float32)
    assert vectors.shape[1] == len(FEATURE_NAMES)
    return vectors


def _named(columns: FloatArray, tempi: FloatArray, drops: list[tuple[Drop, ...]]) -> FloatArray:
    means = columns.mean(axis=1, dtype=np.float64)
    mfcc = columns[:, :, _NAMED_MFCC]
    rms = columns[:, :, _COLUMN["rms"]]
    level = np.maximum(columns[:, :, _COLUMN["level"]], _QUIETEST_DB)
    values: list[NDArray[np.float64] | FloatArray] = [
        tempi,
        means[:, _COLUMN["zero_crossing_rate"]],
        (rms < rms.mean(axis=1, keepdims=True)).mean(axis=1),
        means[:, _COLUMN["rms"]],
        means[:, _COLUMN["spectral_rolloff"]],
        means[:, _COLUMN["brightness"]],
        means[:, _COLUMN["spectral_centroid"]],
        *mfcc.mean(axis=1, dtype=np.float64).T,
        *mfcc.std(axis=1, dtype=np.float64).T,
        level.var(axis=1, dtype=np.float64),
        *np.array([_drop_figures(found) for found in drops], np.float64).reshape(-1, 4).T,
    ]
    assert len(values) == len(NAMED_FEATURES)
    return np.stack(values, axis=1).astype(np.float32)


def _drop_figures(drops: tuple[Drop, ...]) -> tuple[float, float, float, float]:
    """drop_strength, drop_contrast_mean, drop_count, drop_intensity."""
    if not drops:
        return 0.0, 0.0, 0.0, 0.0
    return (
        max(drop.strength for drop in drops),
        sum(drop.contrast for drop in drops) / len(drops),
        float(len(drops)),
        sum(drop.intensity for drop in drops) / len(drops),
    )


def _statistics(columns: FloatArray) -> FloatArray:
    """[N, len(STATISTICS_FEATURES)] in the order of `spec.STATISTICS_FEATURES`."""
    values = columns[:, :, _STATISTICS].astype(np.float64)
    low, high = np.quantile(values, (0.1, 0.9), axis=1)
    changes = np.abs(np.diff(values, axis=1))
    delta = changes.mean(axis=1) if changes.shape[1] else np.zeros_like(low)
    by_statistic = (values.mean(axis=1), values.std(axis=1), low, high, delta)
    return np.concatenate(by_statistic, axis=1)[:, _STATISTICS_KEPT].astype(np.float32)


def _tonal(chroma: FloatArray) -> FloatArray:
    """[N, 4] of chroma [N, T, 12], in the order of `spec.TONAL_FEATURES`."""
    mean = chroma.mean(axis=1, dtype=np.float64)
    total = mean.sum(axis=1, keepdims=True)
    share = np.divide(mean, total, out=np.full_like(mean, 1 / 12), where=total > 1e-9)
    entropy = -np.sum(share * np.log(np.maximum(share, 1e-12)), axis=1)
    major, minor = (_key_likeness(mean, profile) for profile in (_MAJOR, _MINOR))
    steps = np.linalg.norm(np.diff(chroma.astype(np.float64), axis=1), axis=2)
    change = steps.mean(axis=1) if steps.shape[1] else np.zeros(mean.shape[0])
    return np.stack((np.maximum(major, minor), major - minor, entropy, change), axis=1).astype(np.float32)


def _key_likeness(chroma: NDArray[np.float64], profile: tuple[float, ...]) -> NDArray[np.float64]:
    """[N]: the highest correlation of mean chroma [N, 12] with the profile on any tonic; 0 for even chroma."""
    keys = np.stack([np.roll(profile, tonic) for tonic in range(12)])
    keys = keys - keys.mean(axis=1, keepdims=True)
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    centred = chroma - chroma.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = np.divide(centred, norm, out=np.zeros_like(centred), where=norm > 1e-9)
    return np.asarray((unit @ keys.T).max(axis=1))
