"""The benchmark runs and says what it measured; how long anything took is no test's business."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = [
    "decode only (PyAV)",
    "identity only",
    "identity, decode, downmix, resample",
    "everything",
    "feature work alone",
]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.bench", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def extract(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("bench")
    saved = folder / "figures.json"
    result = bench(
        *("extract", "--seconds", "5", "--runs", "1", "--against", ""),
        *("--cache", str(folder / "music"), "--json", str(saved)),
    )
    assert result.returncode == 0, result.stderr
    for title in OURS:
        assert title in result.stdout
    figures: dict[str, Any] = json.loads(saved.read_text(encoding="utf-8"))
    return figures


def test_extract_measures_all_our_work_on_every_container(extract: dict[str, Any]) -> None:
    assert [table["title"].split(",")[0] for table in extract["tables"]] == ["MP3", "FLAC", "M4A"]
    for table in extract["tables"]:
        assert [row["work"] for row in table["rows"]] == OURS
        assert all(row["CPU s"] > 0 for row in table["rows"])
        assert table["rows"][0]["x decode"] == 1.0


def test_extract_names_the_machine(extract: dict[str, Any]) -> None:
    assert extract["machine"]["processor"]
    assert "numpy" in extract["machine"]["packages"]


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    result = bench("extract", "--against", "marsyas")
    assert result.returncode == 2
    assert "essentia" in result.stderr
    assert bench("nothing").returncode == 2


def test_every_command_has_a_module() -> None:
    from tests.bench.__main__ import COMMANDS

    for command in COMMANDS:
        assert (Path(__file__).parent / f"{command}.py").exists(), command
