"""One recording from every container: the same samples in time, and hardly ever another zone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

from moodzone_agent.audio.decode import AudioReader
from moodzone_agent.audio.rate import SAMPLE_RATE
from moodzone_agent.classify.bundle import load_bundle
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.demo.music import compose, render
from tests.agent.audio.containers import (
    DEAM,
    LOSSY,
    RATE,
    WRITERS,
    Comparison,
    compare,
    deam,
    report,
    synthesised,
)

Samples = NDArray[np.float32]
SECONDS = 7.3219


@pytest.fixture(scope="module")
def music() -> Samples:
    return render(compose(3, energy=0.8, duration=SECONDS), rate=RATE)


def lag(heard: Samples, expected: Samples) -> int:
    """Samples by which the first is later than the second, where their correlation is highest."""
    size = heard.size + expected.size
    correlation = np.fft.irfft(np.fft.rfft(heard, size) * np.fft.rfft(expected, size).conj(), size)
    best = int(correlation.argmax())
    return best if best < heard.size else best - size


@pytest.mark.parametrize("suffix", WRITERS)
def test_delay_and_padding_of_the_encoder_are_left_out(suffix: str, music: Samples, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    WRITERS[suffix](path, music)
    with AudioReader(path) as reader:
        heard = np.concatenate(list(reader.blocks()))
        assert reader.warnings == []
    expected = soxr.resample(music.mean(axis=1), RATE, SAMPLE_RATE)
    assert lag(heard, expected) == 0
    # An M4A's edit list counts milliseconds.
    assert heard.size == pytest.approx(expected.size, abs=SAMPLE_RATE // 1000 if suffix == ".m4a" else 1)
    both = min(heard.size, expected.size)
    for end in (slice(0, SAMPLE_RATE // 10), slice(both - SAMPLE_RATE // 10, both)):
        error = heard[end] - expected[end]
        assert np.sqrt(np.mean(error**2)) < 0.2 * np.sqrt(np.mean(expected[end] ** 2))


def assert_alike(comparisons: list[Comparison]) -> None:
    """Zones differ only where the model is unsure; 200 clips show that this is hardly ever so."""
    assert len({clip.by_suffix[".flac"].estimate.zone for clip in comparisons}) > 1
    for clip in comparisons:
        flac = clip.by_suffix[".flac"].estimate
        assert not clip.changed() or not flac.sure, list(report([clip]))
        for suffix in LOSSY:
            assert clip.by_suffix[suffix].estimate.arousal == pytest.approx(flac.arousal, abs=0.17)


def test_synthesised_clips_are_rated_alike_from_every_container(tmp_path: Path) -> None:
    assert_alike(list(compare(synthesised(3), ZoneModel(load_bundle()), tmp_path)))


@pytest.mark.shared
def test_real_clips_are_rated_alike_from_every_container(tmp_path: Path) -> None:
    """A few of those that `python -m tests.agent.audio.containers` counts."""
    if not DEAM.is_dir():
        pytest.skip("needs ../shared/data/deam")
    assert_alike(list(compare(deam(10), ZoneModel(load_bundle()), tmp_path)))
