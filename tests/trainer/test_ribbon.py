"""The frame model: what it may see, what it learns, and that its graph says the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from moodzone_agent.audio.rate import SAMPLE_RATE
from moodzone_agent.classify.bundle import RIBBON_MODEL, Bundle
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.demo.music import SectionKind, Song, compose, render
from moodzone_agent.errors import BundleError
from moodzone_agent.features.spec import FRAME_SECONDS, RIBBON_COLUMNS
from moodzone_agent.features.track import TrackAccumulator
from trainer.datasets.deam import aligned, load_deam
from trainer.pretraining.ribbon import FrameModel, Judged, Line, causal_inputs, check_parity, to_onnx

# onnx's own code calls what newer NumPy and protobuf deprecate.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

CALM = {SectionKind.BREAK, SectionKind.BUILD, SectionKind.FAKE_DROP}


def frames_of(song: Song) -> NDArray[np.float32]:
    accumulator = TrackAccumulator()
    accumulator.push(render(song, rate=SAMPLE_RATE).mean(axis=1).astype(np.float32))
    features = accumulator.result()
    assert features is not None
    return features.frames


def labels_of(song: Song, frames: int) -> NDArray[np.float64]:
    """By its energy, and less in a break."""
    middles = (np.arange(frames) + 0.5) * FRAME_SECONDS
    calm = np.array(
        [any(part.kind in CALM and part.start <= at < part.end for part in song.sections) for at in middles]
    )
    return np.stack([song.energy - 0.5 - 0.4 * calm, np.full(frames, 0.1)], axis=1)


@pytest.fixture(scope="module")
def model() -> FrameModel:
    songs = [compose(seed, energy=0.3 + 0.05 * seed, duration=60.0) for seed in range(8)]
    tracks = [frames_of(song) for song in songs]
    return FrameModel.fit(
        tracks, [labels_of(song, len(frames)) for song, frames in zip(songs, tracks, strict=True)]
    )


@pytest.fixture(scope="module")
def bundle(model: FrameModel, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundle")
    onnx.save(to_onnx(model), folder / RIBBON_MODEL)
    return Bundle(folder, "made-up", 0.5, {"files": {RIBBON_MODEL: ""}})


@pytest.fixture(scope="module")
def song() -> Song:
    return next(song for seed in range(100, 120) if (song := compose(seed, energy=0.6, duration=90.0)).drops)


def random_frames(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(4).normal(0, 20, (count, len(RIBBON_COLUMNS))).astype(np.float32)


def test_inputs_are_means_of_what_has_been() -> None:
    frames = random_frames(30)
    inputs = causal_inputs(frames)
    changes = np.abs(np.diff(frames, axis=0))
    np.testing.assert_allclose(inputs[0], np.concatenate((frames[0], frames[0], frames[0] * 0)), rtol=1e-6)
    expected = (frames[19:21].mean(axis=0), frames[11:21].mean(axis=0), changes[10:20].mean(axis=0))
    np.testing.assert_allclose(inputs[20], np.concatenate(expected), rtol=1e-4, atol=1e-5)


def test_the_future_changes_nothing(model: FrameModel, bundle: Bundle, song: Song) -> None:
    frames = frames_of(song)
    changed = frames.copy()
    changed[80:] = changed[80:][::-1] * 0.5
    for say in (lambda rows: model.predict(rows)[:, 0], ZoneModel(bundle).course):
        before, after = say(frames), say(changed)
        np.testing.assert_allclose(after[:80], before[:80], atol=1e-6)
        assert np.abs(after[80:] - before[80:]).max() > 0.05


@pytest.mark.parametrize("count", [1, 2, 9, 127, 128, 129, 400])
def test_blocks_make_no_difference(model: FrameModel, bundle: Bundle, count: int) -> None:
    """The program runs it block by block; `predict` doesn't."""
    frames = random_frames(count)
    course = ZoneModel(bundle).course(frames)
    assert course is not None
    np.testing.assert_allclose((course - 5) / 4, model.predict(frames)[:, 0], atol=1e-5)


def test_no_frames_have_no_course(bundle: Bundle) -> None:
    course = ZoneModel(bundle).course(random_frames(0))
    assert course is not None
    assert course.shape == (0,)


def test_graph_agrees_with_the_model_even_outside_its_range(
    model: FrameModel, bundle: Bundle, song: Song
) -> None:
    tracks = [frames_of(song), frames_of(song) * 1000, random_frames(1), frames_of(song) * 0]
    assert check_parity(bundle.folder / RIBBON_MODEL, model, tracks) < 1e-5


def test_a_graph_that_disagrees_is_refused(bundle: Bundle, song: Song) -> None:
    frames = frames_of(song)
    other = FrameModel.fit([frames], [labels_of(song, len(frames)) * 0.5])
    with pytest.raises(BundleError, match="differs from the trained one"):
        check_parity(bundle.folder / RIBBON_MODEL, other, [frames])


def test_frames_without_labels_are_left_out(song: Song) -> None:
    frames = frames_of(song)[:60]
    labels = labels_of(song, 60)
    labels[:, 0] = np.linspace(-1, 1, 60)
    half = labels.copy()
    half[30:] = np.nan
    assert FrameModel.fit([frames], [half]).predict(frames)[:30, 0].mean() == pytest.approx(-0.5, abs=0.1)


def test_arousal_rises_at_a_drop(bundle: Bundle, song: Song) -> None:
    """In a song that it wasn't trained on: from the seconds before the drop to those when its means have filled."""
    course = ZoneModel(bundle).course(frames_of(song))
    assert course is not None
    for drop in song.drops:
        at = round(drop / FRAME_SECONDS)
        assert course[at + 4 : at + 10].mean() > course[at - 8 : at - 1].mean() + 0.3


def test_figures_of_the_three_ways() -> None:
    rng = np.random.default_rng(3)
    levels = rng.normal(0, 0.3, (40, 1, 2))
    moves = rng.normal(0, 0.1, (40, 20, 2))
    truth = [*(levels + moves)]
    truth[0][5] = np.nan
    figures = Judged(
        tuple(range(1981, 2021)),
        truth,
        windows=[np.repeat(level, 20, axis=0) for level in levels],
        frames=[level + move for level, move in zip(levels[::-1], moves, strict=True)],
    )
    whole = figures.figures()
    assert (whole["songs"], whole["labels"]) == (40, 799)
    assert whole["windows"]["arousal"]["rmse"] == pytest.approx(0.1, abs=0.01)
    assert whole["windows"]["arousal"]["within"] == 0
    assert whole["frames"]["valence"]["within"] > 0.99
    assert whole["combined"]["valence"]["rmse"] < 0.05 < whole["windows"]["valence"]["rmse"]
    assert figures.only(above=2000).figures()["songs"] == 20
    assert (figures + figures).figures()["songs"] == 80


def test_a_line_joins_the_scales() -> None:
    rng = np.random.default_rng(1)
    windows = [rng.uniform(1, 9, (20, 2)) for _ in range(5)]
    labels = [np.array([0.2, 0.1]) * rows - np.array([0.8, 0.4]) for rows in windows]
    labels[2][3:] = np.nan
    line = Line.fit(windows, labels)
    np.testing.assert_allclose(line.slopes, [0.2, 0.1])
    np.testing.assert_allclose(line.map(windows[0]), labels[0])


def test_labels_lie_beside_the_frames_of_clips_and_of_whole_items() -> None:
    labels = np.full((90, 2), np.nan)
    labels[30:] = np.arange(30, 90)[:, None]
    clip = aligned(labels, duration=10.02, frames=20)
    np.testing.assert_array_equal(clip[:, 0], np.arange(60, 80))
    whole = aligned(labels, duration=45.1, frames=90)
    np.testing.assert_array_equal(whole, labels)
    assert np.isnan(aligned(labels, duration=45.1, frames=95)[90:]).all()
    assert np.isnan(aligned(None, duration=10.0, frames=20)).all()


@pytest.mark.shared
def test_the_real_labels(shared: Path) -> None:
    dynamic = load_deam(shared / "data" / "deam").dynamic
    assert len(dynamic) == 1802
    for labels in dynamic.values():
        assert np.isnan(labels[:30]).all()
        assert np.isfinite(aligned(labels, duration=10.02, frames=20)).all()
        assert np.nanmax(np.abs(labels)) <= 1
