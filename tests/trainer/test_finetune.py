"""From labelled files to a bundle with a user's head, by the command line; holdout and contest."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moodzone_agent.classify.bundle import load_bundle
from moodzone_agent.classify.pool import HEAD_INPUTS
from moodzone_agent.classify.registry import Registry
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.demo.encode import write_audio
from moodzone_agent.demo.music import compose, render
from moodzone_agent.types import LabelOrigin, Zone
from trainer.datasets.user import UserLabel
from trainer.finetuning.finetune import Contest, recipe_of
from trainer.finetuning.strategies import Labelled
from trainer.finetuning.user_rows import UserData, draw_salt, is_held_out, split

# onnx's own code calls what newer NumPy and protobuf deprecate.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

ROOT = Path(__file__).resolve().parents[2]


def user(count: int, *, origin: LabelOrigin = LabelOrigin.ASKED) -> UserData:
    ranks = np.arange(count) % 3
    tracks = tuple(
        UserLabel(f"id {number}", list(Zone)[rank], origin, f"artist {number // 2}", Path(f"{number}.mp3"))
        for number, rank in enumerate(ranks.tolist())
    )
    rows = np.zeros((count, len(HEAD_INPUTS)), np.float32)
    artists = tuple(track.artist for track in tracks)
    return UserData(Labelled(rows, ranks, np.ones(count), artists), tracks, np.full((count, 3), 1 / 3))


def test_a_fifth_is_held_out_by_artist_with_even_zones_and_for_ever() -> None:
    data = user(200)
    salt = draw_salt(data)
    assert salt is not None
    development, holdout = split(data, salt)
    assert not set(development.labelled.artists) & set(holdout.labelled.artists)
    assert np.bincount(holdout.labelled.ranks).tolist() == pytest.approx([200 / 15] * 3, abs=3)
    more = user(260)
    assert {track.audio_id for track in split(more, salt)[1].tracks} >= {
        track.audio_id for track in holdout.tracks
    }
    assert 0.1 < np.mean([is_held_out(f"new {number}", salt) for number in range(1000)]) < 0.3


def test_few_labels_and_weak_ones_are_not_held_out() -> None:
    assert draw_salt(user(49)) is None
    assert draw_salt(user(200, origin=LabelOrigin.WEAK)) is None
    assert len(split(user(200, origin=LabelOrigin.WEAK), "000")[1].tracks) == 0


@pytest.mark.parametrize(
    ("changes", "won"),
    [
        ({}, True),
        ({"gain": 0.01}, False),
        ({"holdout_gain": -0.06}, False),
        ({"holdout_gain": -0.04}, True),
        ({"judging": 39}, False),
        ({"holdout_tracks": 0, "holdout_gain": -1.0}, True),
    ],
)
def test_who_wins(changes: dict[str, Any], won: bool) -> None:
    figures: dict[str, Any] = {
        "champion": "c",
        "tracks": 100,
        "gain": 0.05,
        "gain_error": 0.02,
        "holdout_tracks": 20,
        "holdout_gain": 0.0,
        "holdout_error": 0.05,
        "judging": 60,
    }
    assert Contest(**(figures | changes)).is_won is won


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user to whom everything calm is YELLOW: cuts far from DEAM's."""
    folder = tmp_path_factory.mktemp("music")
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "zone", "artist", "title", "origin"])
        for number in range(54):
            energy = (number + 0.5) / 54
            samples = render(compose(number, energy=energy, duration=4.0), rate=22_050)
            path = folder / f"{number}.flac"
            write_audio(
                path, samples, rate=22_050, tags={"artist": f"artist {number % 18}", "title": str(number)}
            )
            zone = "yellow" if energy < 0.5 else "green" if energy < 0.75 else "purple"
            writer.writerow([path.name, zone, f"artist {number % 18}", number, "asked"])
    return folder / "labels.csv"


def run_command(module: str, home: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"from {module} import main; main()", *map(str, arguments)],
        env={**os.environ, "MOODZONE_HOME": str(home), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def train(home: Path, *arguments: object) -> Any:
    return run_command("trainer.cli", home, *arguments)


def test_labels_become_a_model_in_use(labels: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    wanted = ("finetune", "--data", labels, "--output", out, "--strategy", "transfer", "--register", "--json")
    done = train(tmp_path / "home", *wanted)
    assert done.returncode == 0, done.stderr
    manifest = json.loads(done.stdout)
    assert manifest["trained_on"]["labels"] + manifest["metrics"]["holdout"]["zone"]["songs"] == 54
    assert manifest["metrics"]["cv"]["zone"]["accuracy"] > manifest["metrics"]["cv"]["zone"]["majority"]
    bundle = load_bundle(out)
    assert bundle.model_id.startswith("user-")
    assert recipe_of(bundle) is not None
    assert recipe_of(load_bundle()) is None

    registry = Registry(tmp_path / "home" / "models")
    promoted = manifest["contest"]["won"]
    assert registry.champion().number == (1 if promoted else 0)
    assert manifest["contest"]["gain"] > 0
    # A second training starts from what is in use, keeps its holdout, and says that it has judged before.
    again = train(tmp_path / "home", *wanted[:-2], "--base", out, "--json")
    assert again.returncode == 0, again.stderr
    second = json.loads(again.stdout)
    assert second["holdout"] == {"salt": manifest["holdout"]["salt"], "used": 1}
    assert second["files"]["head.onnx"] == manifest["files"]["head.onnx"]  # same labels, base and seed
    assert second["contest"]["gain"] == 0


def test_the_head_decides_and_a_windows_zone_too(labels: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    assert (
        train(
            tmp_path / "home", "finetune", "--data", labels, "--output", out, "--strategy", "transfer"
        ).returncode
        == 0
    )
    scanned = run_command("moodzone_agent.cli", tmp_path / "home", "scan", labels.parent, "--json")
    before = [json.loads(line) for line in scanned.stdout.splitlines()]
    Registry(tmp_path / "home" / "models").add(out)
    assert run_command("moodzone_agent.cli", tmp_path / "home", "model", "promote", "1").returncode == 0
    scanned = run_command("moodzone_agent.cli", tmp_path / "home", "scan", labels.parent, "--json")
    after = [json.loads(line) for line in scanned.stdout.splitlines()]
    with labels.open(encoding="utf-8") as file:
        truth = {row["path"]: row["zone"].upper() for row in csv.DictReader(file)}

    def right(lines: list[dict[str, Any]]) -> float:
        rated = [line for line in lines if Path(line["path"]).name in truth]
        return float(np.mean([line["zone"] == truth[Path(line["path"]).name] for line in rated]))

    assert len([line for line in after if (line["model"] or "").startswith("user-")]) == 54
    assert right(after) > right(before)
    model = ZoneModel(load_bundle(out))
    rows = (
        np.random.default_rng(0)
        .normal(0, 1, (3, len(model.bundle.manifest["feature_names"])))
        .astype(np.float32)
    )
    windows = model.rate(rows)
    alone = model.estimate(rows[:1], windows.between(0, 1))
    assert alone.probabilities == pytest.approx(windows.probabilities[0].tolist(), abs=1e-5)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--strategy", "magic"], "there is no strategy magic"),
        (["--strategy", "joint"], "give --deam"),
        (["--min-recall", "RED=0.5"], "PURPLE=0.85"),
        (["--force"], "--register"),
    ],
)
def test_wrong_use_is_named_and_writes_nothing(
    labels: Path, tmp_path: Path, options: list[str], says: str
) -> None:
    done = train(tmp_path / "home", "finetune", "--data", labels, "--output", tmp_path / "bundle", *options)
    assert done.returncode == 2
    assert says in done.stderr
    assert not (tmp_path / "bundle").exists()


def test_a_foreign_folder_is_not_replaced(labels: Path, tmp_path: Path) -> None:
    (tmp_path / "keep.txt").write_text("mine")
    done = train(
        tmp_path / "home", "finetune", "--data", labels, "--output", tmp_path, "--strategy", "transfer"
    )
    assert done.returncode == 2
    assert (tmp_path / "keep.txt").read_text() == "mine"
