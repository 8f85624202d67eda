"""From the analysis signal to 0.5-s frames, as it streams by.

The spectrum is librosa's: 2048 samples, hop 512, periodic Hann window, centred, the signal mirrored at both ends.
A spectrum belongs to the frame that holds its centre. Where librosa defines a column, a frame's value is the mean of
librosa's over the frame's spectra. The first four spectra count nowhere: the start of a clip would be an onset that the
same music inside a track doesn't have, and a model trained on clips would come to expect it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import Any, Final

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from moodzone_agent.audio.decode import SAMPLE_RATE
from moodzone_agent.features.spec import (
    FRAME_SAMPLES,
    HOP_LENGTH,
    N_FFT,
    N_MFCC,
    ONSET_BAND_EDGES,
    SUB_BAND_EDGES,
)

FloatArray = NDArray[np.float32]

_PADDING: Final = N_FFT // 2
_SETTLING: Final = 4
"""Spectra at the start of a stream that no mean counts: 0.09 s of mirrored signal and of the codec coming in."""
_SPECTRA_AT_ONCE: Final = 32
"""Small enough to stay in the processor's cache."""
_N_MELS: Final = 128
_N_ONSETS: Final = len(ONSET_BAND_EDGES)
"""Onset strengths per hop: over all bands, and in each band."""
_AMIN: Final = 1e-10
_ONSET_FLOOR_DB: Final = -40.0
"""Mel bands below this (about 80 dB under full scale) are silence; noise that starts there is no onset."""
_BRIGHT_HZ: Final = 1500.0
_ROLLOFF: Final = 0.85
_LEVEL_FLOOR_DB: Final = -80.0
_CONTRAST_QUANTILE: Final = 0.02
_CONTRAST_FLOOR: Final = 1e-3
"""Magnitude, some 110 dB under full scale. Above a file's highest frequency there is only rounding noise."""
_BRIGHT_BIN: Final = int(np.ceil(_BRIGHT_HZ * N_FFT / SAMPLE_RATE))

# Columns of the filterbank's product, and of the row kept per hop.
_N_SUB_BANDS: Final = len(SUB_BAND_EDGES) - 1
_BANK_SPLITS: Final = (_N_MELS, _N_MELS + _N_SUB_BANDS)
_SHAPE_AND_ONSETS: Final = slice(0, 4 + _N_ONSETS)
_SUB_BANDS: Final = slice(_SHAPE_AND_ONSETS.stop, _SHAPE_AND_ONSETS.stop + _N_SUB_BANDS)
_CONTRAST_AND_CHROMA: Final = slice(_SUB_BANDS.stop, _SUB_BANDS.stop + 7 + 12)
_MFCC_INPUT: Final = slice(_CONTRAST_AND_CHROMA.stop, _CONTRAST_AND_CHROMA.stop + _N_MELS)


@dataclass(frozen=True, slots=True)
class FrameTable:
    """What a stretch of audio is reduced to."""

    columns: FloatArray
    """[T, C]: one row per 0.5 s, one column per name of `spec.FRAME_COLUMNS`."""
    onsets: FloatArray
    """[H, 5]: onset strength per hop (512 samples, 43.07 a second), over all bands and in each of four."""


@dataclass(frozen=True, slots=True)
class _Filterbanks:
    power: FloatArray
    """[1025, 128 mel + 9 sub-bands + 12 chroma], applied to the power spectrum."""
    frequencies: FloatArray
    """[1025] Hz."""
    dct: FloatArray
    """[128, 14], the orthonormal DCT-II that turns mel levels into MFCC."""
    onset_bands: tuple[slice, ...]
    """Mel bands of each onset band."""
    contrast_bands: tuple[tuple[slice, int], ...]
    """Bins of each octave, and how many of them make its peak and its valley."""


@cache
def _filterbanks() -> _Filterbanks:
    with resources.files("moodzone_agent.features").joinpath("filterbanks.npz").open("rb") as file:
        stored = np.load(file, allow_pickle=False)
        mel, chroma, mel_hz = stored["mel"], stored["chroma"], stored["mel_hz"]
    frequencies = np.arange(N_FFT // 2 + 1) * (SAMPLE_RATE / N_FFT)
    edges = np.array(SUB_BAND_EDGES)
    sub_bands = np.stack(
        [(frequencies >= low) & (frequencies < high) for low, high in pairwise(edges)]
    ).astype(np.float32)
    onset_edges = np.searchsorted(mel_hz, ONSET_BAND_EDGES)
    return _Filterbanks(
        power=np.ascontiguousarray(np.concatenate([mel, sub_bands, chroma]).T, np.float32),
        frequencies=frequencies.astype(np.float32),
        dct=np.ascontiguousarray(
            scipy.fft.dct(np.eye(_N_MELS), axis=0, norm="ortho")[:N_MFCC].T.astype(np.float32)
        ),
        onset_bands=tuple(slice(int(low), int(high)) for low, high in pairwise(onset_edges)),
        contrast_bands=tuple(_contrast_bands(frequencies)),
    )


def _contrast_bands(frequencies: NDArray[Any]) -> list[tuple[slice, int]]:
    """librosa.feature.spectral_contrast's octaves from 200 Hz, with its rules at their edges."""
    octaves = [0.0, *(200.0 * 2.0**k for k in range(7))]
    bands = []
    for k, (low, high) in enumerate(pairwise(octaves)):
        inside = np.flatnonzero((frequencies >= low) & (frequencies <= high))
        first, last = int(inside[0]), int(inside[-1]) + 1
        if k > 0:
            first -= 1
        if k == len(octaves) - 2:
            last = frequencies.size
        n = last - first
        count = int(max(np.rint(_CONTRAST_QUANTILE * n), 1))
        if k < len(octaves) - 2:
            last -= 1
        bands.append((slice(first, last), count))
    return bands


def _hann() -> FloatArray:
    """The periodic Hann window, [2048]."""
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi / N_FFT * np.arange(N_FFT)), np.float32)


def to_db(power: FloatArray, floor: float = _AMIN) -> FloatArray:
    """10 log10 of a power, not below `floor`: librosa.power_to_db without its limit to the loudest."""
    return np.asarray(10.0 * np.log10(np.maximum(power, np.float32(floor))), np.float32)


class FrameAccumulator:
    """Takes the analysis signal in blocks of any size and returns the frames at the end.

    Columns of a frame, over its 11,025 samples x:

    - ``rms``: root mean square, 0 to 1. ``level``: the same in dB, not below -80. ``crest``: peak to rms, dB.
    - ``zero_crossing_rate``: share of neighbouring samples that differ in sign (librosa).

    and means over its 21 or 22 spectra (S magnitude, P power; librosa 0.11 where named):

    - ``spectral_centroid``: Hz, mean of frequency weighted by S (librosa). ``spectral_rolloff``: Hz below
      which 85 % of the sum of S lies (librosa). ``brightness``: share of the sum of S above 1,500 Hz (after
      Lartillot's MIRtoolbox).
    - ``spectral_flatness``: geometric to arithmetic mean of the 128 mel powers (librosa, given the mel
      spectrum).
    - ``onset_strength``: mean rise in dB of the mel bands since the spectrum before (librosa, given mel
      levels not below -40 dB); ``onset_strength_1`` to ``_4``: the same for mel bands within
      0-200-800-3200-11025 Hz.
    - ``mfcc_1`` to ``_14``: librosa's rows 0 to 13, of mel levels in dB (no limit to the loudest).
    - ``sub_band_1`` to ``_9``: dB of the mean of P summed within 20-60-120-250-500-1k-2k-4k-8k-11k Hz.
    - ``spectral_contrast_1`` to ``_7``: dB between peaks and valleys of S, not below 1e-3, in octaves
      from 200 Hz (librosa; Jiang 2002).
    - ``chroma_c`` to ``_b``: share of each pitch class, the strongest of a spectrum at 1 (librosa, tuning 0).

    A last frame that isn't full is left out. Memory grows by 0.9 kB per second of audio.
    """

    def __init__(self) -> None:
        self._levels = _LevelFrames()
        self._spectra = _SpectralFrames()

    def push(self, block: FloatArray) -> None:
        """Take the next samples, [n] float32 at 22,050 Hz, of any number."""
        self._levels.push(block)
        self._spectra.push(block)

    def so_far(self) -> FrameTable:
        """The table of the frames whose spectra are all complete; pushing may go on."""
        spectral, onsets = self._spectra.so_far()
        return FrameTable(np.concatenate((self._levels.result()[: len(spectral)], spectral), axis=1), onsets)

    def result(self) -> FrameTable:
        """The table of all samples pushed; the accumulator must not be used afterwards."""
        levels = self._levels.result()
        spectral, onsets = self._spectra.result(frames=levels.shape[0])
        return FrameTable(np.concatenate((levels, spectral), axis=1), onsets)


class _LevelFrames:
    """The columns that come from the samples themselves: rms, level, crest, zero_crossing_rate."""

    def __init__(self) -> None:
        self._rest = np.empty(0, np.float32)
        self._rows: list[FloatArray] = [np.empty((0, 4), np.float32)]

    def push(self, block: FloatArray) -> None:
        samples = np.concatenate((self._rest, block))
        count = samples.size // FRAME_SAMPLES
        self._rest = samples[count * FRAME_SAMPLES :]
        if count:
            self._rows.append(self._columns(samples[: count * FRAME_SAMPLES].reshape(count, FRAME_SAMPLES)))

    def result(self) -> FloatArray:
        return np.concatenate(self._rows)

    @staticmethod
    def _columns(frames: FloatArray) -> FloatArray:
        rms = np.sqrt(np.einsum("ts,ts->t", frames, frames) / np.float32(FRAME_SAMPLES))
        peak = np.maximum(frames.max(axis=1), -frames.min(axis=1))
        level = np.maximum(2 * to_db(rms), np.float32(_LEVEL_FLOOR_DB))
        crest = np.maximum(2 * to_db(peak), np.float32(_LEVEL_FLOOR_DB)) - level
        negative = frames < -_AMIN
        crossings = np.count_nonzero(negative[:, 1:] != negative[:, :-1], axis=1) / FRAME_SAMPLES
        return np.stack((rms, level, crest, crossings), axis=1).astype(np.float32)


class _SpectralFrames:
    """The columns that come from the spectrum, and the onset strengths."""

    def __init__(self) -> None:
        self._banks = _filterbanks()
        self._window = _hann()
        self._samples = np.empty(0, np.float32)
        self._started = False
        self._last_mel_db: FloatArray | None = None
        self._hops: list[FloatArray] = []
        self._first_hop = 0
        self._onsets: list[FloatArray] = [np.empty((0, _N_ONSETS), np.float32)]
        self._rows: list[FloatArray] = []

    def push(self, block: FloatArray) -> None:
        self._samples = np.concatenate((self._samples, block))
        if not self._started and self._samples.size > _PADDING:
            self._samples = np.concatenate((self._samples[_PADDING:0:-1], self._samples))
            self._started = True
        if self._started:
            self._transform(multiple_of=_SPECTRA_AT_ONCE)

    def result(self, *, frames: int) -> tuple[FloatArray, FloatArray]:
        if self._started:
            self._samples = np.concatenate((self._samples, self._samples[-2 : -_PADDING - 2 : -1]))
            self._transform(multiple_of=1)
        self._close_frames(frames)
        return self._table(frames)

    def so_far(self) -> tuple[FloatArray, FloatArray]:
        if self._started:
            self._transform(multiple_of=1)
        return self._table(sum(map(len, self._rows)))

    def _table(self, frames: int) -> tuple[FloatArray, FloatArray]:
        rows = np.concatenate(self._rows) if self._rows else np.empty((0, _MFCC_INPUT.stop), np.float32)
        onsets = np.concatenate(self._onsets)[: first_hop(frames)]
        onsets[:_SETTLING] = onsets[_SETTLING : first_hop(1)].mean(axis=0) if frames else 0
        return self._columns(rows[:frames]), onsets

    def _transform(self, *, multiple_of: int) -> None:
        """Measure the spectra that the samples at hand complete, 32 at a time."""
        available = max(0, (self._samples.size - N_FFT) // HOP_LENGTH + 1)
        available -= available % multiple_of
        if available == 0:
            return
        segments = sliding_window_view(self._samples, N_FFT)[::HOP_LENGTH]
        for start in range(0, available, _SPECTRA_AT_ONCE):
            self._measure(segments[start : min(start + _SPECTRA_AT_ONCE, available)])
        self._samples = self._samples[available * HOP_LENGTH :].copy()
        done = self._first_hop + sum(map(len, self._hops))
        self._close_frames((done - 1) * HOP_LENGTH // FRAME_SAMPLES)

    def _measure(self, segments: FloatArray) -> None:
        spectrum = scipy.fft.rfft(segments * self._window, axis=1)
        power = spectrum.real**2 + spectrum.imag**2
        magnitude = np.sqrt(power)
        banked = power @ self._banks.power
        mel, sub_bands, chroma = np.split(banked, _BANK_SPLITS, axis=1)
        mel_db = to_db(mel)

        cumulated = np.cumsum(magnitude, axis=1)
        total = np.maximum(cumulated[:, -1], np.float32(_AMIN))
        centroid = magnitude @ self._banks.frequencies / total
        below = cumulated < np.float32(_ROLLOFF) * cumulated[:, -1:]
        rolloff = self._banks.frequencies[np.count_nonzero(below, axis=1)]
        brightness = (cumulated[:, -1] - cumulated[:, _BRIGHT_BIN - 1]) / total
        flatness = 10.0 ** (mel_db.mean(axis=1) / 10) / np.maximum(mel, np.float32(_AMIN)).mean(axis=1)

        onsets = self._onset_strengths(mel_db)
        self._onsets.append(onsets)
        columns = (
            np.stack((centroid, rolloff, brightness, flatness), axis=1),
            onsets,
            sub_bands,
            self._contrast(magnitude),
            chroma / np.maximum(chroma.max(axis=1, keepdims=True), np.float32(_AMIN)),
            mel_db,
        )
        self._hops.append(np.concatenate(columns, axis=1))

    def _onset_strengths(self, mel_db: FloatArray) -> FloatArray:
        audible = np.maximum(mel_db, np.float32(_ONSET_FLOOR_DB))
        before = audible[:1] if self._last_mel_db is None else self._last_mel_db
        self._last_mel_db = audible[-1:]
        rise = np.maximum(np.diff(audible, axis=0, prepend=before), 0)
        return np.stack(
            (rise.mean(axis=1), *(rise[:, band].mean(axis=1) for band in self._banks.onset_bands)), axis=1
        )

    def _contrast(self, magnitude: FloatArray) -> FloatArray:
        peaks: list[FloatArray] = []
        valleys: list[FloatArray] = []
        for band, count in self._banks.contrast_bands:
            ordered = np.sort(magnitude[:, band], axis=1)
            for kept, edge in ((valleys, ordered[:, :count]), (peaks, ordered[:, -count:])):
                kept.append(np.maximum(edge, np.float32(_CONTRAST_FLOOR)).mean(axis=1))
        return np.asarray(to_db(np.stack(peaks, axis=1)) - to_db(np.stack(valleys, axis=1)))

    def _close_frames(self, frames: int) -> None:
        """Reduce the spectra of all frames before number `frames` to their means."""
        done = sum(map(len, self._rows))
        if frames <= done:
            return
        hops = np.concatenate(self._hops)
        starts = (
            np.array([max(first_hop(frame), _SETTLING) for frame in range(done, frames + 1)])
            - self._first_hop
        )
        sums = np.add.reduceat(hops[: starts[-1]], starts[:-1], axis=0)
        self._rows.append(np.asarray(sums / np.diff(starts)[:, None], np.float32))
        self._hops = [hops[starts[-1] :]]
        self._first_hop += int(starts[-1])

    def _columns(self, rows: FloatArray) -> FloatArray:
        """Mean mel levels to MFCC, mean sub-band powers to dB; all in the order of `spec.FRAME_COLUMNS`."""
        return np.concatenate(
            (
                rows[:, _SHAPE_AND_ONSETS],
                rows[:, _MFCC_INPUT] @ self._banks.dct,  # linear, so the mean may come first
                to_db(rows[:, _SUB_BANDS]),
                rows[:, _CONTRAST_AND_CHROMA],
            ),
            axis=1,
        )


def first_hop(frame: int) -> int:
    """Number of the first spectrum whose centre lies in the frame."""
    return -(-frame * FRAME_SAMPLES // HOP_LENGTH)
