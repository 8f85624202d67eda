"""Feature vectors, tempo and drops, on music whose truth is known."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from moodzone_agent.audio.rate import SAMPLE_RATE
from moodzone_agent.demo.music import Style, compose, render
from moodzone_agent.features.frames import FrameAccumulator, FrameTable
from moodzone_agent.features.spec import (
    FEATURE_NAMES,
    NAMED_FEATURES,
    WINDOW_FRAMES,
)
from moodzone_agent.features.track import TrackAccumulator, TrackFeatures

NAMES_OF_THE_DESIGN = [
    "tempo",
    "zero_crossing_rate",
    "low_energy",
    "rms_energy",
    "spectral_rolloff",
    "brightness",
    "spectral_centroid",
    "mfcc_1_mean",
    "mfcc_2_mean",
    "mfcc_3_mean",
    "mfcc_4_mean",
    "mfcc_5_mean",
    "mfcc_1_std",
    "mfcc_2_std",
    "mfcc_3_std",
    "mfcc_4_std",
    "mfcc_5_std",
    "energy_variance",
    "drop_strength",
    "drop_contrast_mean",
    "drop_count",
    "drop_intensity",
]


def table_of(samples: NDArray[np.float32]) -> FrameTable:
    accumulator = FrameAccumulator()
    accumulator.push(samples)
    return accumulator.finish()


def features_of(samples: NDArray[np.float32]) -> TrackFeatures:
    accumulator = TrackAccumulator()
    accumulator.push(samples)
    features = accumulator.result()
    assert features is not None
    return features


def mono(seed: int, **wanted: object) -> NDArray[np.float32]:
    song = compose(seed, **wanted)  # type: ignore[arg-type]
    return render(song, rate=SAMPLE_RATE).mean(axis=1).astype(np.float32)


def named(features: NDArray[np.float32]) -> dict[str, float]:
    return dict(zip(FEATURE_NAMES, features.tolist(), strict=True))


@pytest.fixture(scope="module")
def long_song() -> TrackFeatures:
    return features_of(mono(20, style=Style.FOUR_ON_THE_FLOOR, energy=0.7, duration=80.0))


def test_names_are_the_designs_and_unique() -> None:
    assert list(NAMED_FEATURES) == NAMES_OF_THE_DESIGN
    assert list(FEATURE_NAMES[:22]) == NAMES_OF_THE_DESIGN
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES)


def test_windows_cover_the_track(long_song: TrackFeatures) -> None:
    frames = 160
    assert long_song.windows.shape == ((frames - WINDOW_FRAMES) // 10 + 1, len(FEATURE_NAMES))
    assert np.isfinite(long_song.windows).all()
    assert np.isfinite(long_song.track).all()


@pytest.mark.parametrize("frames", [1, 2, 19, 20, 21, 29, 30, 33])
def test_short_tracks_have_windows(frames: int) -> None:
    samples = mono(4, energy=0.5, duration=20.0)[: frames * SAMPLE_RATE // 2]
    features = features_of(samples)
    assert len(features.windows) == {1: 1, 2: 1, 19: 1, 20: 1, 21: 2, 29: 2, 30: 2, 33: 3}[frames]
    assert np.isfinite(features.windows).all()


def test_a_window_sees_what_the_clip_alone_would_show() -> None:
    """The model is trained on 10-s clips, so a window's vector must be that of its 10 s cut out."""
    samples = mono(9, energy=0.6, duration=30.0)
    windows = features_of(samples).windows
    clip = samples[2 * 5 * SAMPLE_RATE : 2 * 5 * SAMPLE_RATE + 10 * SAMPLE_RATE]
    alone = features_of(clip).windows[0]
    spread = windows.std(axis=0) + 0.02 * np.abs(windows).mean(axis=0) + 1e-3
    assert np.quantile(np.abs(windows[2] - alone) / spread, 0.95) < 1.0


def test_named_features_follow_their_definitions() -> None:
    samples = mono(11, energy=0.7, duration=40.0)
    value = named(features_of(samples).track)
    rms = table_of(samples).columns[:, 0].astype(np.float64)
    assert value["rms_energy"] == pytest.approx(rms.mean(), rel=1e-5)
    assert value["low_energy"] == pytest.approx(np.mean(rms < rms.mean()), abs=1e-6)
    level = np.maximum(20 * np.log10(rms), -60)
    assert value["energy_variance"] == pytest.approx(level.var(), rel=1e-3)


def test_tempo_of_synthesised_music() -> None:
    """Not a benchmark: a few songs of each style, octave errors allowed in none."""
    right = 0
    songs = [
        compose(seed, style=style, energy=energy, duration=45.0)
        for seed, (style, energy) in enumerate(
            [
                (Style.FOUR_ON_THE_FLOOR, 0.5),
                (Style.FOUR_ON_THE_FLOOR, 0.8),
                (Style.BREAKBEAT, 0.6),
                (Style.SWING, 0.6),
                (Style.HALF_TIME, 0.4),
                (Style.FOUR_ON_THE_FLOOR, 0.95),
            ],
            500,
        )
    ]
    for song in songs:
        samples = render(song, rate=SAMPLE_RATE).mean(axis=1).astype(np.float32)
        tempo = named(features_of(samples).track)["tempo"]
        right += abs(tempo / song.tempo - 1) < 0.04
    assert right >= len(songs) - 1


def test_drops_of_synthesised_music() -> None:
    found, true = 0, 0
    for seed in (600, 601, 602):
        song = compose(seed, style=Style.FOUR_ON_THE_FLOOR, energy=0.75, duration=120.0)
        samples = render(song, rate=SAMPLE_RATE).mean(axis=1).astype(np.float32)
        features = features_of(samples)
        true += len(song.drops)
        for drop in features.drops:
            assert min(abs(drop.seconds - at) for at in song.drops) <= 1.0, f"no drop at {drop.seconds}"
            assert drop.strength > 6
            assert drop.contrast > 0
            assert 0 < drop.intensity <= 1
        found += len(features.drops)
        value = named(features.track)
        assert value["drop_count"] == len(features.drops)
        assert value["drop_strength"] == pytest.approx(max(d.strength for d in features.drops), rel=1e-5)
    assert true > 0
    assert found == true


def test_a_song_without_break_has_no_drop() -> None:
    features = features_of(mono(21, style=Style.AMBIENT, energy=0.1, duration=60.0))
    value = named(features.track)
    assert features.drops == ()
    assert [value[name] for name in NAMED_FEATURES[-4:]] == [0, 0, 0, 0]


def test_a_bass_that_enters_late_is_no_drop() -> None:
    rng = np.random.default_rng(0)
    samples = 0.02 * rng.standard_normal(SAMPLE_RATE * 40).astype(np.float32)
    seconds = np.arange(samples.size) / SAMPLE_RATE
    samples += np.where(seconds > 20, 0.5 * np.sin(2 * np.pi * 50 * seconds), 0).astype(np.float32)
    assert features_of(samples).drops == ()


def test_silence_is_finite() -> None:
    features = features_of(np.zeros(SAMPLE_RATE * 25, np.float32))
    assert np.isfinite(features.windows).all()
    assert features.drops == ()


def test_a_major_chord_is_more_major_than_a_minor_one() -> None:
    def chord(*semitones: int) -> float:
        seconds = np.arange(SAMPLE_RATE * 10) / SAMPLE_RATE
        tones = [np.sin(2 * np.pi * 880 * 2 ** (step / 12) * seconds) for step in semitones]
        samples = (0.1 * np.sum(tones, axis=0)).astype(np.float32)
        return named(features_of(samples).track)["mode_majorness"]

    assert chord(0, 4, 7) > 0 > chord(0, 3, 7)


@pytest.fixture(scope="module")
def streamed_song() -> tuple[NDArray[np.float32], TrackFeatures]:
    samples = mono(23, style=Style.BREAKBEAT, energy=0.6, duration=70.0)
    return samples, features_of(samples)


@settings(max_examples=8, deadline=None)
@given(sizes=st.lists(st.integers(1, 300_000), min_size=1, max_size=10), asked=st.sets(st.integers(0, 9)))
def test_blocks_of_any_size_give_the_same_features(
    streamed_song: tuple[NDArray[np.float32], TrackFeatures], sizes: list[int], asked: set[int]
) -> None:
    """Also where the features so far are asked for in between."""
    samples, whole = streamed_song
    accumulator = TrackAccumulator()
    for number, block in enumerate(np.split(samples, np.cumsum(sizes))):
        accumulator.push(block)
        if number in asked:
            accumulator.so_far()
    streamed = accumulator.result()
    assert streamed is not None
    scale = np.abs(whole.windows).max(axis=0) + 1e-3
    assert streamed.windows.shape == whole.windows.shape
    assert np.max(np.abs(streamed.windows - whole.windows) / scale) < 1e-4
    assert np.max(np.abs(streamed.track - whole.track) / scale) < 1e-4
    assert [astuple(drop) for drop in streamed.drops] == [
        pytest.approx(astuple(drop), rel=1e-5) for drop in whole.drops
    ]


def test_the_features_so_far_are_those_of_what_has_come(
    streamed_song: tuple[NDArray[np.float32], TrackFeatures],
) -> None:
    """But for the last spectra, which the end of a file completes with its mirror."""
    samples, whole = streamed_song
    accumulator = TrackAccumulator()
    assert accumulator.so_far() is None
    accumulator.push(samples[: 31 * SAMPLE_RATE])
    so_far = accumulator.so_far()
    assert so_far is not None
    np.testing.assert_allclose(so_far.windows[:5], whole.windows[:5], rtol=1e-4, atol=1e-4)
