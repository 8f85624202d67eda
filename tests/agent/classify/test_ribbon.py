"""Sections of a ribbon, its level, and what it is where there is no frame model."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import ndtr

from moodzone_agent.audio.rate import SAMPLE_RATE
from moodzone_agent.classify.pool import WindowEstimates
from moodzone_agent.classify.ribbon import MIN_SECTION, ZoneShares, course_ribbon, smoothed, window_ribbon
from moodzone_agent.demo.music import compose, render
from moodzone_agent.features.spec import FRAME_COLUMNS, RIBBON_COLUMNS
from moodzone_agent.features.track import TrackAccumulator
from moodzone_agent.types import Cuts

SHARES = ZoneShares(Cuts(), (0.7, 0.8))


def windows(*arousal: float, valence: float = 6.0) -> WindowEstimates:
    """With the probabilities that a graph without a head gives."""
    values = np.array(arousal, np.float32)
    valences = np.full_like(values, valence)
    return WindowEstimates(SHARES.of(values, valences).astype(np.float32), values, valences)


def sections(ranks: NDArray[np.floating] | NDArray[np.intp]) -> list[tuple[int, int]]:
    """(rank, frames) of each."""
    edges = [0, *(np.flatnonzero(np.diff(ranks)) + 1), len(ranks)]
    return [(int(ranks[start]), int(end - start)) for start, end in pairwise(edges)]


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 12), st.floats(1, 9)), min_size=1, max_size=40),
    st.integers(0, 2**32 - 1),
)
def test_no_section_is_shorter_than_4_s(runs: list[tuple[int, int, float]], seed: int) -> None:
    ranks = np.concatenate([np.full(length, rank) for rank, length, _ in runs])
    arousal = np.concatenate([np.full(length, level) for _, length, level in runs])
    arousal = arousal + np.random.default_rng(seed).normal(0, 0.2, len(arousal))
    result = smoothed(ranks, arousal)
    assert len(result) == len(ranks)
    assert set(result) <= set(ranks)
    found = sections(result)
    assert len(found) == 1 or min(length for _, length in found) >= MIN_SECTION
    np.testing.assert_array_equal(smoothed(result, arousal), result)
    if min(length for _, length in sections(ranks)) >= MIN_SECTION:
        np.testing.assert_array_equal(result, ranks)


def test_a_short_section_joins_the_neighbour_nearer_in_arousal() -> None:
    ranks = np.repeat([0, 1, 2], [10, 5, 10])
    for level, expected in ((3.0, [(0, 15), (2, 10)]), (6.5, [(0, 10), (2, 15)])):
        assert sections(smoothed(ranks, np.repeat([2.0, level, 7.0], [10, 5, 10]))) == expected
    assert sections(smoothed(np.repeat([1, 0, 1], [10, 3, 10]), np.repeat([5.0, 3, 5], [10, 3, 10]))) == [
        (1, 23)
    ]


def test_shares_are_of_a_normal_distribution() -> None:
    arousal, valence = np.array([2.0, 5.0, 7.3]), np.array([4.0, 5.0, 4.9])
    got = SHARES.of(arousal, valence)
    np.testing.assert_allclose(got[:, 0], ndtr((4 - arousal) / 0.7), atol=1e-12)
    np.testing.assert_allclose(got[:, 2], ndtr((arousal - 6) / 0.7) * ndtr((valence - 4.5) / 0.8), atol=1e-12)
    np.testing.assert_allclose(got.sum(axis=1), 1)


def test_the_windows_give_the_level_and_the_course_the_shape() -> None:
    course = np.repeat([2.0, 5.0], 30)
    rows = course_ribbon(windows(5, 5, 6, 7, 7), course, SHARES)
    assert rows[:, 1].mean() == pytest.approx(6)
    np.testing.assert_allclose(np.diff(rows[:, 1]), np.diff(course))
    assert sections(rows[:, 0]) == [(1, 30), (2, 30)]


def test_a_track_of_one_level_has_the_zone_of_its_windows() -> None:
    for level in (2.0, 5.0, 8.0):
        of_windows = windows(level, level, level)
        rows = course_ribbon(of_windows, np.full(40, 4.4), SHARES)
        assert sections(rows[:, 0]) == [(int(of_windows.probabilities[0].argmax()), 40)]


def test_purple_needs_the_valence_that_the_windows_tell() -> None:
    rows = course_ribbon(windows(7.5, 7.5, valence=2.0), np.full(30, 5.0), SHARES)
    assert sections(rows[:, 0]) == [(1, 30)]


def test_a_heads_borders_count() -> None:
    """It calls these windows PURPLE, whose arousal lies amid GREEN."""
    said = windows(5.0, 5.0, 5.0)
    said = WindowEstimates(np.tile(np.float32([0.05, 0.15, 0.8]), (3, 1)), said.arousal, said.valence)
    rows = course_ribbon(said, np.repeat([5.0, 3.0], 20), SHARES)
    assert sections(rows[:, 0]) == [(2, 20), (1, 20)] or sections(rows[:, 0]) == [(2, 20), (0, 20)]


def test_rating_again_moves_the_level_and_keeps_the_shape() -> None:
    course = 5 + np.sin(np.arange(40) / 4)
    once = course_ribbon(windows(4, 5, 6), course, SHARES)
    again = course_ribbon(windows(4, 5, 6), once[:, 1], SHARES)
    np.testing.assert_allclose(again, once)
    moved = course_ribbon(windows(5, 6, 7), once[:, 1], SHARES)
    np.testing.assert_allclose(moved[:, 1], once[:, 1] + 1)


def test_windows_alone_give_a_row_per_frame() -> None:
    # 30 s: windows at 0, 5, 10, 15 and 20 s.
    rows = window_ribbon(windows(2, 2, 2, 8, 8), 30.2)
    assert rows.shape == (60, 2)
    np.testing.assert_allclose(rows[:30, 1], 2)
    np.testing.assert_allclose(rows[30:40, 1], 5, err_msg="held by one window of each")
    np.testing.assert_allclose(rows[40:, 1], 8)
    assert set(rows[:30, 0]) == {0}
    assert set(rows[40:, 0]) == {2}


def test_the_last_window_ends_with_the_track() -> None:
    # 12 s: windows at 0 and at 2 s.
    rows = window_ribbon(windows(2, 8), 12.0)
    np.testing.assert_allclose(rows[:4, 1], 2)
    np.testing.assert_allclose(rows[4:20, 1], 5)
    np.testing.assert_allclose(rows[20:, 1], 8)


@pytest.mark.parametrize("seconds", [0.5, 3.0, 9.9])
def test_a_track_shorter_than_a_window_has_a_ribbon(seconds: float) -> None:
    for rows in (
        window_ribbon(windows(3), seconds),
        course_ribbon(windows(3), np.full(int(seconds / 0.5), 7.0), SHARES),
    ):
        assert len(rows) == int(seconds / 0.5)
        np.testing.assert_allclose(rows[:, 1], 3)


@pytest.mark.parametrize("block", [1_000, 11_025, 300_000])
def test_frames_are_the_same_whatever_the_blocks(block: int) -> None:
    samples = render(compose(7, energy=0.6, duration=30.0), rate=SAMPLE_RATE).mean(axis=1).astype(np.float32)
    whole, parts = TrackAccumulator(), TrackAccumulator()
    whole.push(samples)
    for first in range(0, len(samples), block):
        parts.push(samples[first : first + block])
        parts.so_far()
    expected, got = whole.result(), parts.result()
    assert expected is not None
    assert got is not None
    assert expected.frames.shape == (60, len(RIBBON_COLUMNS))
    scale = np.abs(expected.frames).max(axis=0)
    np.testing.assert_allclose(got.frames / scale, expected.frames / scale, atol=1e-4)


def test_the_frame_model_sees_columns_that_exist() -> None:
    assert set(RIBBON_COLUMNS) < set(FRAME_COLUMNS)
    assert len(RIBBON_COLUMNS) == 41
