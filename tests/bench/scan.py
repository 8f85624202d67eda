"""`moodzone scan` of a 3-minute MP3 into an empty library, from start to its first line, and where its time goes.

"Parts" repeats what the program does one step after the other, in a new process each run; its imports are listed below
by package, each with the time of its own modules.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Final

from tests.bench import music, program
from tests.bench.machine import cpu_seconds, describe
from tests.bench.report import Figures, parser, report

_AIM: Final = 2.0
_SECONDS: Final = 180
_ROOT: Final = Path(__file__).resolve().parents[2]
_IMPORTS: Final = {
    "main process": (
        "moodzone_agent.cli",
        "moodzone_agent.config",
        "moodzone_agent.console",
        "moodzone_agent.library.store",
        "moodzone_agent.pipeline",
        "onnxruntime",
    ),
    "worker": ("moodzone_agent.cli", "moodzone_agent.worker", "moodzone_agent.analysis"),
}


def main(arguments: list[str]) -> None:
    """Measure, print, save."""
    options = parser("scan", __doc__)
    options.add_argument("--runs", type=int, default=5, metavar="N", help="runs to take the median of")
    options.add_argument("--top", type=int, default=15, metavar="N", help="packages to list")
    parsed = options.parse_args(arguments)
    path = music.track(parsed.cache, ".mp3", _SECONDS)
    machine = describe("av", "numpy", "scipy", "soxr", "onnxruntime", "rich", "typer")
    _scan(path)  # so that everything is compiled, and in the system's cache
    whole = Figures(
        f"moodzone scan --json, MP3 of {_SECONDS} s, empty library; {parsed.runs} runs",
        {"until": "", "wall s": ".2f", "least": ".2f", "CPU s": ".2f", "aim": ""},
    )
    runs, parts = [], []
    for _ in range(parsed.runs):
        runs.append(_scan(path))
        parts.append(_parts(path))
    firsts, ends, cpus = zip(*runs, strict=True)
    met = "yes" if median(firsts) <= _AIM else "no"
    whole.rows += [
        {
            "until": "the first line",
            "wall s": median(firsts),
            "least": min(firsts),
            "aim": f"<= {_AIM:g} s: {met}",
        },
        {"until": "the end", "wall s": median(ends), "least": min(ends), "CPU s": median(cpus)},
    ]
    steps = Figures(
        "Parts, one after the other", {"part": "", "wall s": ".3f", "least": ".3f", "CPU s": ".3f"}
    )
    steps.rows += [
        {
            "part": name,
            "wall s": median(run[name][0] for run in parts),
            "least": min(run[name][0] for run in parts),
            "CPU s": median(run[name][1] for run in parts),
        }
        for name in parts[0]
    ]
    imports = [_imports(name, parsed.runs, parsed.top) for name in _IMPORTS]
    report("scan", machine, [whole, steps, *imports], parsed.json)


def _scan(path: Path) -> tuple[float, float, float]:
    """Seconds until the first line and until the end, and the CPU time of all processes."""
    with tempfile.TemporaryDirectory() as folder:
        cpu, start = cpu_seconds(), time.perf_counter()
        scan = program.Scan(Path(folder), path)
        scan.first_line()
        first = time.perf_counter() - start
        scan.end()
        return first, time.perf_counter() - start, cpu_seconds() - cpu


def _parts(path: Path) -> dict[str, list[float]]:
    """Wall-clock and CPU seconds of each part of a scan."""
    with tempfile.TemporaryDirectory() as folder:
        cpu, wall = cpu_seconds(), time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        parts = {"start of Python": [time.perf_counter() - wall, cpu_seconds() - cpu]}
        result = subprocess.run(
            [sys.executable, "-m", "tests.bench.scan_parts", str(path)],
            cwd=_ROOT,
            env=program.environment(Path(folder)),
            stdout=subprocess.PIPE,
            check=True,
        )
        steps: dict[str, list[float]] = json.loads(result.stdout)
        return parts | steps


def _imports(process: str, runs: int, top: int) -> Figures:
    """Milliseconds that each package's own modules take to import, in the quickest of the runs."""
    spent, modules = min(
        (_import_times(_IMPORTS[process]) for _ in range(runs)), key=lambda run: run[0].total()
    )
    figures = Figures(
        f"Imports of the {process}: {spent.total() / 1000:.0f} ms, {modules.total()} modules; least of {runs} runs",
        {"package": "", "ms": ".1f", "modules": "d"},
    )
    figures.rows += [
        {"package": package, "ms": microseconds / 1000, "modules": modules[package]}
        for package, microseconds in spent.most_common(top)
    ]
    return figures


def _import_times(names: tuple[str, ...]) -> tuple[Counter[str], Counter[str]]:
    """Microseconds and number of modules, by package."""
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import " + ", ".join(names)],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    spent: Counter[str] = Counter()
    modules: Counter[str] = Counter()
    for line in result.stderr.splitlines():
        own, _, name = (part.strip() for part in line.removeprefix("import time:").split("|"))
        if own.isdigit():
            package = _package(name)
            spent[package] += int(own)
            modules[package] += 1
    return spent, modules


def _package(module: str) -> str:
    top = module.split(".", maxsplit=1)[0]
    return "standard library" if top in sys.stdlib_module_names else top
