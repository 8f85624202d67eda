"""The truth of a song, measured from its samples by librosa and scipy."""

from __future__ import annotations

import dataclasses
import hashlib
import tracemalloc
from itertools import pairwise

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from moodzone_agent.demo.music import SectionKind, Song, Style, compose, render, render_blocks
from moodzone_agent.errors import UsageError
from moodzone_agent.types import Zone

RATE = 22_050
DRUMMED = [style for style in Style if style is not Style.AMBIENT]


def low_band(song: Song) -> NDArray[np.float64]:
    """RMS below 130 Hz, each 10 ms."""
    mono = render(song, rate=RATE).mean(axis=1, dtype=np.float64)
    low = sosfilt(butter(4, 130, fs=RATE, output="sos"), mono)
    edges = np.arange(0, low.size, RATE / 100).astype(int)
    return np.sqrt(np.add.reduceat(low**2, edges) / np.diff(edges, append=low.size))


def decibels(samples: NDArray[np.float32]) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64))))


def section_samples(song: Song, kind: SectionKind) -> NDArray[np.float32]:
    section = next(section for section in song.sections if section.kind is kind)
    return render(song, rate=RATE)[round(section.start * RATE) : round(section.end * RATE)]


# librosa expects about 120 BPM by default and takes three beats for two far above it, unless it is told so.
@pytest.mark.parametrize(
    ("tempo", "expected"), [(60.0, 120), (92.5, 120), (128.0, 120), (150.0, 120), (190.0, 180)]
)
def test_librosa_hears_the_tempo_but_for_octaves(tempo: float, expected: int) -> None:
    song = compose(round(tempo), style=Style.FOUR_ON_THE_FLOOR, tempo=tempo, energy=0.6, duration=20)
    mono = render(song, rate=RATE).mean(axis=1)
    envelope = librosa.onset.onset_strength(y=mono, sr=RATE, hop_length=128)
    (heard,) = librosa.feature.tempo(onset_envelope=envelope, sr=RATE, hop_length=128, start_bpm=expected)
    assert min(abs(heard / (tempo * octave) - 1) for octave in (0.25, 0.5, 1, 2, 4)) < 0.04


@pytest.mark.parametrize("style", DRUMMED)
@pytest.mark.parametrize(("seed", "energy"), [(11, 0.2), (13, 0.9)])
@pytest.mark.parametrize("fake_drop", [False, True])
def test_low_band_is_silent_in_breaks_and_returns_at_drops(
    style: Style, seed: int, energy: float, *, fake_drop: bool
) -> None:
    song = compose(seed, style=style, energy=energy, duration=55, fake_drop=fake_drop)
    low = low_band(song)
    groove = next(section for section in song.sections if section.kind is SectionKind.GROOVE)
    usual = np.median(low[round(groove.start * 100) : round(groove.end * 100)])
    assert len(song.drops) >= 1
    assert len(song.fake_drops) == fake_drop
    for drop in song.drops:
        assert drop / song.bar == pytest.approx(round(drop / song.bar))
        at = round(drop * 100)
        assert np.all(low[at - 560 : at - 1] < 0.2 * usual), "6 s of silence but for the tails"
        assert low[at : at + 10].max() > 0.5 * usual
    for fake in song.fake_drops:
        after = round((fake + song.bar) * 100) + 40
        assert np.all(low[after : after + 300] < 0.2 * usual)


def test_fake_drops_come_with_and_without_a_bar_of_kick() -> None:
    kicks = set()
    for seed in range(8):
        song = compose(seed, style=Style.FOUR_ON_THE_FLOOR, energy=0.7, duration=50, fake_drop=True)
        low = low_band(song)
        at = round(song.fake_drops[0] * 100)
        kicks.add(bool(low[at : at + 10].max() > 5 * low[at - 20 : at].max()))
    assert kicks == {False, True}


def test_long_songs_break_for_eight_bars() -> None:
    song = compose(5, style=Style.FOUR_ON_THE_FLOOR, tempo=128, duration=300)
    assert len(song.drops) >= 2
    for before, drop in pairwise((0.0, *song.drops)):
        quiet = [s for s in song.sections if before < s.start < drop and s.kind.value in {"break", "build"}]
        assert sum(s.end - s.start for s in quiet) / song.bar == pytest.approx(8)


@pytest.mark.parametrize("seed", [0, 3])
def test_harder_songs_are_louder_brighter_and_denser(seed: int) -> None:
    loudness, centroid, onsets = [], [], []
    for energy in (0.05, 0.35, 0.65, 0.95):
        song = compose(seed, energy=energy, duration=30)
        kind = SectionKind.DROP if song.drops else SectionKind.GROOVE
        samples = section_samples(song, kind)
        loudness.append(decibels(samples))
        mono = samples.mean(axis=1)
        centroid.append(librosa.feature.spectral_centroid(y=mono, sr=RATE).mean())
        onsets.append(len(librosa.onset.onset_detect(y=mono, sr=RATE)) / len(mono))
    assert loudness == sorted(loudness)
    assert loudness[0] < -27
    assert loudness[-1] > -10
    assert centroid == sorted(centroid)
    assert onsets[0] < onsets[-1]


@pytest.mark.parametrize("energy", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("style", DRUMMED)
def test_drops_have_the_stated_loudness(style: Style, energy: float) -> None:
    song = compose(21, style=style, energy=energy, duration=40)
    assert decibels(section_samples(song, SectionKind.DROP)) == pytest.approx(song.loudness, abs=0.7)


@pytest.mark.parametrize("minor", [False, True])
def test_the_chroma_is_that_of_the_key(minor: bool) -> None:
    song = dataclasses.replace(compose(8, energy=0.1, style=Style.AMBIENT, duration=40), minor=minor)
    chroma = librosa.feature.chroma_cqt(y=render(song, rate=RATE).mean(axis=1), sr=RATE).mean(axis=1)
    chroma = np.roll(chroma, -song.key) / chroma.sum()
    scale = [0, 2, 3, 5, 7, 8, 10] if minor else [0, 2, 4, 5, 7, 9, 11]
    assert chroma[scale].sum() > 0.85
    assert (chroma[3] > chroma[4]) is np.bool_(minor)


def test_same_arguments_same_song_and_another_seed_another() -> None:
    def digest(seed: int) -> str:
        return hashlib.sha256(render(compose(seed, energy=0.7, duration=12), rate=8000).tobytes()).hexdigest()

    assert digest(3) == digest(3)
    assert digest(3) != digest(4)


def test_composition_is_pinned() -> None:
    """PCG64 promises the same stream everywhere; so a change here changes every song."""
    song = compose(2024)
    assert (song.style, song.tempo, song.zone, song.title, song.artist, song.duration) == (
        Style.FOUR_ON_THE_FLOOR,
        121.8,
        Zone.PURPLE,
        "Velvet Tide",
        "Lumen Delia",
        222.0,
    )


@settings(max_examples=12, deadline=None)
@given(seconds=st.floats(0.0001, 40), style=st.sampled_from(Style))
def test_blocks_join_to_the_whole(seconds: float, style: Style) -> None:
    song = compose(9, style=style, energy=0.8, duration=12.3)
    blocks = list(render_blocks(song, rate=8000, seconds=seconds))
    size = max(1, round(seconds * 8000))
    assert all(len(block) == size for block in blocks[:-1])
    assert np.array_equal(np.concatenate(blocks), render(song, rate=8000))


def test_a_long_mix_needs_no_more_memory_than_a_song() -> None:
    def peak(duration: float) -> int:
        tracemalloc.start()
        for _ in render_blocks(compose(6, energy=0.9, duration=duration), rate=8000):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(900) < 1.3 * peak(120)


def test_sounds_ring_on_over_the_bar_line() -> None:
    song = compose(3, style=Style.AMBIENT, energy=0.1, duration=30)
    jumps = np.abs(np.diff(render(song, rate=RATE)[:, 0]))
    lines = np.round(np.arange(1, song.duration / song.bar) * song.bar * RATE).astype(int)
    assert jumps[lines - 1].max() < 2 * np.percentile(jumps, 99)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**40),
    duration=st.floats(0.1, 8000),
    tempo=st.floats(60, 190),
    style=st.sampled_from(Style),
)
def test_sections_fill_every_song(seed: int, duration: float, tempo: float, style: Style) -> None:
    song = compose(seed, duration=duration, tempo=tempo, style=style)
    assert song.sections[0].start == 0
    assert song.sections[-1].end == pytest.approx(duration)
    assert all(a.end == pytest.approx(b.start) for a, b in pairwise(song.sections))
    assert all(section.end > section.start for section in song.sections)
    if style is Style.AMBIENT:
        assert song.drops == ()
    elif duration > 36:
        assert len(song.drops) >= 1


@pytest.mark.parametrize("duration", [0.1, 1.0, 7.77])
@pytest.mark.parametrize("style", Style)
def test_short_songs_are_exact_and_within_full_scale(style: Style, duration: float) -> None:
    samples = render(compose(1, style=style, energy=1.0, duration=duration))
    assert samples.shape == (round(duration * 44_100), 2)
    assert samples.dtype == np.float32
    assert 0.1 < np.abs(samples).max() <= 1


def test_zones_follow_energy() -> None:
    zones = [compose(1, energy=energy).zone for energy in (0.0, 0.32, 0.34, 0.65, 0.67, 1.0)]
    assert zones == [Zone.YELLOW] * 2 + [Zone.GREEN] * 2 + [Zone.PURPLE] * 2


def test_nonsense_is_refused_with_its_reason() -> None:
    with pytest.raises(UsageError, match="energy of a song must be from 0 to 1"):
        compose(1, energy=1.5)
    with pytest.raises(UsageError, match="tempo"):
        compose(1, tempo=float("nan"))
    with pytest.raises(UsageError, match="duration"):
        compose(1, duration=0)
    with pytest.raises(UsageError, match="seed"):
        compose(-1)
    with pytest.raises(UsageError, match="no room for a fake drop"):
        compose(1, style=Style.AMBIENT, fake_drop=True)
    with pytest.raises(UsageError, match="sample rate"):
        render(compose(1, duration=1), rate=100)
