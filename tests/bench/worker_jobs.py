"""What workers are given to do; a module of its own, because they import it by name."""

from __future__ import annotations

import time
from typing import Any

from moodzone_agent.analysis import read_file


def cpu_of_reading(task: Any, desk: Any) -> float:
    """Read the file; CPU seconds that it took."""
    start = time.process_time()
    read_file(task, desk)
    return time.process_time() - start


def times_of_reading(task: Any, desk: Any) -> tuple[float, float, Any]:
    """Read the file; wall-clock and CPU seconds that it took, and the result."""
    wall, cpu = time.perf_counter(), time.process_time()
    analysis = read_file(task, desk)
    return time.perf_counter() - wall, time.process_time() - cpu, analysis


def at_once(task: Any, desk: Any) -> float:
    """Read nothing; CPU seconds of the worker's start, with the import of all that reading needs."""
    return time.process_time()
