"""What the documents say is true."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from moodzone_agent.classify.bundle import load_bundle
from moodzone_agent.config import Settings, load_settings

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"))


def shell_lines() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def test_the_first_two_shell_lines_install_and_test() -> None:
    install, test = shell_lines()[:2]
    assert "pip install" in install
    assert install.endswith("moodzone demo")
    assert "pip install" in test
    assert "-m pytest" in test


def test_ci_calls_the_readmes_test_command() -> None:
    assert "README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_dependencies_are_justified() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [name for names in project["optional-dependencies"].values() for name in names]
    declared = {re.split(r"[>=<;\[ ]", line)[0] for line in (*project["dependencies"], *extras)} - {
        "moodzone"
    }
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| ([\w-]+) \|", text, re.MULTILINE)) - {"package"}
    assert explained == declared


def test_figures_are_the_shipped_bundles() -> None:
    manifest = load_bundle().manifest
    folds, lockbox = manifest["metrics"]["cv"], manifest["metrics"]["lockbox"]
    text = (ROOT / "docs" / "model.md").read_text(encoding="utf-8")
    for row, *keys in (
        ("arousal R²", "arousal", "r2"),
        ("valence R²", "valence", "r2"),
        ("zone accuracy", "zone", "accuracy"),
        ("of always answering the commonest zone", "zone", "majority"),
        ("balanced accuracy", "zone", "balanced_accuracy"),
        ("macro F1", "zone", "macro_f1"),
        ("weighted F1", "zone", "weighted_f1"),
        ("recall of PURPLE", "zone", "recall", "PURPLE"),
        ("YELLOW taken for PURPLE or the reverse", "zone", "yellow_purple_confusions"),
    ):
        values = [folds, lockbox]
        for key in keys:
            values = [value[key] for value in values]
        assert f"| {row} | {values[0]:.3f} | {values[1]:.3f} |" in text
    assert f"confidence of at least {manifest['sure_from']:.2f}" in text
    sentence = " ".join(README.split())
    assert f"{folds['zone']['accuracy']:.0%}".replace("%", " %") in sentence
    assert f"{lockbox['zone']['accuracy']:.0%}".replace("%", " %") in sentence
    assert f"finds {folds['zone']['recall']['PURPLE']:.0%}".replace("%", " %") in sentence
    assert f"sure ({folds['sure_coverage']:.0%}".replace("%", " %") in sentence


def test_links_lead_somewhere() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_every_block_of_code_is_closed() -> None:
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        opened = ""
        for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
            if line.startswith("```"):
                assert not opened or line == "```", f"{opened} is still open in line {number}"
                opened = "" if opened else f"{document.name}:{number}"
        assert not opened


def test_every_command_is_in_the_readme() -> None:
    code = (
        "from moodzone_agent.cli import app\n"
        "print(*[command.name or command.callback.__name__ for command in app.registered_commands])\n"
        "print(*[group.name for group in app.registered_groups])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for command in result.stdout.split():
        assert f"moodzone {command}" in README, command


def test_every_setting_is_in_an_example_and_every_example_is_valid(tmp_path: Path) -> None:
    """Keys stand in a TOML block, in the table that holds them: a word that occurs somewhere explains nothing."""
    missing = {
        (table.name, key.name)
        for table in fields(Settings)
        for key in fields(getattr(Settings(), table.name))
    }
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        assert text.count("```") % 2 == 0, f"{document.name} has a block that is not closed"
        for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL):
            path = tmp_path / "settings.toml"
            path.write_text(block, encoding="utf-8")
            load_settings(path)
            missing -= {(table, key) for table, keys in tomllib.loads(block).items() for key in keys}
    assert not missing


def test_the_readmes_settings_are_valid(tmp_path: Path) -> None:
    block = re.search(r"```toml\n(.*?)```", README, re.DOTALL)
    assert block
    path = tmp_path / "settings.toml"
    path.write_text(block[1], encoding="utf-8")
    assert load_settings(path).zones.purple_min == pytest.approx(5.4)
