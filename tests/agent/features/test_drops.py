"""Drops against the truth of songs that try to deceive, and on levels made for the purpose."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from moodzone_agent.demo.music import Song, Style, compose
from moodzone_agent.features.drops import find_drops
from moodzone_agent.features.frames import FrameAccumulator
from moodzone_agent.features.spec import FRAME_COLUMNS
from trainer.pretraining.tempo import samples_of, song_of


def drops_of(song: Song) -> list[float]:
    accumulator = FrameAccumulator()
    accumulator.push(samples_of(song))
    return [drop.seconds for drop in find_drops(accumulator.finish().columns)]


@pytest.mark.parametrize("seed", [4004, 4005, 4006, 4007, 4013, 4022])
def test_fake_drops_are_no_drops(seed: int) -> None:
    song = song_of(seed, 90.0)
    assert song.fake_drops
    assert drops_of(song) == pytest.approx(song.drops, abs=1.0)


@pytest.mark.parametrize(
    ("seed", "style", "tempo"),
    [(3098, Style.HALF_TIME, 60.8), (3095, Style.SWING, 68.1), (2373, Style.BREAKBEAT, 62.4)],
)
def test_gaps_between_slow_kicks_after_a_drop_are_no_breaks(seed: int, style: Style, tempo: float) -> None:
    """With energies at which the bass doesn't fill them."""
    song = compose(seed, style=style, tempo=tempo, duration=120.0, fake_drop=True)
    assert drops_of(song) == pytest.approx(song.drops, abs=1.0)


def low_band(*stretches: tuple[float, float]) -> NDArray[np.float32]:
    """Frame columns whose low band has so many dB for so many seconds, one stretch after another."""
    levels = np.concatenate([np.full(round(2 * seconds), level) for level, seconds in stretches])
    columns = np.zeros((levels.size, len(FRAME_COLUMNS)), np.float32)
    for name, column in (("level", levels), ("rms", 10 ** (levels / 20)), ("sub_band_1", levels)):
        columns[:, FRAME_COLUMNS.index(name)] = column
    columns[:, FRAME_COLUMNS.index("sub_band_2")] = -100
    return columns


GROOVE, BREAK = -10.0, -40.0


def seconds_of(*stretches: tuple[float, float]) -> list[float]:
    return [drop.seconds for drop in find_drops(low_band(*stretches))]


def test_a_groove_after_a_break_is_a_drop_and_one_bar_is_not() -> None:
    assert seconds_of((GROOVE, 30), (BREAK, 15), (GROOVE, 30)) == [45]
    assert seconds_of((GROOVE, 30), (BREAK, 15), (GROOVE, 2), (BREAK, 15), (GROOVE, 30)) == [62]
    assert seconds_of((GROOVE, 30), (BREAK, 2), (GROOVE, 30)) == []


def test_a_break_needs_a_groove_since_the_last_drop() -> None:
    drop = ((GROOVE, 30), (BREAK, 15), (GROOVE, 3.5))
    assert seconds_of(*drop, (BREAK, 4), (GROOVE, 30)) == [45]
    assert seconds_of(*drop, (GROOVE, 10), (BREAK, 15), (GROOVE, 30)) == [45, 73.5]
