"""The import rules of docs/architecture.md, read off the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("moodzone_agent", "trainer", "exporters")
NEVER_IN_THE_AGENT = {"sklearn", "xgboost", "skl2onnx", "onnxmltools", "librosa", "trainer", "onnx"}
THE_AGENT_ITSELF = (
    "moodzone_agent.cli",
    "moodzone_agent.commands",
    "moodzone_agent.background",
    "moodzone_agent.watch",
)
MODULES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def imports(path: Path) -> Iterator[str]:
    """Full names of all modules and names that a module imports, at any depth."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def within(name: str, *modules: str) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_rules(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    for name in imports(path):
        top = name.split(".")[0]
        if package == "moodzone_agent":
            assert top not in NEVER_IN_THE_AGENT, f"the agent must not import {name}"
        elif package == "exporters":
            assert top != "trainer"
            if top == "moodzone_agent":
                assert within(name, "moodzone_agent.types", "moodzone_agent.errors"), name
        elif top == "moodzone_agent":
            assert not within(name, *THE_AGENT_ITSELF), name


@pytest.mark.parametrize("module", ["types", "errors"])
def test_the_vocabulary_imports_nothing_of_ours(module: str) -> None:
    names = list(imports(ROOT / "moodzone_agent" / f"{module}.py"))
    assert not [name for name in names if name.split(".")[0] in PACKAGES]


def test_packages_import_nothing_when_imported() -> None:
    for path in MODULES:
        if path.name == "__init__.py":
            assert not list(imports(path)), path


def test_the_agents_modules_load_nothing_heavy() -> None:
    """What one import drags in counts, too."""
    code = (
        "import sys, moodzone_agent.pipeline, moodzone_agent.writing, moodzone_agent.cli\n"
        f"print(sorted(set(sys.modules) & {NEVER_IN_THE_AGENT | {'numba', 'matplotlib'}!r}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_a_scan_starts_its_workers_without_what_only_they_need() -> None:
    code = (
        "import sys, moodzone_agent.cli, moodzone_agent.console, moodzone_agent.pipeline\n"
        "print(sorted(set(sys.modules) & {'av', 'onnxruntime', 'scipy', 'soxr'}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
