"""One-shot sounds of dance music: drums from noise and sine sweeps, notes from band-limited saws.

Each function returns float32 samples ``[n, 2]`` with a peak of 1, made once and added to a mix many times.
Times are in seconds, frequencies in Hz, and ``hardness`` runs from 0 (soft) to 1 (hard).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Samples: TypeAlias = NDArray[np.float32]
    Floats: TypeAlias = NDArray[np.float64]

MELODY_FLOOR: Final = 170.0
"""Hz below which melody instruments and noise are silent, so that the low band is kick and bass alone."""
_TABLE: Final = 2**11


def kick(rate: int, hardness: float) -> Samples:
    """A sine that falls from 120-320 Hz to 50 Hz, with a click in front; the harder, the more overdriven."""
    t = np.arange(round(0.34 * rate)) / rate
    drop, fall = 70 + 200 * hardness, 0.022
    phase = 2 * np.pi * (50 * t + drop * fall * (1 - np.exp(-t / fall)))
    body = np.sin(phase) * np.exp(-t / (0.13 + 0.05 * hardness))
    drive = 1 + 5 * hardness**2
    body = np.tanh(drive * body) / np.tanh(drive)
    click = _noise(rate, t.size, 1) * np.exp(-t / 0.003)
    return _stereo((body + 0.5 * hardness * click) * _edges(rate, t.size, 0.0005, 0.06))


def snare(rate: int, hardness: float) -> Samples:
    """Filtered noise over a short tone."""
    t = np.arange(round(0.28 * rate)) / rate
    noise = _band(_noise(rate, t.size, 2), rate, 900, 3500 + 9000 * hardness) * np.exp(-t / 0.07)
    tone = np.sin(2 * np.pi * 210 * t) * np.exp(-t / 0.04)
    sound = _band(_peak(noise) + 0.5 * tone, rate, MELODY_FLOOR)
    return _stereo(sound * _edges(rate, t.size, 0.0005, 0.05))


def clap(rate: int, hardness: float) -> Samples:
    """Three bursts of noise and a tail, a little different left and right."""
    t = np.arange(round(0.25 * rate)) / rate
    envelope = np.exp(-t / 0.06) * 0.7
    for burst in (0.0, 0.011, 0.022):
        envelope += np.where(t >= burst, np.exp(-np.maximum(t - burst, 0) / 0.004), 0)
    envelope *= _edges(rate, t.size, 0.0005, 0.05)
    top = 3000 + 8000 * hardness
    sides = [_band(_noise(rate, t.size, seed), rate, 700, top) * envelope for seed in (3, 4)]
    return _peak(np.stack(sides, axis=1))


def cymbal(rate: int, hardness: float, decay: float) -> Samples:
    """Noise above 6 kHz: a closed hat (decay 0.03), an open one (0.12) or a crash (0.5)."""
    t = np.arange(round(5 * decay * rate)) / rate
    envelope = np.exp(-t / decay) * _edges(rate, t.size, 0.001, decay)
    low, high = 6500 - 2500 * hardness, 9000 + 9000 * hardness
    sides = [_band(_noise(rate, t.size, seed), rate, low, high) * envelope for seed in (5, 6)]
    return _peak(np.stack(sides, axis=1))


def riser(rate: int, seconds: float) -> Samples:
    """Noise that grows and brightens until it breaks off, for a build."""
    progress = np.linspace(0, 1, round(seconds * rate))
    noise = _noise(rate, progress.size, 7)
    centres = np.linspace(0, 1, 4)
    total = np.zeros(progress.size)
    for centre, low in zip(centres, (400, 1000, 2500, 6000), strict=True):
        weight = np.maximum(0, 1 - 3 * np.abs(progress - centre))
        total += weight * _band(noise, rate, low, 2.5 * low)
    return _stereo(total * progress**1.5 * _edges(rate, progress.size, 0.1, 0.01))


def bass(rate: int, pitch: float, seconds: float, hardness: float) -> Samples:
    """A saw with a closing low-pass over its own sine; overdriven where hard."""
    size = round(seconds * rate)
    t = np.arange(size) / rate
    bright = _play(_cycle(rate, pitch, 250 + 3500 * hardness, resonance=1), rate, pitch, size)
    dark = _play(_cycle(rate, pitch, 200), rate, pitch, size)
    closing = np.exp(-t / (0.1 + 0.1 * hardness))
    sound = dark + closing * (bright - dark) + 0.5 * np.sin(2 * np.pi * pitch * t)
    drive = 1 + 4 * hardness**2
    return _stereo(np.tanh(drive * _peak(sound)) * _edges(rate, size, 0.004, 0.02))


def chord(
    rate: int,
    pitches: Sequence[float],
    seconds: float,
    *,
    cutoff: float,
    attack: float,
    release: float,
    drive: float,
    seed: int,
) -> Samples:
    """Three detuned saws a pitch and side, low-passed: a pad, or with ``drive`` above 1 a wall of guitars.

    ``release`` comes on top of ``seconds``.
    """
    size = round((seconds + release) * rate)
    phases = np.random.default_rng([seed, 8]).random((2, len(pitches), 3))
    sides = np.zeros((size, 2))
    for side in range(2):
        for note, pitch in enumerate(pitches):
            table = _cycle(rate, pitch, cutoff)
            for voice, detune in enumerate((0.996, 1.0, 1.0045)):
                sides[:, side] += _play(table, rate, pitch * detune, size, phases[side, note, voice])
    driven = np.tanh(drive * _peak(sides))
    filtered = np.stack([_band(driven[:, side], rate, MELODY_FLOOR) for side in range(2)], axis=1)
    return _peak(filtered * _edges(rate, size, attack, release)[:, None])


def lead(
    rate: int, pitch: float, seconds: float, *, cutoff: float, resonance: float, drive: float
) -> Samples:
    """One plucked note whose filter closes; resonant and driven it is an acid line, dull and clean a bell."""
    size = round(seconds * rate)
    t = np.arange(size) / rate
    bright = _play(_cycle(rate, pitch, cutoff, resonance=resonance), rate, pitch, size)
    dark = _play(_cycle(rate, pitch, 0.3 * cutoff, resonance=resonance / 2), rate, pitch, size)
    sound = dark + np.exp(-t / 0.08) * (bright - dark)
    driven = _band(np.tanh(drive * _peak(sound)), rate, MELODY_FLOOR)
    envelope = np.exp(-2.5 * t / seconds) * _edges(rate, size, 0.003, min(0.05, seconds / 3))
    return _stereo(driven * envelope)


def _cycle(rate: int, pitch: float, cutoff: float, resonance: float = 0.0) -> Floats:
    """One period of a saw behind a 24 dB/octave low-pass, without overtones that would alias."""
    overtones = np.arange(1, min(_TABLE // 2, max(2, int(0.45 * rate / pitch))))
    ratio = overtones * pitch / cutoff
    response = (1 + resonance * np.exp(-((ratio - 1) ** 2) / 0.08)) / (1 + ratio**4)
    spectrum = np.zeros(_TABLE // 2 + 1, dtype=np.complex128)
    spectrum[overtones] = -1j * response / overtones
    period = np.fft.irfft(spectrum, _TABLE) * _TABLE
    return np.append(period, period[0])


def _play(table: Floats, rate: int, pitch: float, size: int, phase: float = 0.0) -> Floats:
    """A table read at a pitch, with linear interpolation; a phase of 32 bits wraps by itself."""
    turn = 2**32
    step = np.uint32(round(pitch / rate * turn))
    position = np.arange(size, dtype=np.uint32) * step + np.uint32(int(phase * turn))
    index = position >> np.uint32(21)
    between = (position & np.uint32(2**21 - 1)) * 2.0**-21
    played: Floats = table[index] * (1 - between) + table[index + 1] * between
    return played


def _noise(rate: int, size: int, seed: int) -> Floats:
    return np.random.default_rng([seed, rate]).standard_normal(size)


def _band(sound: Floats, rate: int, low: float, high: float | None = None) -> Floats:
    """What lies between two frequencies; the edges fall with 36 (low) and 24 dB/octave (high)."""
    size = 1 << sound.size.bit_length()
    spectrum = np.fft.rfft(sound, size)
    hertz = np.fft.rfftfreq(size, 1 / rate)
    spectrum *= hertz**6 / (hertz**6 + low**6)
    if high is not None:
        spectrum /= 1 + (hertz / high) ** 4
    return np.fft.irfft(spectrum, size)[: sound.size]


def _edges(rate: int, size: int, attack: float, release: float) -> Floats:
    """Linear fade in and out, so that nothing begins or ends with a click."""
    rise = np.arange(size) / max(1.0, attack * rate)
    fall = np.arange(size - 1, -1, -1) / max(1.0, release * rate)
    return np.minimum(1.0, np.minimum(rise, fall))


def _peak(sound: Floats) -> Samples:
    scaled: Samples = (sound / np.max(np.abs(sound))).astype(np.float32)
    return scaled


def _stereo(sound: Floats) -> Samples:
    return np.repeat(_peak(sound)[:, None], 2, axis=1)
