"""The table of members: what ships is what pretraining judges, and means are means."""

from __future__ import annotations

from pathlib import Path

import pytest

from moodzone_agent.types import Cuts
from tests.trainer.deam_folder import make_deam
from trainer.pretraining.members import CANDIDATES, CLASSIFIERS, score_members
from trainer.pretraining.pretrain import pretrain

# onnx's own code calls what newer NumPy and protobuf deprecate.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def test_what_ships_is_what_pretraining_judged(tmp_path: Path) -> None:
    make_deam(tmp_path / "deam", seconds=3.0)
    quiet = {"jobs": 2, "say": lambda line: None, "progress": lambda done, of: None}
    scores = {score.name: score for score in score_members(tmp_path / "deam", repeats=1, **quiet)}
    manifest = pretrain(tmp_path / "deam", tmp_path / "out", seed=0, cuts=Cuts(), **quiet)
    shipped = scores["what ships"]
    judged = manifest["metrics"]["cv"]
    assert shipped.arousal == pytest.approx(judged["arousal"]["r2"], abs=1e-4)
    assert shipped.accuracy == pytest.approx(judged["zone"]["accuracy"], abs=1e-4)
    assert {*CANDIDATES, *(f"direct: {name}" for name in CLASSIFIERS), " + ".join(CANDIDATES)} < scores.keys()
    assert all(0 <= score.accuracy <= 1 for score in scores.values())
