"""What moves a track's zone: the right group, with the right sign, in the right words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from moodzone_agent.audio.decode import SAMPLE_RATE
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.demo.music import compose, render
from moodzone_agent.features.spec import FEATURE_NAMES, FEATURES_VERSION
from moodzone_agent.features.track import TrackAccumulator
from moodzone_agent.library.records import Analysis
from moodzone_agent.library.store import Library
from moodzone_agent.types import Zone
from moodzone_agent.why import FEWEST_TRACKS, Group, effects, group_of, library_medians, reasons

Floats = NDArray[np.float32]


def samples(energy: float, *, seed: int = 5, tempo: float | None = None) -> Floats:
    song = compose(seed, energy=energy, duration=15.0, tempo=tempo)
    return np.asarray(render(song, rate=SAMPLE_RATE).mean(axis=1), np.float32)


def windows_of(clip: Floats) -> Floats:
    accumulator = TrackAccumulator()
    accumulator.push(np.asarray(clip, np.float32))
    features = accumulator.result()
    assert features is not None
    return features.windows


@pytest.fixture(scope="module")
def calm() -> Floats:
    return windows_of(samples(0.1))


@pytest.fixture(scope="module")
def energetic() -> Floats:
    return windows_of(samples(1.0))


def test_every_feature_has_a_group_and_every_group_features() -> None:
    groups = [group_of(name) for name in FEATURE_NAMES]
    assert set(groups) == set(Group)
    assert group_of("tempo") is Group.TEMPO
    assert group_of("rms_energy") is Group.LOUDNESS
    assert group_of("brightness") is Group.BRIGHTNESS
    assert group_of("drop_count") is Group.DROPS
    assert group_of("mfcc_1_mean") is Group.TONE


@pytest.mark.parametrize("group", Group)
def test_a_track_that_differs_in_one_group_is_explained_by_it(
    model: ZoneModel, calm: Floats, energetic: Floats, group: Group
) -> None:
    """Both ways: the group of an energetic track in a calm one, and of a calm one in an energetic one."""
    columns = [at for at, name in enumerate(FEATURE_NAMES) if group_of(name) is group]
    for usual, other in ((calm, energetic), (energetic, calm)):
        medians = usual.mean(axis=0)
        track = medians[None].copy()
        track[:, columns] = other.mean(axis=0)[columns]
        estimate, without = (
            model.estimate(rows, model.rate(rows)) for rows in (track, np.ascontiguousarray(medians[None]))
        )
        rank = estimate.zone.rank
        first, *others = effects(model, track, medians)
        assert {reason.change for reason in others} == {0.0}
        assert first.change == pytest.approx(
            estimate.probabilities[rank] - without.probabilities[rank], abs=1e-6
        )
        if first.change:
            assert first.group is group
        if estimate.zone is not without.zone:  # the group alone made the zone
            assert first.change > 0


def test_what_makes_a_track_energetic_speaks_for_purple(
    model: ZoneModel, calm: Floats, energetic: Floats
) -> None:
    [first, *_] = told = reasons(model, energetic, calm.mean(axis=0))
    assert model.estimate(energetic, model.rate(energetic)).zone is not Zone.YELLOW
    assert first.change > 0.02
    assert 1 <= len(told) <= 5
    assert [abs(reason.change) for reason in told] == sorted(
        (abs(reason.change) for reason in told), reverse=True
    )


def test_a_track_like_the_library_has_no_reasons(model: ZoneModel, calm: Floats) -> None:
    medians = calm.mean(axis=0)
    assert reasons(model, np.ascontiguousarray(medians[None]), medians) == []
    assert effects(model, calm, medians)[0].words.endswith("your library")


def words(model: ZoneModel, clip: Floats, usual: Floats) -> dict[Group, str]:
    medians = windows_of(usual).mean(axis=0)
    return {reason.group: reason.words for reason in effects(model, windows_of(clip), medians)}


def test_words_fit_what_is_heard(model: ZoneModel) -> None:
    clip = samples(0.7)
    assert words(model, clip * 0.5, clip)[Group.LOUDNESS] == "quieter than most of your library"
    assert words(model, clip, clip * 0.5)[Group.LOUDNESS] == "louder than most of your library"
    dark = np.asarray(sosfilt(butter(4, 1500, fs=SAMPLE_RATE, output="sos"), clip), np.float32)
    assert words(model, dark, clip)[Group.BRIGHTNESS] == "darker than most of your library"
    assert words(model, clip, dark)[Group.BRIGHTNESS] == "brighter than most of your library"
    thin = np.asarray(
        sosfilt(butter(4, 200, btype="highpass", fs=SAMPLE_RATE, output="sos"), clip), np.float32
    )
    assert words(model, thin, clip)[Group.BASS] == "less bass than most of your library"
    slow, fast = (samples(0.7, tempo=tempo) for tempo in (100.0, 140.0))
    assert words(model, fast, slow)[Group.TEMPO] == "faster than most of your library"
    assert words(model, clip, clip)[Group.TEMPO] == "as in most of your library"
    assert words(model, clip, slow)[Group.TONE] == "unlike most of your library"


def test_medians_of_a_library(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    means = []
    with Library.open(tmp_path / "library.sqlite") as library:
        for number in range(2 * FEWEST_TRACKS - 1):
            windows = random.normal(size=(1 + number, len(FEATURE_NAMES))).astype(np.float32)
            analysis = Analysis(
                f"{number:064x}", 10.0, 120.0, (), FEATURES_VERSION, windows.mean(axis=0), windows
            )
            library.put_analysis(analysis)
            library.put_analysis(replace(analysis, features_version=1, windows=windows * 9))
            means.append(windows.mean(axis=0))
            medians = library_medians(library)
            assert (medians is None) == (len(means) < FEWEST_TRACKS)
            if medians is not None:
                np.testing.assert_allclose(medians, np.median(means, axis=0), rtol=1e-4, atol=1e-6)
        some = [analysis.audio_id for analysis in library.analyses(FEATURES_VERSION, at_most=3)]
        assert some == sorted(some)
        assert len(some) == 3
