"""Pretraining end to end, on a small made-up DEAM; and the shipped bundle's own promises."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from moodzone_agent.classify.bundle import PRETRAINED, load_bundle
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.demo.encode import write_audio
from moodzone_agent.demo.music import compose, render
from moodzone_agent.errors import BundleError, DataSetError, UsageError
from moodzone_agent.features.spec import FEATURE_NAMES
from moodzone_agent.library.store import Library
from moodzone_agent.pipeline import scan
from moodzone_agent.rerating import rate_stored
from moodzone_agent.types import Cuts
from tests.trainer.deam_folder import make_deam
from trainer.export.ensemble import check_parity, to_onnx
from trainer.pretraining.ensemble import AffectEnsemble, zone_probabilities
from trainer.pretraining.pretrain import pretrain

# onnx's own code calls what newer NumPy and protobuf deprecate.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def run(deam: Path, out: Path, said: list[str] | None = None) -> dict[str, Any]:
    return pretrain(
        deam,
        out,
        seed=3,
        cuts=Cuts(),
        jobs=2,
        say=(said if said is not None else []).append,
        progress=lambda done, of: None,
    )


@pytest.fixture(scope="module")
def deam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deam")
    make_deam(folder)
    (folder / "MEMD_audio" / "1001.flac").write_bytes(b"not music")
    return folder


@pytest.fixture(scope="module")
def trained(deam: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], list[str]]:
    out, said = tmp_path_factory.mktemp("out") / "bundle", []
    return out, run(deam, out, said), said


def test_it_says_what_it_did(trained: tuple[Path, dict[str, Any], list[str]]) -> None:
    _, manifest, said = trained
    assert any("exchanged in the released labels of 20 songs" in line for line in said)
    assert any("song 1001" in line for line in said)
    assert manifest["trained_on"]["songs"] == 59
    assert manifest["trained_on"]["left_out"] == {"audio cannot be read": 1}


def test_it_learns_what_is_there_to_learn(trained: tuple[Path, dict[str, Any], list[str]]) -> None:
    """Arousal follows the songs' energy; valence was drawn at random."""
    metrics = trained[1]["metrics"]
    assert metrics["cv"]["arousal"]["r2"] > 0.6
    assert metrics["lockbox"]["arousal"]["r2"] > 0.4
    assert metrics["cv"]["valence"]["r2"] < 0.3


def test_the_bundle_can_be_loaded_and_run(trained: tuple[Path, dict[str, Any], list[str]]) -> None:
    bundle = load_bundle(trained[0])
    estimates = ZoneModel(bundle).rate(np.zeros((4, len(FEATURE_NAMES)), np.float32))
    np.testing.assert_allclose(estimates.probabilities.sum(axis=1), 1, atol=1e-6)
    assert ((estimates.arousal >= 1) & (estimates.arousal <= 9)).all()
    assert "non-commercial" in (trained[0] / "LICENCE.txt").read_text()


def test_the_ribbon_is_judged_on_the_dynamic_labels(trained: tuple[Path, dict[str, Any], list[str]]) -> None:
    """They are the songs' own labels here, the same all along."""
    figures = trained[1]["metrics"]["ribbon"]
    assert figures["cv"]["songs"] + figures["lockbox"]["songs"] == 59
    assert figures["cv"]["labels"] + figures["lockbox"]["labels"] <= 590
    for way in ("windows", "frames", "combined", "mean"):
        assert figures["cv"][way]["arousal"]["pearson"] > 0.6
    assert "songs_2015" not in figures
    assert figures["parity_on_lockbox"] <= 1e-5


def test_a_ribbon_keeps_its_course_when_zones_move(
    trained: tuple[Path, dict[str, Any], list[str]], tmp_path: Path
) -> None:
    music = tmp_path / "music"
    music.mkdir()
    write_audio(music / "song.flac", render(compose(4, energy=0.5, duration=40.0), rate=22_050), rate=22_050)
    bundle = load_bundle(trained[0])
    with Library.open(tmp_path / "library.db") as library:
        (found,) = scan([music], library, ZoneModel(bundle), jobs=1)
        assert found.track is not None
        assert found.track.estimate is not None
        before = found.track.ribbon
        assert before.shape == (80, 2)
        assert before[:, 1].std() > 0.05
        assert before[:, 1].mean() == pytest.approx(found.track.estimate.arousal, abs=0.05)
        assert rate_stored(library, ZoneModel(bundle, Cuts(1.0, 1.0, 1.0))) == 1
        after = library.ribbon(found.track.audio_id)
    np.testing.assert_allclose(after[:, 1], before[:, 1], atol=0.04)
    assert set(after[:, 0]) == {2}


def test_songs_without_dynamic_labels_give_a_bundle_without_frame_model(deam: Path, tmp_path: Path) -> None:
    bare = tmp_path / "deam"
    shutil.copytree(deam, bare)
    for path in bare.glob("annotations/*/dynamic*/valence.csv"):
        path.unlink()
    said: list[str] = []
    manifest = run(bare, tmp_path / "out", said)
    assert any("only 0 songs have dynamic labels" in line for line in said)
    assert "ribbon" not in manifest["metrics"]
    assert load_bundle(tmp_path / "out").ribbon_model is None


def test_same_data_and_seed_give_the_same_figures(
    deam: Path, trained: tuple[Path, dict[str, Any], list[str]], tmp_path: Path
) -> None:
    again = run(deam, tmp_path / "again")
    assert again["metrics"] == trained[1]["metrics"]
    assert again["files"] == trained[1]["files"]


def test_an_old_bundle_is_replaced_and_anything_else_is_not(deam: Path, tmp_path: Path) -> None:
    (tmp_path / "keep.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not a model bundle"):
        run(deam, tmp_path)
    assert (tmp_path / "keep.txt").read_text() == "mine"


def test_too_few_songs_are_refused(tmp_path: Path) -> None:
    make_deam(tmp_path / "deam", songs=12, seconds=1.0)
    with pytest.raises(DataSetError, match="at least 50"):
        run(tmp_path / "deam", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def ensemble() -> tuple[AffectEnsemble, np.ndarray]:
    rng = np.random.default_rng(0)
    rows = rng.normal(0, 30, (260, len(FEATURE_NAMES))).astype(np.float32)
    targets = np.stack([5 + np.tanh(rows[:, 0] / 30), 5 + rows[:, 1] / 60], axis=1)
    return AffectEnsemble.fit(rows[:200], targets[:200], np.ones(200), seed=0), rows[200:]


def test_graph_agrees_with_the_model_even_outside_its_range(
    ensemble: tuple[AffectEnsemble, np.ndarray], tmp_path: Path
) -> None:
    model, rows = ensemble
    spread = np.array([0.8, 1.1])
    path = tmp_path / "zone.onnx"
    onnx.save(to_onnx(model, spread, len(FEATURE_NAMES)), path)
    assert check_parity(path, model, spread, rows) < 1e-5
    assert check_parity(path, model, spread, rows * 1000) < 1e-5


def test_a_graph_that_disagrees_is_refused(
    ensemble: tuple[AffectEnsemble, np.ndarray], tmp_path: Path
) -> None:
    model, rows = ensemble
    path = tmp_path / "zone.onnx"
    onnx.save(to_onnx(model, np.array([0.8, 1.1]), len(FEATURE_NAMES)), path)
    with pytest.raises(BundleError, match="differs from the trained model"):
        check_parity(path, model, np.array([0.9, 1.1]), rows)


def test_zone_probabilities_are_shares_of_a_distribution() -> None:
    """Against drawing from the distribution they integrate."""
    affect, spread, cuts = np.array([[4.2, 5.0], [6.3, 4.4], [7.5, 7.0]]), np.array([0.8, 0.9]), Cuts()
    rng = np.random.default_rng(1)
    for row, probabilities in zip(affect, zone_probabilities(affect, spread, cuts), strict=True):
        drawn = row + rng.normal(size=(40_000, 2)) * spread
        ranks = [cuts.zone(*point).rank for point in drawn]
        np.testing.assert_allclose(probabilities, np.bincount(ranks, minlength=3) / 40_000, atol=0.01)


def test_the_shipped_bundle_reaches_what_was_promised() -> None:
    metrics = load_bundle().manifest["metrics"]
    assert metrics["cv"]["arousal"]["r2"] >= 0.67
    assert metrics["cv"]["valence"]["r2"] >= 0.39
    assert metrics["cv"]["zone"]["accuracy"] >= 0.70
    assert sum(path.stat().st_size for path in PRETRAINED.iterdir()) <= 16e6


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"features_version": 999}, "features version 999"),
        ({"feature_names": ["tempo"]}, "other names"),
        ({"zones": ["RED"]}, "other names"),
        ({"schema": 99}, "schema 99"),
        ({"files": {}}, "does not list"),
        ({"files": {"zone.onnx": "0" * 64}}, "damaged"),
        ({"files": {"../zone.onnx": "0" * 64, "zone.onnx": ""}}, "cannot be read|damaged"),
        ({"sure_from": None}, "not a manifest"),
    ],
)
def test_bundles_that_do_not_fit_are_refused(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(PRETRAINED, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | change))
    with pytest.raises(BundleError, match=complaint):
        load_bundle(folder)


def test_damaged_bundles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        load_bundle(tmp_path)
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(BundleError, match="not a manifest"):
        load_bundle(tmp_path)
    folder = tmp_path / "bundle"
    shutil.copytree(PRETRAINED, folder)
    content = bytearray((folder / "zone.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "zone.onnx").write_bytes(content)
    with pytest.raises(BundleError, match="damaged"):
        load_bundle(folder)
