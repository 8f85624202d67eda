"""Fits the weights by which the agent tells tempo, on music whose tempo is known because we made it.

Three kinds, since each alone teaches its own habits: songs of `moodzone_agent.demo.music` at any tempo, from which come
breaks, builds, fills and chords; drum patterns of genres at the tempi that each is played at, from which comes which of
two tempi an octave apart people mean; and clicks alone, which have no bar.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from moodzone_agent.audio.rate import SAMPLE_RATE
from moodzone_agent.demo import sounds
from moodzone_agent.demo.music import Song, Style, compose, render
from moodzone_agent.errors import UsageError
from moodzone_agent.features.frames import FrameAccumulator
from moodzone_agent.features.tempo import (
    BEATS,
    TEMPI,
    TempoAccumulator,
    lag_sampler,
    log_prior,
)

TEMPO_WEIGHTS: Final = (
    Path(__file__).resolve().parents[2] / "moodzone_agent" / "features" / "tempo_weights.json"
)
TUNING_SEEDS: Final = range(2000, 2400)
"""Of the songs that are learned from. `python -m tests.bench rhythm` reports on others."""

_STYLES: Final = (Style.FOUR_ON_THE_FLOOR, Style.BREAKBEAT, Style.HALF_TIME, Style.SWING)
_SONG_SECONDS: Final = 60.0
_PATTERN_SECONDS: Final = 20.0
_PATTERNS_PER_GENRE: Final = 40
_CLICK_TEMPI: Final = range(80, 181, 10)
_CLICK_HERTZ: Final = (None, 1000.0, 60.0)
"""Of noise, or of a tone of so many Hz."""
_PATTERN_WEIGHT: Final = 0.5
_CLICK_WEIGHT: Final = 0.3
"""What each counts against a song."""
_PENALTY: Final = 0.005
"""Of the weights' squares. From 0.003 to 0.01 all is alike; twenty times as much costs songs and clicks some
percent."""
_ALIKE: Final = 0.04
"""Tempi as near as this share to the true one are neither right nor wrong."""
_EVERY: Final = 3
"""Of the other tempi, every third: neighbours are all but alike."""

_NONE: Final = ()
_QUARTERS: Final = (0, 4, 8, 12)
_OFF_BEATS: Final = (2, 6, 10, 14)
_EIGHTHS: Final = tuple(range(0, 16, 2))
_SIXTEENTHS: Final = tuple(range(16))
_BETWEEN_KICKS: Final = tuple(step for step in range(16) if step % 4)
_BACK_BEAT: Final = (4, 12)

Bar = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Genre:
    """Drum patterns, in sixteenths of a bar, and how fast they are played; each track draws from the choices."""

    name: str
    slowest: float
    fastest: float
    kicks: tuple[tuple[Bar, ...], ...]
    """Choices of one pattern a bar in turn."""
    backs: tuple[Bar, ...]
    """Snare or clap."""
    hats: tuple[Bar, ...]
    basses: tuple[Bar, ...]
    swing: float = 0.5
    """Where the off-beat lies between two beats."""


_FOUR: Final = ((_QUARTERS,),)
GENRES: Final = (
    Genre(
        "house",
        116,
        131,
        _FOUR,
        (_BACK_BEAT,),
        (_NONE, _OFF_BEATS, _EIGHTHS, _SIXTEENTHS),
        ((0, 3, 6, 10), (2, 6, 7, 10, 14), _EIGHTHS, _NONE),
    ),
    Genre(
        "techno",
        124,
        142,
        _FOUR,
        (_NONE, _BACK_BEAT),
        (_OFF_BEATS, _SIXTEENTHS, _NONE, _EIGHTHS),
        (_BETWEEN_KICKS, _OFF_BEATS, _NONE),
    ),
    Genre(
        "disco",
        108,
        124,
        _FOUR,
        (_BACK_BEAT,),
        (_SIXTEENTHS, _OFF_BEATS, _EIGHTHS),
        (_EIGHTHS, (0, 3, 6, 8, 11, 14)),
    ),
    Genre(
        "trance",
        130,
        142,
        _FOUR,
        (_BACK_BEAT,),
        (_OFF_BEATS, _SIXTEENTHS),
        ((2, 3, 6, 7, 10, 11, 14, 15), _OFF_BEATS),
    ),
    Genre(
        "hard dance",
        145,
        180,
        _FOUR,
        (_NONE, _BACK_BEAT),
        (_OFF_BEATS, _NONE, _EIGHTHS),
        (_OFF_BEATS, _NONE, _BETWEEN_KICKS),
    ),
    Genre(
        "drum and bass",
        165,
        180,
        (((0, 10),), ((0, 10), (0, 2, 10)), ((0, 2, 10),)),
        (_BACK_BEAT,),
        (_EIGHTHS, _SIXTEENTHS, (0, 2, 6, 10, 14)),
        ((0,), (0, 3, 10), (0, 6, 8, 14)),
    ),
    Genre(
        "jungle",
        158,
        175,
        (((0, 2, 10, 11), (0, 2, 10)), ((0, 2), (0, 2, 10), (0, 7, 10))),
        ((4, 7, 9, 12, 15), _BACK_BEAT, (4, 7, 9, 12)),
        (_EIGHTHS, _SIXTEENTHS),
        ((0,), (0, 8), (0, 10)),
    ),
    Genre(
        "hip-hop",
        80,
        100,
        (((0, 7, 10), (0, 10)), ((0, 2, 10),), ((0, 8, 10), (0, 7, 10))),
        (_BACK_BEAT,),
        (_EIGHTHS, _QUARTERS, _SIXTEENTHS),
        ((0,), (0, 7, 10)),
    ),
    Genre(
        "trap",
        130,
        150,
        (((0, 6, 10), (0, 3, 10)), ((0,), (0, 10, 14)), ((0, 6),)),
        ((8,),),
        (_EIGHTHS, (*_EIGHTHS, 13, 15), _SIXTEENTHS),
        ((0,), (0, 6)),
    ),
    Genre(
        "dubstep",
        136,
        146,
        (((0,), (0, 10)), ((0, 3),), ((0, 6), (0,))),
        ((8,),),
        (_EIGHTHS, _QUARTERS, _OFF_BEATS),
        (_QUARTERS, (0, 2, 4, 6), (0, 3, 6, 8, 11, 14)),
    ),
    Genre(
        "garage",
        126,
        138,
        (((0, 10),), ((0, 10), (0, 7, 10)), ((0, 6, 10),)),
        (_BACK_BEAT,),
        ((2, 6, 7, 10, 14, 15), _SIXTEENTHS, _OFF_BEATS),
        ((0, 3, 10), (0, 6, 11)),
        swing=0.58,
    ),
    Genre(
        "reggaeton",
        86,
        102,
        _FOUR,
        ((3, 6, 11, 14), (3, 6, 8, 11, 14)),
        (_EIGHTHS, _NONE, _SIXTEENTHS),
        ((0, 3, 8), (0, 6, 8, 14)),
    ),
    Genre(
        "rock",
        95,
        150,
        (((0, 8),), ((0, 8, 10),), ((0, 2, 8, 10), (0, 8)), ((0, 6, 8),)),
        (_BACK_BEAT,),
        (_EIGHTHS, _QUARTERS),
        (_EIGHTHS, (0, 6, 8), (0, 8)),
    ),
    Genre(
        "ballad",
        60,
        85,
        (((0, 8),), ((0, 7, 8), (0, 8)), ((0, 8, 14),)),
        (_BACK_BEAT,),
        (_EIGHTHS, _SIXTEENTHS),
        ((0, 8), (0,), (0, 6, 8)),
    ),
    Genre(
        "funk",
        92,
        116,
        (((0, 2, 10),), ((0, 3, 10), (0, 7, 10)), ((0, 6, 10),)),
        (_BACK_BEAT, (4, 7, 9, 12), (4, 12, 15)),
        (_SIXTEENTHS, _EIGHTHS),
        ((0, 3, 6, 10, 14), (0, 2, 7, 10)),
    ),
    Genre("kick alone", 105, 155, _FOUR, (_NONE,), (_NONE,), (_NONE, _OFF_BEATS)),
)


@dataclass(frozen=True, slots=True)
class Examples:
    """What the weights are fitted to."""

    likeness: NDArray[np.float64]
    """[N, B, 217]: autocorrelations."""
    tempi: NDArray[np.float64]
    """[N] BPM."""
    weights: NDArray[np.float64]
    """[N]: what each counts."""


def song_of(seed: int, duration: float) -> Song:
    """A song in one of the four styles with drums, at 60 to 190 BPM; four of every eight with a fake drop."""
    rng = np.random.Generator(np.random.PCG64([seed, 3]))
    return compose(
        seed,
        style=_STYLES[seed % 4],
        tempo=round(float(rng.uniform(60, 190)), 1),
        duration=duration,
        fake_drop=seed // 4 % 2 == 1,
    )


def samples_of(song: Song) -> NDArray[np.float32]:
    """The analysis signal of a song, [n] at 22,050 Hz."""
    return np.asarray(render(song, rate=SAMPLE_RATE).mean(axis=1), np.float32)


def pattern(genre: Genre, seed: int, seconds: float = _PATTERN_SECONDS) -> tuple[float, NDArray[np.float32]]:
    """Tempo and samples [n] at 22,050 Hz of a genre's drums and bass, over noise."""
    rng = np.random.Generator(np.random.PCG64([seed, 17]))
    tempo = float(rng.uniform(genre.slowest, genre.fastest))
    hard, noise = float(rng.random()), 10 ** rng.uniform(-4, -2)
    kicks = genre.kicks[rng.integers(len(genre.kicks))]
    backs, hats, basses = (
        choices[rng.integers(len(choices))] for choices in (genre.backs, genre.hats, genre.basses)
    )
    bar = 240 / tempo
    parts = (
        (0.9, sounds.kick(SAMPLE_RATE, hard), kicks),
        (0.5, (sounds.clap if rng.random() < 0.5 else sounds.snare)(SAMPLE_RATE, hard), (backs,)),
        (0.3, sounds.cymbal(SAMPLE_RATE, hard, 0.12 if hats == _OFF_BEATS else 0.03), (hats,)),
        (0.35, sounds.bass(SAMPLE_RATE, float(rng.uniform(40, 70)), bar / 16 * 1.5, hard), (basses,)),
    )
    size = round(seconds * SAMPLE_RATE)
    mix = np.zeros(size + SAMPLE_RATE)
    for loudness, shot, bars in parts:
        gain = loudness * 2 ** rng.uniform(-1, 1)
        mono = shot.mean(axis=1)
        for number in range(int(seconds / bar) + 1):
            for step in bars[number % len(bars)]:
                late = rng.normal(0, 0.002)
                start = round((number * bar + _swung(step, genre.swing) * bar + late) * SAMPLE_RATE)
                if 0 <= start < size:
                    mix[start : start + mono.size] += gain * rng.uniform(0.8, 1) * mono[: mix.size - start]
    noisy = np.tanh((0.4 + hard) * mix[:size]) + noise * rng.standard_normal(size)
    return tempo, noisy.astype(np.float32)


def _swung(step: int, swing: float) -> float:
    """Where a sixteenth lies in its bar, 0 to 1."""
    beat, place = divmod(step / 4, 1)
    return (beat + (place * 2 * swing if place < 0.5 else 1 - (1 - place) * 2 * (1 - swing))) / 4


def clicks(tempo: float, hertz: float | None = None, seconds: float = 30.0) -> NDArray[np.float32]:
    """Steady clicks of 10 ms, of noise or of a tone: samples [n] at 22,050 Hz."""
    time = np.arange(SAMPLE_RATE // 100) / SAMPLE_RATE
    noise = np.random.Generator(np.random.PCG64(0)).standard_normal(time.size)
    click = 0.5 * np.exp(-time / 0.003) * (noise if hertz is None else np.sin(2 * np.pi * hertz * time))
    samples = np.zeros(round(seconds * SAMPLE_RATE) + time.size)
    for beat in np.arange(0, seconds, 60 / tempo):
        start = int(beat * SAMPLE_RATE)
        samples[start : start + time.size] += click
    return samples.astype(np.float32)


def examples(
    seeds: Sequence[int] = TUNING_SEEDS,
    patterns: int = _PATTERNS_PER_GENRE,
    progress: Callable[[int, int], None] | None = None,
) -> Examples:
    """Makes the music and measures it; two minutes for all. `progress` is told (done, of)."""
    total = len(seeds) + patterns * len(GENRES) + len(_CLICK_TEMPI) * len(_CLICK_HERTZ)
    likeness, tempi, weights = [], [], []
    for number, (tempo, samples, weight) in enumerate(_music(seeds, patterns), 1):
        likeness.append(_likeness(samples))
        tempi.append(tempo)
        weights.append(weight)
        if progress is not None:
            progress(number, total)
    return Examples(np.stack(likeness), np.array(tempi), np.array(weights))


def _music(seeds: Sequence[int], patterns: int) -> Iterator[tuple[float, NDArray[np.float32], float]]:
    """Tempo, samples, and what they count."""
    for seed in seeds:
        song = song_of(seed, _SONG_SECONDS)
        yield song.tempo, samples_of(song), 1.0
    for place, genre in enumerate(GENRES):
        for number in range(patterns):
            yield *pattern(genre, 1000 * place + number), _PATTERN_WEIGHT
    for click_tempo in _CLICK_TEMPI:
        for hertz in _CLICK_HERTZ:
            yield float(click_tempo), clicks(click_tempo, hertz), _CLICK_WEIGHT


def _likeness(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    frames, tempo = FrameAccumulator(), TempoAccumulator()
    frames.push(samples)
    tempo.push(frames.finish().onsets)
    return np.asarray(tempo.autocorrelation()[0])


def fit(data: Examples) -> list[list[float]]:
    """The weights [B, M] of the likeness in each band after each of `BEATS`.

    Those of a conditional logit (McFadden 1974): a tempo's probability is the exponential of its score as a share of
    all tempi's, and the true tempi are made as probable as can be, less a penalty for the weights' squares. The prior
    stays.
    """
    tables = [_table(*example) for example in zip(data.likeness, data.tempi, strict=True)]
    longest = max(len(prior) for _, prior in tables)
    rows = np.zeros((len(tables), longest, tables[0][0].shape[1]))
    offsets = np.full((len(tables), longest), -1e9)
    for number, (sampled, prior) in enumerate(tables):
        rows[number, : len(prior)] = sampled
        offsets[number, : len(prior)] = prior

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scores = rows @ weights + offsets
        highest = scores.max(axis=1, keepdims=True)
        pull = np.exp(scores - highest)
        total = pull.sum(axis=1, keepdims=True)
        surprise = (np.log(total) + highest)[:, 0] - scores[:, 0]
        pull /= total
        pull[:, 0] -= 1
        slope = np.tensordot(pull * data.weights[:, None], rows, axes=2)
        return float(data.weights @ surprise + _PENALTY * weights @ weights), slope + 2 * _PENALTY * weights

    found = scipy.optimize.minimize(
        loss, np.zeros(rows.shape[2]), jac=True, method="L-BFGS-B", options={"maxiter": 1000, "ftol": 1e-10}
    )
    if not found.success:
        raise UsageError(f"The weights can't be fitted to these examples: {found.message}.")
    return [[round(weight, 2) for weight in band] for band in found.x.reshape(-1, len(BEATS)).tolist()]


@cache
def lag_samplers() -> NDArray[np.float64]:
    """[T, M, 217]: for each of `TEMPI` and `BEATS`, the weights of the lags."""
    return np.stack([lag_sampler(beats) for beats in BEATS], axis=1)


def _table(likeness: NDArray[np.float64], tempo: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What is scored, [T', B M], and the prior, [T'], of the true tempo first, then of wrong ones."""
    apart = np.abs(np.log(TEMPI / tempo))
    chosen = np.r_[np.argmin(apart), np.flatnonzero(apart > _ALIKE)[::_EVERY]]
    sampled = np.einsum("tml,bl->tbm", lag_samplers()[chosen], likeness, optimize=True)
    return sampled.reshape(len(chosen), -1), log_prior()[chosen]


def write_weights(weights: list[list[float]], path: Path = TEMPO_WEIGHTS) -> None:
    """Write them where the agent looks, one band a line."""
    bands = ",\n".join(f"    {json.dumps(band)}" for band in weights)
    path.write_text(f'{{\n  "weights": [\n{bands}\n  ]\n}}\n', encoding="utf-8")
