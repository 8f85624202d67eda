"""Onsets, loudness and struck against sustained, beside SciPy and on signals whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
from numpy.typing import NDArray

from moodzone_agent.audio.rate import SAMPLE_RATE
from moodzone_agent.features.frames import FrameAccumulator, FrameTable
from moodzone_agent.features.harmonic import harmonic_shares
from moodzone_agent.features.order import median_of_five, quantiles
from moodzone_agent.features.rhythm import HOPS_PER_SECOND, loudness_features, rhythm_features
from moodzone_agent.features.spec import FAMILIES

RHYTHM = (*FAMILIES["pulse"], *FAMILIES["modulation"])


def rhythm_of(onsets: NDArray[np.float64]) -> dict[str, float]:
    values = rhythm_features(onsets[None].astype(np.float32), np.zeros(1, np.float32))[0]
    return dict(zip(RHYTHM, values.tolist(), strict=True))


def pulses(per_second: float, hops: int = 430) -> NDArray[np.float64]:
    """Onset strengths [H, 5] of a steady beat, alike in all bands."""
    phase = np.arange(hops) * per_second / HOPS_PER_SECOND
    beat = np.exp(-(((phase - np.rint(phase)) / 0.06) ** 2))
    return np.repeat(beat[:, None], 5, axis=1)


@pytest.mark.parametrize("per_second", [1.0, 1.5, 2.5])
def test_a_steady_beat_is_counted_and_periodic(per_second: float) -> None:
    found = rhythm_of(pulses(per_second))
    assert found["onset_rate"] == pytest.approx(per_second, abs=0.2)
    assert all(found[f"periodicity_{band}"] > 0.8 for band in range(5))


def test_noise_is_not_periodic() -> None:
    noise = np.abs(np.random.default_rng(1).standard_normal((430, 5)))
    assert rhythm_of(noise)["periodicity_0"] < 0.4


@pytest.mark.parametrize(("hertz", "rate"), [(0.7, 1), (1.5, 2), (3.0, 3), (6.0, 4), (12.0, 5)])
def test_modulation_lies_in_its_band(hertz: float, rate: int) -> None:
    wave = 1 + np.sin(2 * np.pi * hertz * np.arange(430) / HOPS_PER_SECOND)
    found = rhythm_of(np.repeat(wave[:, None], 5, axis=1))
    assert found[f"modulation_0_{rate}"] > 0.8
    assert sum(found[f"modulation_0_{band}"] for band in range(1, 6)) == pytest.approx(1, abs=1e-5)


def test_loudness_is_scipys() -> None:
    level = np.random.default_rng(3).normal(-20, 6, (2, 430)).astype(np.float32)
    for row, values in zip(loudness_features(level), level, strict=True):
        low, middle, high = np.percentile(values, (5, 50, 95))
        expected = [values.std(), high - low, high - middle, middle - low, scipy.stats.skew(values)]
        np.testing.assert_allclose(row[:5], expected, rtol=1e-4, atol=1e-5)
        assert row[5] == pytest.approx(np.abs(np.diff(values)).mean(), rel=1e-5)


def test_what_does_not_move_is_finite() -> None:
    assert np.isfinite(list(rhythm_of(np.full((430, 5), 2.0)).values())).all()
    assert np.isfinite(list(rhythm_of(np.zeros((2, 5))).values())).all()
    assert not loudness_features(np.zeros((1, 1), np.float32)).any()


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("length", [1, 2, 5, 40])
def test_the_running_median_is_scipys(axis: int, length: int) -> None:
    shape = (2, length, 64) if axis == 1 else (2, 7, length)
    values = np.random.default_rng(4).random(shape).astype(np.float32)
    size = [1, 1, 1]
    size[axis] = 5
    expected = scipy.ndimage.median_filter(values, size=tuple(size), mode="nearest")
    np.testing.assert_array_equal(median_of_five(values, axis), expected)


def table_of(samples: NDArray[np.float64]) -> FrameTable:
    accumulator = FrameAccumulator()
    accumulator.push(samples.astype(np.float32))
    return accumulator.finish()


def test_a_tone_is_sustained_and_clicks_are_struck() -> None:
    time = np.arange(10 * SAMPLE_RATE) / SAMPLE_RATE
    tone = sum(0.1 * np.sin(2 * np.pi * hertz * time) for hertz in (110, 440, 1760, 7040))
    clicks = np.zeros_like(time)
    clicks[:: SAMPLE_RATE // 2] = 1.0
    sustained = harmonic_shares(table_of(np.asarray(tone)).mel[None])[0]
    struck = harmonic_shares(table_of(clicks).mel[None])[0]
    assert np.mean(sustained) > 0.8
    assert np.mean(struck) < 0.2
    assert not harmonic_shares(np.zeros((1, 430, 64), np.float32)).any()


@pytest.mark.parametrize("count", [1, 2, 19, 430])
def test_quantiles_are_numpys(count: int) -> None:
    values = np.random.default_rng(count).normal(size=(3, 5, count)).astype(np.float32)
    for share, found in zip((0.05, 0.5, 0.95), quantiles(values, 0.05, 0.5, 0.95), strict=True):
        np.testing.assert_allclose(found, np.quantile(values, share, axis=2), rtol=1e-5, atol=1e-6)
