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


def test_rhythm_counts_what_is_right(tmp_path: Path) -> None:
    saved = tmp_path / "figures.json"
    result = bench("rhythm", "--tracks", "5", "--seeds", "4000", "--json", str(saved))
    assert result.returncode == 0, result.stderr
    tempo, drops = json.loads(saved.read_text(encoding="utf-8"))["tables"]
    assert [row["tracks"] for row in tempo["rows"]] == [2, 1, 1, 1, 5]
    assert all(0 <= row["within 4 %"] <= row["but for octaves"] <= 1 for row in tempo["rows"])
    with_fakes, without, every = drops["rows"]
    assert with_fakes["fake drops"] == every["fake drops"] > without["fake drops"] == 0
    assert with_fakes["drops"] + without["drops"] == every["drops"] >= every["right"]


def test_ribbon_compares_two_ways(tmp_path: Path) -> None:
    saved = tmp_path / "figures.json"
    result = bench("ribbon", "--tracks", "2", "--json", str(saved))
    assert result.returncode == 0, result.stderr
    (table,) = json.loads(saved.read_text(encoding="utf-8"))["tables"]
    assert len(table["rows"]) == 2
    assert all(0.5 < row["breaks told"] <= 1 and 0 <= row["rises at"] <= 1 for row in table["rows"])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows doesn't tell the peak memory this way")
def test_merge_names_every_step(tmp_path: Path) -> None:
    saved = tmp_path / "figures.json"
    result = bench("merge", "--tracks", "20", "--json", str(saved))
    assert result.returncode == 0, result.stderr
    tables = json.loads(saved.read_text(encoding="utf-8"))["tables"]
    assert [table["title"].split(":")[0] for table in tables] == ["rekordbox", "Traktor"]
    for table in tables:
        assert [row["step"] for row in table["rows"]][-1] == "everything"
        assert all(row["peak MB"] > 1 for row in table["rows"])


def test_rerate_rates_every_track(tmp_path: Path) -> None:
    saved = tmp_path / "figures.json"
    result = bench(
        *("rerate", "--tracks", "20", "--windows", "4"),
        *("--cache", str(tmp_path / "music"), "--json", str(saved)),
    )
    assert result.returncode == 0, result.stderr
    (table,) = json.loads(saved.read_text(encoding="utf-8"))["tables"]
    *rated, graph = table["rows"]
    assert [row["what"] for row in rated] == ["a new pretrained model", "learned from labels", "retrained"]
    assert [row["tracks/s"] * row["s"] for row in rated] == pytest.approx([20, 20, 20])
    assert graph["s"] > 0


def test_agent_is_measured_idle_and_at_work(tmp_path: Path) -> None:
    saved = tmp_path / "figures.json"
    result = bench(
        *("agent", "--tracks", "5", "--seconds", "0.1", "--length", "5"),
        *("--cache", str(tmp_path / "music"), "--json", str(saved)),
    )
    assert result.returncode == 0, result.stderr
    (table,) = json.loads(saved.read_text(encoding="utf-8"))["tables"]
    assert [row["what"].split(",")[0] for row in table["rows"]] == [
        "doing nothing",
        "0.0833333 minutes of MP3",
    ]


def test_drops_are_matched_one_to_one() -> None:
    from tests.bench.rhythm import matched

    assert matched([10.0, 30.0], [10.9, 29.1]) == 2
    assert matched([10.0, 10.5], [10.2]) == 1
    assert matched([10.0, 11.5], [10.9, 12.4]) == 2
    assert matched([10.0], [11.1]) == 0
    assert matched([], [1.0]) == matched([1.0], []) == 0


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    result = bench("extract", "--against", "marsyas")
    assert result.returncode == 2
    assert "essentia" in result.stderr
    assert bench("nothing").returncode == 2


def test_every_command_has_a_module() -> None:
    from tests.bench.__main__ import COMMANDS

    for command in COMMANDS:
        assert (Path(__file__).parent / f"{command}.py").exists(), command
