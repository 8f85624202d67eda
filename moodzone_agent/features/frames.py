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
from typing import Final

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from moodzone_agent.audio.rate import SAMPLE_RATE
from moodzone_agent.features.pitch import PITCH_BINS, pitch_columns
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
_SPECTRA_AT_ONCE: Final = 64
"""Small enough to stay in the processor's cache, enough that the calls cost little."""
_PIECE: Final = 2 * _SPECTRA_AT_ONCE * HOP_LENGTH
"""Samples that are measured at once."""
_SAMPLES_KEPT: Final = 8 * _PIECE
"""24 s. Decoding and measuring push each other out of the processor's caches, so they seldom take turns."""
_CHANGE_HOPS: Final = 4
"""Spectra between which the change of timbre is measured: 93 ms, so that their windows share few samples."""
_N_MELS: Final = 128
_MELS_AT_ONCE: Final = 16
_N_ONSETS: Final = len(ONSET_BAND_EDGES)
"""Onset strengths per hop: over all bands, and in each band."""
_AMIN: Final = 1e-10
_DB: Final = np.float32(10 / np.log(10))
"""Decibels of power per unit of the natural logarithm, which NumPy takes seven times faster than log10."""
_SILENCE: Final = 1e-3
"""Mel power below this (some 70 dB under full scale) is silence: there, each codec leaves another noise."""
_BRIGHT_HZ: Final = 1500.0
_ROLLOFF: Final = 0.85
_LEVEL_FLOOR_DB: Final = -80.0
_N_BINS: Final = N_FFT // 2 + 1
_BRIGHT_BIN: Final = int(np.ceil(_BRIGHT_HZ * N_FFT / SAMPLE_RATE))
_BINS_PER_GROUP: Final = 32
_GROUPED_BINS: Final = N_FFT // 2
"""All but the last, which stands alone."""

# Columns of the row per frame that sums over its spectra: shape, then the rest up to chroma; and whole spectra.
_UP_TO_CHROMA: Final = slice(4, 4 + 2 * N_MFCC + _N_ONSETS + 12)
_POWER: Final = slice(_UP_TO_CHROMA.stop, _UP_TO_CHROMA.stop + _N_BINS)
_PITCH: Final = slice(_POWER.stop, _POWER.stop + PITCH_BINS.stop - PITCH_BINS.start)


@dataclass(frozen=True, slots=True)
class FrameTable:
    """What a stretch of audio is reduced to."""

    columns: FloatArray
    """[T, C]: one row per 0.5 s, one column per name of `spec.FRAME_COLUMNS`."""
    hops: FloatArray
    """[H, 70]: one row per spectrum of these frames, 43.07 a second."""

    @property
    def onsets(self) -> FloatArray:
        """[H, 5]: onset strength, over all bands and in each of four."""
        return self.hops[:, :_N_ONSETS]

    @property
    def loudness(self) -> FloatArray:
        """[H]: level of the mean mel power, dB, not below -30."""
        return self.hops[:, _N_ONSETS]

    @property
    def mel(self) -> FloatArray:
        """[H, 64]: mel power, by pairs of bands."""
        return self.hops[:, _N_ONSETS + 1 :]


HOP_COLUMNS: Final = _N_ONSETS + 1 + _N_MELS // 2


@dataclass(frozen=True, slots=True)
class _Filterbanks:
    mel: tuple[tuple[slice, FloatArray], ...]
    """For every 16 of the 128 mel bands: the bins they reach over, and their weights [bins, 16]."""
    frequencies: FloatArray
    """[1025] Hz."""
    dct: FloatArray
    """[128, 14], the orthonormal DCT-II that turns mel levels into MFCC."""
    sub_bands: NDArray[np.intp]
    """First bin of each sub-band."""
    sub_bands_end: int
    mean: FloatArray
    """[128] of 1/128: a product is the cheaper mean."""
    ones: FloatArray
    """[140], as many as there are bins below the brightness's 1,500 Hz: a product is the cheaper sum."""
    running_sum: FloatArray
    """[32, 32], ones on and above the diagonal: a product is the cheaper running sum of 32 values."""
    onset_means: FloatArray
    """[128, 5]: the mean over all mel bands, and over those of each onset band."""
    chroma: FloatArray
    """[1025, 12], applied to the power spectrum."""


@cache
def _filterbanks() -> _Filterbanks:
    with resources.files("moodzone_agent.features").joinpath("filterbanks.npz").open("rb") as file:
        stored = np.load(file, allow_pickle=False)
        mel, chroma, mel_hz = stored["mel"], stored["chroma"], stored["mel_hz"]
    frequencies = np.arange(N_FFT // 2 + 1) * (SAMPLE_RATE / N_FFT)
    sub_bands = np.searchsorted(frequencies, SUB_BAND_EDGES)
    onset_bands = [(0, _N_MELS), *pairwise(np.searchsorted(mel_hz, ONSET_BAND_EDGES))]
    onset_means = np.zeros((_N_MELS, _N_ONSETS), np.float32)
    for column, (low, high) in enumerate(onset_bands):
        onset_means[low:high, column] = 1 / (high - low)
    return _Filterbanks(
        mel=tuple(_reach(mel[first : first + _MELS_AT_ONCE]) for first in range(0, _N_MELS, _MELS_AT_ONCE)),
        frequencies=frequencies.astype(np.float32),
        dct=np.ascontiguousarray(
            scipy.fft.dct(np.eye(_N_MELS), axis=0, norm="ortho")[:N_MFCC].T.astype(np.float32)
        ),
        sub_bands=sub_bands[:-1],
        sub_bands_end=int(sub_bands[-1]),
        mean=np.full(_N_MELS, 1 / _N_MELS, np.float32),
        ones=np.ones(_BRIGHT_BIN, np.float32),
        running_sum=np.triu(np.ones((_BINS_PER_GROUP, _BINS_PER_GROUP), np.float32)),
        onset_means=onset_means,
        chroma=np.ascontiguousarray(chroma.T),
    )


def _reach(bands: FloatArray) -> tuple[slice, FloatArray]:
    """The bins that some mel bands [16, 1025] reach over, and the weights there, [bins, 16]."""
    bins = np.flatnonzero(bands.any(axis=0))
    reach = slice(int(bins[0]), int(bins[-1]) + 1)
    return reach, np.ascontiguousarray(bands[:, reach].T)


class FrameAccumulator:
    """Takes the analysis signal in blocks of any size and gives the frames as they are complete.

    Columns of a frame, over its 11,025 samples x:

    - ``rms``: root mean square, 0 to 1. ``level``: the same in dB, not below -80. ``crest``: peak to rms, dB.
    - ``zero_crossing_rate``: share of neighbouring samples that differ in sign (librosa).

    and means over its 21 or 22 spectra (S magnitude, P power; librosa 0.11 where named, with its `amin` at 1e-3 for all
    that comes from mel power):

    - ``spectral_centroid``: Hz, mean of frequency weighted by S (librosa). ``spectral_rolloff``: Hz below
      which 85 % of the sum of S lies (librosa). ``brightness``: share of the sum of S above 1,500 Hz (after
      Lartillot's MIRtoolbox).
    - ``spectral_flatness``: geometric to arithmetic mean of the 128 mel powers (librosa, given the mel
      spectrum).
    - ``onset_strength``: mean rise in dB of the mel bands since the spectrum before (librosa);
      ``onset_strength_1`` to ``_4``: the same for mel bands within 0-200-800-3200-11025 Hz.
    - ``mfcc_1`` to ``_14``: librosa's rows 0 to 13, of mel levels in dB (no limit to the loudest).
    - ``mfcc_change_1`` to ``_14``: how far each of these is from its value four spectra (93 ms) before.
    - ``sub_band_1`` to ``_9``: dB of the mean of P summed within 20-60-120-250-500-1k-2k-4k-8k-11k Hz.
    - ``chroma_c`` to ``_b``: share of each pitch class, the strongest of a spectrum at 1 (librosa, tuning 0).
    - ``tuning_cos``, ``tuning_sin`` (-1 to 1) and ``hpcp_c`` to ``_b`` (0 to 1): of the mean S, `pitch.pitch_columns`.

    A last frame that isn't full is left out. What is not taken is kept: 1.2 kB per second of audio.
    """

    def __init__(self) -> None:
        self._levels = _LevelFrames()
        self._spectra = _SpectralFrames()
        self._samples = np.empty(_SAMPLES_KEPT, np.float32)
        self._size = 0
        """Samples that are waiting to be measured."""

    def push(self, block: FloatArray) -> None:
        """Take the next samples, [n] float32 at 22,050 Hz, of any number."""
        while block.size:
            room = self._samples[self._size :]
            part = block[: room.size]
            room[: part.size] = part
            self._size += part.size
            block = block[part.size :]
            if self._size == _SAMPLES_KEPT:
                self._measure()

    @property
    def waiting(self) -> int:
        """Frames that `take` would give at least."""
        return self._spectra.waiting

    def take(self) -> FrameTable:
        """The frames completed since they were last taken, and the onset strengths of their spectra."""
        self._measure()
        columns, hops = self._spectra.take()
        return FrameTable(np.concatenate((self._levels.take(len(columns)), columns), axis=1), hops)

    def finish(self) -> FrameTable:
        """The frames not yet taken, of all samples pushed; the accumulator must not be used afterwards."""
        self._measure()
        self._spectra.finish()
        levels = self._levels.take(None)
        columns, hops = self._spectra.take(len(levels))
        return FrameTable(np.concatenate((levels, columns), axis=1), hops)

    def _measure(self) -> None:
        for first in range(0, self._size, _PIECE):
            piece = self._samples[first : min(first + _PIECE, self._size)]
            self._levels.push(piece)
            self._spectra.push(piece)
        self._size = 0


class _LevelFrames:
    """The columns that come from the samples themselves: rms, level, crest, zero_crossing_rate."""

    def __init__(self) -> None:
        self._rest = np.empty(0, np.float32)
        """Samples behind the last full frame."""
        self._rows: list[FloatArray] = []

    def push(self, samples: FloatArray) -> None:
        samples = np.concatenate((self._rest, samples))
        count = samples.size // FRAME_SAMPLES
        frames = samples[: count * FRAME_SAMPLES].reshape(count, FRAME_SAMPLES)
        if count:
            self._rows.append(self._columns(frames))
        self._rest = samples[count * FRAME_SAMPLES :].copy()

    def take(self, count: int | None) -> FloatArray:
        """The next rows, [count, 4]; all for None."""
        rows = np.concatenate((np.empty((0, 4), np.float32), *self._rows))
        self._rows = [] if count is None else [rows[count:]]
        return rows[:count]

    @staticmethod
    def _columns(frames: FloatArray) -> FloatArray:
        rms = np.sqrt(np.array([frame @ frame for frame in frames]) / np.float32(FRAME_SAMPLES))
        peak = np.maximum(frames.max(axis=1), -frames.min(axis=1))
        level = np.maximum(2 * to_db(rms), np.float32(_LEVEL_FLOOR_DB))
        crest = np.maximum(2 * to_db(peak), np.float32(_LEVEL_FLOOR_DB)) - level
        negative = frames < -_AMIN
        crossed = negative[:, 1:] != negative[:, :-1]
        # Row by row, since along an axis NumPy would turn each into an integer of 8 bytes first.
        crossings = np.array([np.count_nonzero(row) for row in crossed]) / FRAME_SAMPLES
        return np.stack((rms, level, crest, crossings), axis=1).astype(np.float32)


class _SpectralFrames:
    """The columns that come from the spectrum, and the onset strengths."""

    def __init__(self) -> None:
        self._banks = _filterbanks()
        self._window = _hann()
        # Kept from one block to the next: memory that is given back comes again as pages that must be cleared.
        self._windowed = np.empty((_SPECTRA_AT_ONCE, N_FFT), np.float32)
        self._magnitude = np.empty((_SPECTRA_AT_ONCE, _N_BINS), np.float32)
        self._power = np.empty((_SPECTRA_AT_ONCE, _N_BINS), np.float32)
        self._rest = np.empty(0, np.float32)
        """Samples from the start of the next spectrum."""
        self._started = False
        self._mel_before: FloatArray | None = None
        """[128] audible levels of the last spectrum."""
        self._mfcc_before: FloatArray | None = None
        """[4, 14] of the last spectra."""
        self._sums: list[FloatArray] = []
        """Over the spectra of each frame that is complete."""
        self._open_sums = np.zeros((1, _PITCH.stop), np.float32)
        """Over those so far of the frame behind these."""
        self._hops: list[FloatArray] = []
        """What is kept for each spectrum, [H, 70]."""
        self._measured = 0
        """Spectra, from the start of the stream."""
        self._taken = 0
        """Frames."""

    def push(self, samples: FloatArray) -> None:
        self._rest = np.concatenate((self._rest, samples))
        if not self._started and self._rest.size > _PADDING:
            self._rest = np.concatenate((self._rest[_PADDING:0:-1], self._rest))
            self._started = True
        if self._started:
            self._transform(multiple_of=_SPECTRA_AT_ONCE)

    @property
    def waiting(self) -> int:
        return self._complete() - self._taken

    def _complete(self) -> int:
        """Frames all of whose spectra are measured, from the start of the stream."""
        return max(0, (self._measured - 1) * HOP_LENGTH // FRAME_SAMPLES)

    def finish(self) -> None:
        """Mirror the end of the signal, and measure all that is left."""
        if self._started:
            self._rest = np.concatenate((self._rest, self._rest[-2 : -_PADDING - 2 : -1]))

    def take(self, frames: int | None = None) -> tuple[FloatArray, FloatArray]:
        """The frames completed since the last call, or so many: columns [T, C] and `FrameTable.hops`."""
        if self._started:
            self._transform(multiple_of=1)
        stop = self._complete() if frames is None else self._taken + frames
        edges = np.array([first_hop(frame) for frame in range(self._taken, stop + 1)])
        first, count = int(edges[0]), int(edges[-1] - edges[0])
        hops, self._hops = _split(self._hops, count, HOP_COLUMNS)
        if count and first == 0:
            hops[:_SETTLING] = hops[_SETTLING : first_hop(1)].mean(axis=0)
        sums = np.concatenate((*self._sums, self._open_sums))[: stop - self._taken]
        self._sums = []
        self._taken = stop
        return self._columns(sums / np.diff(np.maximum(edges, _SETTLING)).astype(np.float32)[:, None]), hops

    def _transform(self, *, multiple_of: int) -> None:
        """Measure the spectra that the samples at hand complete, 64 at a time."""
        samples = self._rest
        available = max(0, (samples.size - N_FFT) // HOP_LENGTH + 1)
        available -= available % multiple_of
        if available:
            step = samples.itemsize
            # A view, as `sliding_window_view` gives it, which takes thirty times as long.
            segments: FloatArray = np.ndarray(
                (available, N_FFT), samples.dtype, samples, strides=(HOP_LENGTH * step, step)
            )
            for start in range(0, available, _SPECTRA_AT_ONCE):
                self._measure(segments[start : min(start + _SPECTRA_AT_ONCE, available)])
        self._rest = samples[available * HOP_LENGTH :].copy()

    def _measure(self, segments: FloatArray) -> None:
        count = len(segments)
        windowed = np.multiply(segments, self._window, out=self._windowed[:count])
        magnitude = np.abs(scipy.fft.rfft(windowed, axis=1), out=self._magnitude[:count])
        power = np.square(magnitude, out=self._power[:count])
        mel = np.concatenate([power[:, bins] @ weights for bins, weights in self._banks.mel], axis=1)
        audible = np.maximum(mel, np.float32(_SILENCE))
        mel_db = to_db(audible)
        mfcc = mel_db @ self._banks.dct
        mel_mean = audible @ self._banks.mean
        flatness = np.exp((mel_db @ self._banks.mean) / _DB) / mel_mean
        onsets = self._onset_strengths(mel_db)
        chroma = power @ self._banks.chroma
        rows = np.concatenate(
            (
                *(column[:, None] for column in (*self._shape(magnitude), flatness)),
                mfcc,
                self._mfcc_changes(mfcc),
                onsets,
                chroma / np.maximum(chroma.max(axis=1, keepdims=True), np.float32(_AMIN)),
            ),
            axis=1,
        )
        self._add_to_frames(rows, power, magnitude[:, PITCH_BINS])
        loudness = to_db(mel_mean)[:, None]
        self._hops.append(np.concatenate((onsets, loudness, mel[:, ::2] + mel[:, 1::2]), axis=1))

    def _add_to_frames(self, *parts: FloatArray) -> None:
        """Add the next spectra's values, each [H, columns], to the sums of the frames that hold them."""
        first_open = self._complete()
        hops = np.arange(self._measured, self._measured + len(parts[0]))
        self._measured += hops.size
        frames = np.arange(first_open, self._complete() + 1)
        belongs = (hops * HOP_LENGTH // FRAME_SAMPLES == frames[:, None]) & (hops >= _SETTLING)
        sums = np.concatenate([belongs.astype(np.float32) @ part for part in parts], axis=1)
        sums[0] += self._open_sums[0]
        self._sums.append(sums[:-1])
        self._open_sums = sums[-1:]

    def _shape(self, magnitude: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Centroid, roll-off and brightness, [H] each, of magnitudes [H, 1025]."""
        frequencies = self._banks.frequencies
        grouped = magnitude[:, :_GROUPED_BINS].reshape(len(magnitude), -1, _BINS_PER_GROUP)
        sums = (grouped @ self._banks.ones[:_BINS_PER_GROUP]) @ self._banks.running_sum
        total = sums[:, -1] + magnitude[:, _GROUPED_BINS]
        # The group of bins in which the sum passes 85 %, then the bin in it: a fifth of the cost of summing all.
        threshold = np.float32(_ROLLOFF) * total
        group = np.count_nonzero(sums[:, :-1] < threshold[:, None], axis=1)
        rows = np.arange(len(magnitude))
        below = np.where(group > 0, sums[rows, group - 1], np.float32(0))
        within = below[:, None] + grouped[rows, group] @ self._banks.running_sum
        rolloff = frequencies[group * _BINS_PER_GROUP + np.count_nonzero(within < threshold[:, None], axis=1)]
        total = np.maximum(total, np.float32(_AMIN))
        brightness = 1 - (magnitude[:, :_BRIGHT_BIN] @ self._banks.ones) / total
        centroid = np.divide(magnitude @ frequencies, total)
        return centroid, rolloff, np.where(total > _AMIN, brightness, np.float32(0))

    def _onset_strengths(self, mel_db: FloatArray) -> FloatArray:
        before = mel_db[0] if self._mel_before is None else self._mel_before
        self._mel_before = mel_db[-1]
        rise = np.empty_like(mel_db)
        np.subtract(mel_db[0], before, out=rise[0])
        np.subtract(mel_db[1:], mel_db[:-1], out=rise[1:])
        return np.asarray(np.maximum(rise, 0, out=rise) @ self._banks.onset_means)

    def _mfcc_changes(self, mfcc: FloatArray) -> FloatArray:
        before = mfcc[:1].repeat(_CHANGE_HOPS, axis=0) if self._mfcc_before is None else self._mfcc_before
        joined = np.concatenate((before, mfcc))
        self._mfcc_before = joined[-_CHANGE_HOPS:]
        return np.asarray(np.abs(mfcc - joined[: len(mfcc)]))

    def _columns(self, means: FloatArray) -> FloatArray:
        """Of the means over each frame's spectra, in the order of `spec.FRAME_COLUMNS`."""
        power = means[:, _POWER][:, : self._banks.sub_bands_end]
        return np.concatenate(
            (
                means[:, :4],
                to_db(np.add.reduceat(power, self._banks.sub_bands, axis=1)),
                means[:, _UP_TO_CHROMA],
                pitch_columns(means[:, _PITCH]),
            ),
            axis=1,
        )


def _split(parts: list[FloatArray], count: int, width: int) -> tuple[FloatArray, list[FloatArray]]:
    """The first rows of some arrays [*, width] in a row, and the rest."""
    rows = np.concatenate((np.empty((0, width), np.float32), *parts))
    return rows[:count], [rows[count:].copy()]


def first_hop(frame: int) -> int:
    """Number of the first spectrum whose centre lies in the frame."""
    return -(-frame * FRAME_SAMPLES // HOP_LENGTH)


def to_db(power: FloatArray, floor: float = _AMIN) -> FloatArray:
    """10 log10 of a power, not below `floor`: librosa.power_to_db without its limit to the loudest."""
    return np.asarray(_DB * np.log(np.maximum(power, np.float32(floor))))


def _hann() -> FloatArray:
    """The periodic Hann window, [2048]."""
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi / N_FFT * np.arange(N_FFT)), np.float32)
