"""Tracks per second with one worker process and with two, on different synthesised tracks of 60 to 120 s.

The pools take turns; each has read some tracks before its time counts. The machine's own limit is the same work in
processes that share nothing: two of them are not always twice as quick as one. CPU time per track tells how far they
get in each other's way.
"""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, Final, cast

from moodzone_agent.workers import AnalysisPool, Task
from tests.bench import music
from tests.bench.machine import describe, one_thread
from tests.bench.process import JobProcess
from tests.bench.report import Figures, Value, parser, report

_JOB: Final = ("tests.bench.worker_jobs", "cpu_of_reading")
_SHORTEST: Final = 60
_STEPS: Final = 13
_AIM: Final = 1.85


def main(arguments: list[str]) -> None:
    """Measure, print, save."""
    options = parser("workers", __doc__)
    options.add_argument("--runs", type=int, default=3, metavar="N", help="runs of each pool")
    options.add_argument("--tracks", type=int, default=24, metavar="N", help="tracks that a run reads")
    parsed = options.parse_args(arguments)
    one_thread()
    tracks = {}
    for seed in range(100, 100 + parsed.tracks):
        seconds = _SHORTEST + 5 * (seed % _STEPS)
        tracks[music.track(parsed.cache, ".mp3", seconds, seed=seed)] = float(seconds)
    machine = describe("av", "numpy", "scipy", "soxr")
    ways = {"workers": _pool, "unconnected processes": _plain}
    runs: dict[tuple[str, int], list[tuple[float, float]]] = {(way, n): [] for way in ways for n in (1, 2)}
    for _ in range(parsed.runs):
        for (way, number), times in runs.items():
            times.append(ways[way](tracks, number))
    figures = Figures(
        f"{parsed.tracks} MP3 of {_SHORTEST} to {_SHORTEST + 5 * (_STEPS - 1)} s; medians of {parsed.runs} runs",
        {
            "by": "",
            "wall s": ".2f",
            "tracks/s": ".2f",
            "CPU s/track": ".3f",
            "x one": ".2f",
            "aim": "",
            "met": "",
        },
    )
    for (way, number), times in runs.items():
        wall = median(wall for wall, _ in times)
        gain = median(wall for wall, _ in runs[way, 1]) / wall
        row: dict[str, Value] = {
            "by": f"{number} {way}",
            "wall s": wall,
            "tracks/s": len(tracks) / wall,
            "CPU s/track": median(cpu for _, cpu in times) / len(tracks),
            "x one": gain,
        }
        if way == "workers" and number == 2:
            row |= {"aim": f">= {_AIM}", "met": "yes" if gain >= _AIM else "no"}
        figures.rows.append(row)
    report("workers", machine, [figures], parsed.json)


def _pool(tracks: dict[Path, float], number: int) -> tuple[float, float]:
    """Wall-clock time of reading all files with a pool that is warm, and the CPU time of its workers."""
    with AnalysisPool(number, job=_JOB) as pool:
        tasks = [Task(path, path.stat().st_size) for path in tracks]
        list(pool.run(deque(tasks[: 2 * number])))
        start = time.perf_counter()
        cpu = 0.0
        for outcome in pool.run(deque(tasks)):
            if outcome.error is not None:
                raise outcome.error
            cpu += cast(Any, outcome.result)
        return time.perf_counter() - start, cpu


def _plain(tracks: dict[Path, float], number: int) -> tuple[float, float]:
    """The same in processes that know nothing of each other."""
    with ExitStack() as stack:
        processes = [stack.enter_context(JobProcess()) for _ in range(number)]
        threads = stack.enter_context(ThreadPoolExecutor(number))
        waiting = deque(tracks.items())

        def read(process: JobProcess) -> float:
            cpu = 0.0
            while waiting:
                cpu += process.measure("everything", *waiting.popleft()).cpu
            return cpu

        first = next(iter(tracks.items()))
        list(threads.map(lambda process: process.measure("everything", *first), processes))
        start = time.perf_counter()
        cpu = sum(threads.map(read, processes))
        return time.perf_counter() - start, cpu
