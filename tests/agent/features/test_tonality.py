"""Pitch, chords and tuning on tones whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from moodzone_agent.audio.rate import SAMPLE_RATE
from moodzone_agent.features.frames import FrameAccumulator
from moodzone_agent.features.spec import CHORDS, FRAME_COLUMNS, PITCH_CLASSES
from moodzone_agent.features.tonality import tonal_features

Samples = NDArray[np.float32]
C5 = 523.2511
NAMES = (
    "key_clarity",
    "mode_majorness",
    "chroma_entropy",
    "chroma_change",
    *CHORDS,
    "tuning_clarity",
    *"1248",
)


def tones(*hertz: float, seconds: float = 5.0) -> Samples:
    """Sines with two weaker overtones."""
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    waves = [np.sin(2 * np.pi * h * k * time) / 2 ** (k - 1) for h in hertz for k in (1, 2, 3)]
    return (0.1 * np.sum(waves, axis=0)).astype(np.float32)


def chord(semitones: tuple[int, ...], root: float = C5) -> Samples:
    return tones(*(root * 2 ** (step / 12) for step in semitones))


def columns_of(samples: Samples, first: str, count: int) -> NDArray[np.float32]:
    accumulator = FrameAccumulator()
    accumulator.push(samples)
    start = FRAME_COLUMNS.index(first)
    return accumulator.finish().columns[:, start : start + count]


def features_of(samples: Samples) -> dict[str, float]:
    parts = (("chroma_c", 12), ("hpcp_c", 12), ("tuning_cos", 2))
    values = tonal_features(*(columns_of(samples, *part)[None] for part in parts))[0]
    return dict(zip(NAMES, values.tolist(), strict=True))


def test_the_pitch_classes_of_a_chord_stand_out() -> None:
    profile = columns_of(tones(C5, C5 * 2 ** (4 / 12), C5 * 2 ** (7 / 12)), "hpcp_c", 12).mean(axis=0)
    assert {PITCH_CLASSES[index] for index in np.argsort(profile)[-3:]} == {"c", "e", "g"}
    assert profile.max() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("name", ["major", "minor", "diminished", "augmented", "suspended"])
def test_a_triad_is_likest_to_its_own_name(name: str) -> None:
    found = features_of(chord(CHORDS[name]))
    triads = {triad: found[triad] for triad in ("major", "minor", "diminished", "augmented", "suspended")}
    assert max(triads, key=triads.__getitem__) == name


def test_what_sounds_in_one_tuning_is_clear_and_noise_is_not() -> None:
    in_tune = features_of(chord((0, 4, 7)))["tuning_clarity"]
    sharp_all_over = features_of(chord((0, 4, 7), root=C5 * 2 ** (0.4 / 12)))["tuning_clarity"]
    against_each_other = features_of(tones(C5, C5 * 2 ** (4.5 / 12)))["tuning_clarity"]
    noise = np.random.default_rng(0).standard_normal(5 * SAMPLE_RATE).astype(np.float32) * 0.1
    assert in_tune > 0.8
    assert sharp_all_over == pytest.approx(in_tune, abs=0.15)
    assert features_of(noise)["tuning_clarity"] < 0.4
    assert against_each_other < in_tune - 0.3


def test_harmony_that_comes_back_repeats() -> None:
    one, other = chord((0, 4, 7)), chord((2, 5, 9))
    half = SAMPLE_RATE // 2
    turns = np.concatenate([(one if turn % 2 else other)[:half] for turn in range(20)])
    found = features_of(turns)
    assert found["2"] > 0.95
    assert found["1"] < found["2"] - 0.2
    assert features_of(one)["1"] > 0.99


def test_silence_has_no_pitch_and_nothing_breaks() -> None:
    silence = np.zeros(SAMPLE_RATE * 3, np.float32)
    assert not columns_of(silence, "tuning_cos", 14).any()
    assert np.isfinite(list(features_of(silence).values())).all()
