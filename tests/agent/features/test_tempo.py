"""Tempo of clicks, drum patterns and songs whose truth is known, and of a track in pieces against the whole."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from moodzone_agent.features.frames import FrameAccumulator
from moodzone_agent.features.tempo import (
    BANDS,
    BEATS,
    LAGS,
    TEMPI,
    TempoAccumulator,
    autocorrelation,
    log_prior,
    tempo,
)
from trainer.pretraining.tempo import (
    GENRES,
    TEMPO_WEIGHTS,
    Genre,
    clicks,
    examples,
    fit,
    lag_samplers,
    pattern,
    samples_of,
    song_of,
)

Onsets = NDArray[np.float32]


def onsets_of(samples: NDArray[np.float32]) -> Onsets:
    accumulator = FrameAccumulator()
    accumulator.push(samples)
    return accumulator.finish().onsets


def tempo_of(onsets: Onsets) -> float:
    accumulator = TempoAccumulator()
    accumulator.push(onsets)
    return float(accumulator.result()[0][0])


def is_near(found: float, true: float, multiples: Sequence[float] = (1,)) -> bool:
    return any(abs(found / (true * multiple) - 1) < 0.04 for multiple in multiples)


@pytest.mark.parametrize("hertz", [None, 1000.0])
@pytest.mark.parametrize("true", [60.0, 75.0, 90.0, 105.0, 120.0, 128.0, 140.0, 155.0, 174.0, 190.0])
def test_steady_clicks_have_their_tempo(true: float, hertz: float | None) -> None:
    """Slow ones may be every other beat: nothing in them says which."""
    found = tempo_of(onsets_of(clicks(true, hertz, seconds=20.0)))
    assert is_near(found, true, (1, 2) if true < 80 else (1,)), found


@pytest.mark.parametrize("true", [70.0, 100.0, 125.0, 174.0])
def test_clicks_of_any_pitch_have_their_tempo_but_for_octaves(true: float) -> None:
    for hertz in (60.0, 200.0, 4000.0):
        found = tempo_of(onsets_of(clicks(true, hertz, seconds=20.0)))
        assert is_near(found, true, (1 / 2, 1, 2)), (hertz, found)


@pytest.mark.parametrize("genre", GENRES, ids=lambda genre: genre.name)
def test_drum_patterns_of_genres(genre: Genre) -> None:
    """With seeds that the weights were not fitted to; three of four, and the others but for octaves."""
    right = 0
    for seed in range(4):
        true, samples = pattern(genre, 90_000 + seed)
        found = tempo_of(onsets_of(samples))
        assert is_near(found, true, (1 / 2, 2 / 3, 1, 3 / 2, 2)), (true, found)
        right += is_near(found, true)
    assert right >= 3


def test_songs_of_all_styles() -> None:
    """Not a benchmark, which is `python -m tests.bench rhythm`."""
    songs = [song_of(seed, 60.0) for seed in range(4000, 4012)]
    found = [tempo_of(onsets_of(samples_of(song))) for song in songs]
    pairs = [(song.tempo, bpm) for song, bpm in zip(songs, found, strict=True)]
    assert all(is_near(bpm, true, (1 / 2, 1, 2)) for true, bpm in pairs), pairs
    assert sum(is_near(bpm, true) for true, bpm in pairs) >= len(pairs) - 1, pairs


@pytest.mark.parametrize("hops", [1, 20, 430, 3000])
@pytest.mark.parametrize("value", [0.0, 2.5])
def test_what_does_not_vary_has_120_and_no_pulse(hops: int, value: float) -> None:
    onsets = np.full((2, hops, BANDS), value, np.float32)
    bpm, clarity = tempo(onsets)
    assert bpm.tolist() == [120, 120]
    assert clarity.tolist() == [0, 0]
    assert tempo_of(onsets[0]) == 120


def test_nothing_has_120_and_no_pulse() -> None:
    bpm, clarity = TempoAccumulator().result()
    assert (bpm.tolist(), clarity.tolist()) == ([120], [0])


def test_a_steady_beat_has_a_clear_pulse_and_noise_has_none() -> None:
    noise = np.random.default_rng(5).random((1, 860, BANDS)).astype(np.float32)
    assert tempo(onsets_of(clicks(125.0))[None])[1][0] > 0.5
    assert tempo(noise)[1][0] < 0.2


def test_autocorrelation_is_that_of_the_definition() -> None:
    onsets = np.random.default_rng(6).gamma(1.5, size=(2, 300, BANDS)).astype(np.float32)
    likeness = autocorrelation(onsets)
    assert likeness.shape == (2, BANDS, LAGS)
    for window, band, lag in ((0, 0, 0), (0, 1, 1), (1, 4, 100), (1, 2, LAGS - 1)):
        varying = onsets[window, :, band].astype(np.float64)
        varying -= varying.mean()
        expected = np.mean(varying[lag:] * varying[: len(varying) - lag]) / np.mean(varying**2)
        assert likeness[window, band, lag] == pytest.approx(expected, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(
    hops=st.integers(1, 5000),
    sizes=st.lists(st.integers(0, 2500), max_size=8),
    asked=st.sets(st.integers(0, 8)),
)
def test_pieces_of_any_size_give_the_same_tempo(hops: int, sizes: list[int], asked: set[int]) -> None:
    """To the last bit, also where it is asked for in between."""
    onsets = np.random.default_rng(hops).gamma(1.5, size=(hops, BANDS)).astype(np.float32)
    whole, pieces = TempoAccumulator(), TempoAccumulator()
    whole.push(onsets)
    for number, piece in enumerate(np.split(onsets, np.cumsum(sizes))):
        pieces.push(piece)
        if number in asked:
            pieces.result()
    np.testing.assert_array_equal(pieces.autocorrelation(), whole.autocorrelation())
    assert pieces.result() == whole.result()


def test_what_is_kept_does_not_grow() -> None:
    accumulator = TempoAccumulator()
    piece = np.random.default_rng(7).random((2000, BANDS)).astype(np.float32)

    def kept() -> int:
        return sum(value.nbytes for value in vars(accumulator).values())

    accumulator.push(piece)
    most = kept() + piece.nbytes
    for _ in range(50):
        accumulator.push(piece)
        assert kept() <= most


def test_a_window_of_one_segment_is_a_short_track() -> None:
    onsets = onsets_of(samples_of(song_of(4002, 20.0)))[:430]
    accumulator = TempoAccumulator()
    accumulator.push(onsets)
    np.testing.assert_allclose(accumulator.autocorrelation(), autocorrelation(onsets[None]), atol=1e-12)


@pytest.mark.slow
def test_few_examples_make_a_template_that_tells_their_tempi() -> None:
    data = examples(seeds=range(2000, 2016), patterns=1)
    weights = np.array(fit(data))
    sampled = np.einsum("tml,nbl->ntbm", lag_samplers(), data.likeness, optimize=True)
    found = TEMPI[np.argmax(np.einsum("ntbm,bm->nt", sampled, weights) + log_prior(), axis=1)]
    assert weights.shape == (BANDS, len(BEATS))
    assert np.mean(np.abs(found / data.tempi - 1) < 0.04) > 0.9


@pytest.mark.refit
def test_the_weights_are_those_that_the_trainer_fits() -> None:
    """`moodzone-train tempo` writes them. What differs by rounding elsewhere is far below what tells tempi apart."""
    stored = json.loads(TEMPO_WEIGHTS.read_text(encoding="utf-8"))["weights"]
    assert np.shape(stored) == (BANDS, len(BEATS))
    np.testing.assert_allclose(fit(examples()), stored, atol=0.1)
