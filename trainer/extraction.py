"""Features of many files, by the very code that the agent runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

from moodzone_agent.errors import FileError
from moodzone_agent.library.records import Analysis
from moodzone_agent.workers import AnalysisPool, Task


def extract(files: Mapping[int, Path], *, jobs: int) -> Iterator[tuple[int, Analysis | FileError | OSError]]:
    """Analyse files in worker processes; yields each one's key with its analysis or its error, in any order."""
    keys = {path: key for key, path in files.items()}
    tasks = deque(Task(path, path.stat().st_size, analyse_always=True) for path in files.values())
    with AnalysisPool(jobs) as pool:
        for outcome in pool.run(tasks):
            if isinstance(outcome.result, Analysis):
                yield keys[outcome.task.path], outcome.result
            elif outcome.error is not None:
                yield keys[outcome.task.path], outcome.error
