"""Analysis in worker processes, so that a codec that crashes or hangs costs one file and nothing else."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import pebble
from numpy.typing import NDArray

from moodzone_agent.analysis import analyse
from moodzone_agent.audio.decode import AudioReader
from moodzone_agent.errors import AudioError, FileChangedError, FileError
from moodzone_agent.library.records import Analysis

_SECONDS: Final = 60.0
_SECONDS_PER_BYTE: Final = 3e-6
"""Slow disks deliver at least a third of a megabyte a second."""
_SAME_DURATION: Final = 0.05
"""Seconds within which two stated durations may be of one recording."""


@dataclass(frozen=True, slots=True)
class Task:
    """One file to be read."""

    path: Path
    size: int
    """Bytes; the time limit grows with it."""
    identify_first: bool = False
    """There is reason to think that its audio is known: look at the packets before any sample is decoded."""
    analyse_always: bool = False
    """Its audio is known to be new."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a task: an analysis, an audio id that may be known, or an error."""

    task: Task
    result: Analysis | str | None = None
    error: FileError | OSError | None = None


class AnalysisPool:
    """Spawned workers that read files.

    `known_durations`: seconds, of the tracks already analysed. A file that states one of these is only
    identified; whoever asked then knows whether its audio is new, and submits it again with `analyse_always`.
    `read`: what a worker does with a task; an importable function. `seconds`: what any file may take, besides
    the time for its size.
    """

    def __init__(
        self,
        jobs: int,
        known_durations: Iterable[float] = (),
        *,
        read: Callable[[Task], Analysis | str] | None = None,
        seconds: float = _SECONDS,
    ) -> None:
        self._jobs = jobs
        self._read = read or read_file
        self._seconds = seconds
        # Workers inherit it. Their matrices are small: more threads would only get in each other's way.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        self._pool = pebble.ProcessPool(
            max_workers=jobs,
            context=get_context("spawn"),
            initializer=_start_worker,
            initargs=(np.sort(np.fromiter(known_durations, np.float64)),),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._pool.close()
        else:
            self._pool.stop()
        self._pool.join()

    def run(self, tasks: deque[Task]) -> Iterator[Outcome]:
        """Take tasks from the left and yield outcomes as they come, until none is left; more may be added meanwhile."""
        running: dict[Future[Any], Task] = {}
        while True:
            while tasks and len(running) < 2 * self._jobs:
                task = tasks.popleft()
                running[self._submit(task)] = task
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield _outcome(running.pop(future), future)

    def _submit(self, task: Task) -> Future[Any]:
        limit = self._seconds + _SECONDS_PER_BYTE * task.size
        future: Future[Any] = self._pool.schedule(self._read, args=(task,), timeout=limit)
        return future


def default_jobs() -> int:
    """As many workers as there are processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_known_durations: NDArray[np.float64] = np.empty(0)


def _start_worker(known_durations: NDArray[np.float64]) -> None:
    global _known_durations  # noqa: PLW0603 - set once, when the process starts
    _known_durations = known_durations


def read_file(task: Task) -> Analysis | str:
    """A worker's job: the analysis of a file, or only its audio id where that may be known already.

    Errors: `AudioError`; `FileChangedError` if the file is another at the end than at the start; `OSError`.
    """
    before = task.path.stat()
    with AudioReader(task.path) as reader:
        if task.identify_first or (not task.analyse_always and _is_known_duration(reader.stated_duration)):
            result: Analysis | str = reader.identify()
        else:
            result = analyse(reader)
    after = task.path.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise FileChangedError("changed while it was read; it will be looked at again")
    return result


def _is_known_duration(seconds: float | None) -> bool:
    if seconds is None:
        return False
    low, high = np.searchsorted(_known_durations, (seconds - _SAME_DURATION, seconds + _SAME_DURATION))
    return bool(high > low)


def _outcome(task: Task, future: Future[Any]) -> Outcome:
    try:
        return Outcome(task, result=future.result())
    except pebble.ProcessExpired as error:  # an OSError, though it tells of no disk
        return Outcome(task, error=AudioError(f"crashed the decoder (exit code {error.exitcode})"))
    except (FileError, OSError) as error:
        if isinstance(error, TimeoutError) and not isinstance(error.errno, int):  # the pool's, not a disk's
            return Outcome(task, error=AudioError("took too long to read; its audio may be damaged"))
        return Outcome(task, error=error)
    except Exception as error:  # noqa: BLE001 - the edge that isolates one file
        return Outcome(task, error=AudioError(f"could not be analysed ({type(error).__name__}: {error})"))
