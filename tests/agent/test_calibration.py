"""Cuts that fit a library: held against the trainer's own formula of the zones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from moodzone_agent.calibration import DEFAULT_SHARES, Spread, calibrated, parse_shares
from moodzone_agent.errors import UsageError
from moodzone_agent.types import Cuts
from trainer.pretraining.ensemble import zone_probabilities

SPREAD = Spread(0.72, 0.78)


def zones(arousal: NDArray[np.float64], valence: NDArray[np.float64], cuts: Cuts) -> NDArray[np.float64]:
    """The shares of the zones, as the model gives them."""
    affect = np.stack((arousal, valence), axis=1)
    answers = zone_probabilities(affect, np.array([SPREAD.arousal, SPREAD.valence]), cuts).argmax(axis=1)
    return np.asarray(np.bincount(answers, minlength=3) / len(arousal))


def library(
    size: int, centre: float, width: float, valence: float = 6.0, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    random = np.random.default_rng(seed)
    return random.normal(centre, width, size).clip(1, 9), random.normal(valence, 0.4, size).clip(1, 9)


@given(
    centre=st.floats(4.5, 6.5),
    width=st.floats(0.2, 1.5),
    valence=st.floats(5.5, 7.0),
    shares=st.sampled_from([DEFAULT_SHARES, (0.2, 0.5, 0.3), (1 / 3, 1 / 3, 1 / 3), (0.5, 0.3, 0.2)]),
    seed=st.integers(0, 9),
)
def test_a_large_library_gets_the_shares(
    centre: float, width: float, valence: float, shares: tuple[float, float, float], seed: int
) -> None:
    """However narrow it is, where cuts at its quantiles would leave no GREEN."""
    tracks = library(20_000, centre, width, valence, seed)
    np.testing.assert_allclose(zones(*tracks, calibrated(*tracks, SPREAD, shares)), shares, atol=0.1)


def test_cuts_at_the_quantiles_would_leave_no_green() -> None:
    tracks = library(20_000, 5.5, 0.3)
    low, high = np.quantile(tracks[0], (0.3, 0.7))
    assert zones(*tracks, Cuts(low, high))[1] < 0.01
    assert zones(*tracks, calibrated(*tracks, SPREAD))[1] > 0.35


@given(
    arousal=st.lists(st.floats(1, 9), max_size=60),
    valence=st.floats(1, 9),
    spread=st.floats(0, 2),
)
def test_any_library_gives_cuts_that_the_settings_allow(
    arousal: list[float], valence: float, spread: float
) -> None:
    cuts = calibrated(np.array(arousal), np.full(len(arousal), valence), Spread(spread, spread))
    assert 1 <= cuts.yellow_max <= cuts.purple_min <= 9
    assert 1 <= cuts.purple_min_valence <= 4.5


def test_the_cuts_go_further_the_larger_the_library() -> None:
    moved = []
    for size in (0, 5, 50, 500, 5000):
        cuts = calibrated(np.full(size, 7.0), np.full(size, 6.0), Spread(0.0, 0.0))
        moved.append((cuts.yellow_max - 4) / 3)
        assert moved[-1] == pytest.approx(size / (size + 50), abs=0.005)
    assert calibrated(np.empty(0), np.empty(0), SPREAD) == Cuts()


def test_order_does_not_matter() -> None:
    arousal, valence = library(77, 5.0, 0.8)
    order = np.random.default_rng(1).permutation(77)
    assert calibrated(arousal, valence, SPREAD) == calibrated(arousal[order], valence[order], SPREAD)


def test_without_a_spread_the_cuts_are_the_quantiles() -> None:
    arousal, valence = library(100_000, 5.5, 0.5)
    cuts = calibrated(arousal, valence, Spread(0.0, 0.0))
    assert (cuts.yellow_max, cuts.purple_min) == pytest.approx(np.quantile(arousal, (0.3, 0.7)), abs=0.02)


def test_only_a_dark_library_moves_the_least_valence() -> None:
    for valence in (4.8, 6.0):
        assert calibrated(*library(2000, 5.5, 0.5, valence), SPREAD).purple_min_valence == 4.5
    dark = library(2000, 5.5, 0.5, 3.5)
    cuts = calibrated(*dark, SPREAD)
    assert 2.5 < cuts.purple_min_valence < 3.5
    assert zones(*dark, cuts)[2] == pytest.approx(0.3, abs=0.1)
    assert zones(*dark, Cuts(cuts.yellow_max, cuts.purple_min))[2] < 0.02


def test_shares() -> None:
    assert parse_shares("20, 50,30") == pytest.approx((0.2, 0.5, 0.3))
    for wrong in ("30,40", "30,40,40", "0,50,50", "a,b,c", "nan,50,50", "-10,60,50", ""):
        with pytest.raises(UsageError, match="--shares"):
            parse_shares(wrong)
