"""`moodzone-train suggest`: whose label would teach most."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF

from moodzone_agent.features.spec import FEATURE_NAMES
from moodzone_agent.library.store import Library
from moodzone_agent.pipeline import scan
from moodzone_agent.types import Label, LabelOrigin, Zone
from tests.trainer.music import make_track
from trainer import cli
from trainer.finetuning.heads import GAMMA
from trainer.finetuning.suggest import spread_out

Run = Callable[..., list[str]]


def test_variances_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    candidates, labelled = (rng.normal(size=(count, len(FEATURE_NAMES))) for count in (12, 5))
    weights = np.array([1.0, 1.0, 0.2, 1.0, 0.5])
    uncertainty = rng.uniform(0.2, 1.0, 12)
    chosen = spread_out(candidates, labelled, weights, uncertainty, count=4)
    known, noise = labelled, 4 / 3 / weights
    for place, variance in chosen:
        process = GaussianProcessRegressor(RBF((0.5 / GAMMA) ** 0.5), alpha=noise, optimizer=None)
        process.fit(known, np.zeros(len(known)))
        _, deviation = process.predict(candidates, return_std=True)
        assert variance == pytest.approx(deviation[place] ** 2)
        known, noise = np.vstack((known, candidates[place])), np.append(noise, 4 / 3)
    assert len({place for place, _ in chosen}) == 4


def test_copies_are_suggested_once_before_others() -> None:
    """What a label teaches of a track it teaches of those that are alike."""
    rng = np.random.default_rng(1)
    kinds = 3 * rng.normal(size=(3, len(FEATURE_NAMES)))
    candidates = np.repeat(kinds, 4, axis=0)
    chosen = spread_out(
        candidates, rng.normal(size=(1, len(FEATURE_NAMES))), np.ones(1), np.ones(12), count=3
    )
    assert sorted(place // 4 for place, _ in chosen) == [0, 1, 2]


def test_what_the_head_is_sure_of_comes_last() -> None:
    rng = np.random.default_rng(1)
    candidates = 3 * rng.normal(size=(6, len(FEATURE_NAMES)))
    uncertainty = np.array([0.1, 0.9, 0.5, 0.3, 0.7, 0.2])
    chosen = spread_out(candidates, candidates[:1] + 9, np.ones(1), uncertainty, count=10)
    assert [place for place, _ in chosen] == [1, 4, 2, 3, 5, 0]


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine tracks, three of which are labelled, one of these with a copy."""
    folder = tmp_path_factory.mktemp("music").resolve()
    for seed in range(9):
        make_track(folder / f"{seed}.flac", seed, artist=f"Artist {seed}", title=f"Title {seed}")
    shutil.copyfile(folder / "0.flac", folder / "copy.flac")
    labels = "".join(f"{folder / f'{track}.flac'},{zone}\n" for track, zone in enumerate(Zone))
    (folder / "labels.csv").write_text(f"path,zone\n{labels}", encoding="utf-8")
    return folder


@pytest.fixture
def run(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Run:
    """Run `suggest` on the labels; returns the lines on stdout, or on stderr if it fails."""
    monkeypatch.setenv("MOODZONE_HOME", str(tmp_path / "home"))

    def run(*arguments: str | Path, code: int = 0) -> list[str]:
        common = ["moodzone-train", "suggest", "--data", str(music / "labels.csv"), "--jobs", "2"]
        monkeypatch.setattr(sys, "argv", [*common, *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        said = capfd.readouterr()
        assert stop.value.code == code, said.err
        return (said.err if code else said.out).splitlines()

    return run


def test_tracks_of_a_folder_without_a_label(run: Run, music: Path) -> None:
    lines = run("--music", music, "--count", 4)
    unlabelled = {str(music / f"{track}.flac") for track in range(3, 9)}
    assert len(set(lines)) == 4
    assert set(lines) < unlabelled
    assert run("--music", music, "--count", 20)[:4] == lines
    assert set(run("--music", music)) == unlabelled


def test_tracks_of_the_agents_library(run: Run, music: Path, tmp_path: Path) -> None:
    """Labels there count as labels, too."""
    assert "moodzone scan" in run(code=2)[-1]
    (tmp_path / "home").mkdir(exist_ok=True)
    with Library.open(tmp_path / "home" / "library.sqlite") as library:
        list(scan([music], library, None, jobs=2))
        track = library.track_of(music / "3.flac")
        assert track is not None
        library.add_label(Label(track.audio_id, Zone.GREEN, LabelOrigin.ASKED, "test", 0))
    assert set(run()) == {str(music / f"{track}.flac") for track in range(4, 9)}
