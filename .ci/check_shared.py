"""Checks on DEAM, where it lies beside the checkout: every clip is rated, the shipped bundle comes out again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
TOLERANCE = 0.01
"""Figures may differ this much between processors."""


def scan(audio: Path, home: str) -> None:
    """All clips rated, none failed, one line each."""
    command = [BIN / "moodzone", "scan", audio, "--json"]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "MOODZONE_HOME": home}
    )
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    rated = sum(line["status"] == "ok" and line["zone"] is not None for line in lines)
    expected = len(list(audio.iterdir()))
    print(f"scan: {rated} of {expected} clips rated, exit code {result.returncode}")
    if result.returncode or rated != expected or len(lines) != expected:
        sys.exit(f"scan of DEAM failed\n{result.stderr}")


def pretrain(deam: Path, out: Path) -> None:
    """The figures of a new training are those of the shipped bundle."""
    command = [BIN / "moodzone-train", "pretrain", "--deam", deam, "--out", out, "--json"]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    shipped = json.loads((ROOT / "moodzone_agent/models/pretrained/manifest.json").read_text())
    new = flat(json.loads(result.stdout)["metrics"])
    for name, value in flat(shipped["metrics"]).items():
        if abs(new[name] - value) > TOLERANCE:
            sys.exit(f"pretraining: {name} is {new[name]}, the shipped bundle says {value}")
    print(f"pretraining: {len(new)} figures as in the shipped bundle")


def flat(figures: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """All numbers by their path."""
    result: dict[str, float] = {}
    for name, value in figures.items():
        if isinstance(value, dict):
            result |= flat(value, f"{prefix}{name}.")
        elif isinstance(value, int | float):
            result[f"{prefix}{name}"] = value
    return result


def main() -> None:
    """Run both in a folder that goes away again."""
    deam = ROOT.parent / "shared" / "data" / "deam"
    if not deam.is_dir():
        print("no ../shared/data/deam: its checks are skipped")
        return
    with tempfile.TemporaryDirectory() as folder:
        scan(deam / "MEMD_audio", f"{folder}/home")
        pretrain(deam, Path(folder) / "bundle")


if __name__ == "__main__":
    main()
