"""From frames to feature vectors: one for each 10-s window as soon as it is complete, one for the whole track."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.features.drops import Drop, find_drops
from moodzone_agent.features.frames import HOP_COLUMNS, FrameAccumulator, FrameTable, first_hop
from moodzone_agent.features.harmonic import harmonic_shares
from moodzone_agent.features.order import quantiles
from moodzone_agent.features.rhythm import loudness_features, rhythm_features
from moodzone_agent.features.spec import (
    FEATURE_NAMES,
    FRAME_COLUMNS,
    NAMED_FEATURES,
    RIBBON_COLUMNS,
    STATISTICS,
    TRACK_COLUMNS,
    WINDOW_FRAMES,
    WINDOW_STEP,
)
from moodzone_agent.features.tempo import TempoAccumulator, tempo
from moodzone_agent.features.tonality import tonal_features

FloatArray = NDArray[np.float32]

_COLUMN: Final = {name: index for index, name in enumerate(FRAME_COLUMNS)}
_NAMED_MFCC: Final = [_COLUMN[f"mfcc_{i}"] for i in range(1, 6)]
_CHROMA: Final = slice(_COLUMN["chroma_c"], _COLUMN["chroma_b"] + 1)
_HPCP: Final = slice(_COLUMN["hpcp_c"], _COLUMN["hpcp_b"] + 1)
_TUNING: Final = slice(_COLUMN["tuning_cos"], _COLUMN["tuning_sin"] + 1)
_RIBBON: Final = [_COLUMN[name] for name in RIBBON_COLUMNS]
_QUIETEST_DB: Final = -60.0
_WINDOW_HOPS: Final = first_hop(WINDOW_FRAMES) - 1
"""Windows begin on different fractions of a hop; all hold at least this many."""
_WINDOWS_AT_ONCE: Final = 8
_FRAMES_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class TrackFeatures:
    """What the frames of a track amount to."""

    track: FloatArray
    """[F], in the order of `spec.FEATURE_NAMES`: the named features over the whole track, the others' mean over
    its windows."""
    windows: FloatArray
    """[W, F]: frames 0-20, 10-30 and so on; the last window ends with the track."""
    complete_windows: int
    """How many of these stay as they are while more audio comes."""
    drops: tuple[Drop, ...]
    frames: FloatArray
    """[T, K]: of each complete frame, the columns `spec.RIBBON_COLUMNS`."""


class TrackAccumulator:
    """Takes the analysis signal in blocks of any size; knows the features so far at any time, and at the end.

    The 22 named features of a stretch of frames:

    - ``tempo``: BPM (`tempo.tempo`).
    - ``zero_crossing_rate``, ``spectral_rolloff`` (Hz), ``brightness`` (0 to 1), ``spectral_centroid`` (Hz):
      means over the frames, see `frames.FrameAccumulator`. ``rms_energy``: mean RMS, 0 to 1.
    - ``low_energy``: share of frames with an RMS below the mean RMS, 0 to 1 (Tzanetakis & Cook 2002).
    - ``mfcc_1_mean`` to ``mfcc_5_mean`` and ``mfcc_1_std`` to ``mfcc_5_std``: over the frames; ``mfcc_1`` is
      the one that librosa counts as 0.
    - ``energy_variance``: variance over the frames of the level in dB, not below -60 dB.
    - ``drop_strength``: the strongest rise of the low band at a drop, dB. ``drop_contrast_mean``: mean rise
      of the whole level at the drops, dB. ``drop_count``. ``drop_intensity``: mean share that the 8 s after
      a drop reach of the loudest frame. All 0 without drops (`drops.Drop`).

    Behind them the statistics of frame columns that `spec.STATISTICS` names (mean, 10th and 90th percentile,
    mean absolute change from frame to frame); `rhythm.loudness_features` and `rhythm.rhythm_features`;
    `harmonic.harmonic_shares`; `tonality.tonal_features`.
    """

    def __init__(self) -> None:
        self._frames = FrameAccumulator()
        self._first = 0
        """Number of the first frame that is still at hand for windows."""
        self._columns = np.empty((0, len(FRAME_COLUMNS)), np.float32)
        self._hops = np.empty((0, HOP_COLUMNS), np.float32)
        self._next = 0
        """The frame where the next window starts."""
        self._windows: list[FloatArray] = []
        """[8, F] or more, each."""
        self._track_columns: list[FloatArray] = []
        """`spec.TRACK_COLUMNS` of all frames."""
        self._tempo = TempoAccumulator()

    def push(self, block: FloatArray) -> None:
        """Take the next samples, [n] float32 at 22,050 Hz, of any number."""
        self._frames.push(block)
        if self._frames.waiting >= _FRAMES_AT_ONCE:
            self._take(self._frames.take())

    def so_far(self) -> TrackFeatures | None:
        """The features of the frames that are complete; None before the first. Pushing may go on."""
        self._take(self._frames.take())
        return self._features()

    def result(self) -> TrackFeatures | None:
        """The features of the whole; None if there was not one frame. The accumulator is used up."""
        self._take(self._frames.finish())
        return self._features()

    def _take(self, table: FrameTable) -> None:
        self._track_columns.append(table.columns[:, : len(TRACK_COLUMNS)].copy())
        self._tempo.push(table.onsets)
        self._columns = np.concatenate((self._columns, table.columns))
        self._hops = np.concatenate((self._hops, table.hops))
        starts = range(self._next, self._frames_taken() - WINDOW_FRAMES + 1, WINDOW_STEP)
        if len(starts) >= _WINDOWS_AT_ONCE:
            self._windows.append(self._window_vectors(starts))
            self._next = starts[-1] + WINDOW_STEP
            self._forget(starts[-1])

    def _frames_taken(self) -> int:
        return self._first + len(self._columns)

    def _forget(self, frame: int) -> None:
        """Let go of what lies before a frame; the last window may need what lies behind it."""
        hops = first_hop(frame) - first_hop(self._first)
        self._columns = self._columns[frame - self._first :].copy()
        self._hops = self._hops[hops:].copy()
        self._first = frame

    def _features(self) -> TrackFeatures | None:
        frames = self._frames_taken()
        if frames == 0:
            return None
        starts = [*range(self._next, frames - WINDOW_FRAMES + 1, WINDOW_STEP)]
        complete = sum(map(len, self._windows)) + len(starts)
        covered = (starts[-1] if starts else self._next - WINDOW_STEP) + WINDOW_FRAMES
        if frames < WINDOW_FRAMES:
            starts = [0]
        elif covered < frames:
            starts.append(frames - WINDOW_FRAMES)
        windows = np.concatenate((*self._windows, *([self._window_vectors(starts)] if starts else [])))
        columns = np.concatenate(self._track_columns)
        drops = tuple(find_drops(columns))
        track = windows.mean(axis=0, dtype=np.float64).astype(np.float32)
        bpm, _ = self._tempo.result()
        track[: len(NAMED_FEATURES)] = _named(columns[None], bpm, [drops])[0]
        return TrackFeatures(track, windows, complete, drops, columns[:, _RIBBON])

    def _window_vectors(self, starts: Sequence[int]) -> FloatArray:
        """[len(starts), F] of the windows that start at these frames."""
        frames = [start - self._first for start in starts]
        hops = [first_hop(start) - first_hop(self._first) for start in starts]
        count = min(_WINDOW_HOPS, len(self._hops))
        columns = np.stack([self._columns[frame : frame + WINDOW_FRAMES] for frame in frames])
        near = FrameTable(self._columns, self._hops)
        onsets, loudness, mel = (
            np.stack([values[hop : hop + count] for hop in hops])
            for values in (near.onsets, near.loudness, near.mel)
        )
        bpm, clarity = tempo(onsets)
        drops = [tuple(find_drops(window)) for window in columns]
        parts = (
            _named(columns, bpm, drops),
            _statistics(columns),
            loudness_features(loudness),
            rhythm_features(onsets, clarity),
            harmonic_shares(mel),
            tonal_features(columns[:, :, _CHROMA], columns[:, :, _HPCP], columns[:, :, _TUNING]),
        )
        vectors = np.concatenate(parts, axis=1)
        assert vectors.shape[1] == len(FEATURE_NAMES)
        return vectors


def _named(columns: FloatArray, tempi: FloatArray, drops: list[tuple[Drop, ...]]) -> FloatArray:
    """The 22 named features [N, 22] of stretches: columns [N, T, C], tempi [N] and the drops of each."""
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
    """[N, S] of columns [N, T, C], in the order of `spec.STATISTICS`."""
    values = np.ascontiguousarray(columns.transpose(0, 2, 1))
    low, high = quantiles(values, 0.1, 0.9)
    changes = np.abs(np.diff(values))
    delta = changes.mean(axis=2) if changes.shape[2] else np.zeros_like(low)
    figures = {"mean": values.mean(axis=2), "p10": low, "p90": high, "delta": delta}
    chosen = [
        figures[statistic][:, _COLUMN[column]] for pairs in STATISTICS.values() for column, statistic in pairs
    ]
    return np.stack(chosen, axis=1)
