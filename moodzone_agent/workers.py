"""Worker processes, so that a codec that crashes or hangs costs one file and nothing else.

Each worker has a pipe of its own: one that dies in the middle of an answer disturbs no other.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import wait
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from moodzone_agent.errors import AudioError, FileError, RunError
from moodzone_agent.library.records import Analysis
from moodzone_agent.worker import Gauge, work

_READ_FILE: Final = ("moodzone_agent.analysis", "read_file")
_CPU_SECONDS: Final = 60.0
_CPU_SECONDS_PER_BYTE: Final = 3e-5
"""Several times what a slow computer takes for Opus at 6 kb/s, which holds the most music for its size."""
_PATIENCE_SECONDS: Final = 600.0
"""How long a worker may do nothing at all, since a disk may have to wake up or a network to come back."""
_CHECK_SECONDS: Final = 0.5
_MAX_FAILED_STARTS: Final = 3
_MOST_JOBS: Final = 60
"""Windows waits for no more pipes at once."""
_ONE_THREAD: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""Workers inherit these. Their matrices are small: more threads would only get in each other's way."""


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
    """What came of a task: an analysis, an audio id that may be known, or an error.

    An `OSError` tells of a disk that fails or doesn't answer, and nothing of the file.
    """

    task: Task
    result: Analysis | str | None = None
    error: FileError | OSError | None = None


class TimeLimit:
    """Says when a file is given up. Counts CPU time and what was read, because hours asleep are not its fault.

    `cpu_seconds`: what any file may take of the processor; each byte that was read adds to it.
    `patience`: seconds that a worker may spend neither computing nor reading.
    """

    def __init__(
        self, size: int, *, cpu_seconds: float = _CPU_SECONDS, patience: float = _PATIENCE_SECONDS
    ) -> None:
        self._size = size
        self._cpu_seconds = cpu_seconds
        self._patience = patience
        self._start: float | None = None
        self._share = 0.0
        self._idle = 0.0
        self._seen: tuple[int, float] | None = None

    def check(self, elapsed: float, gauge: Gauge) -> FileError | OSError | None:
        """The reason to give up, or None. To be called at least every `_CHECK_SECONDS`.

        `elapsed`: seconds since the last call by any clock; one that runs on in the computer's sleep makes
        them many, so no more than two checks' worth of them count.
        """
        if self._start is None:
            self._start = gauge.cpu_seconds
        self._share = max(self._share, gauge.share_read)
        allowed = self._cpu_seconds + _CPU_SECONDS_PER_BYTE * self._size * self._share
        if gauge.cpu_seconds - self._start > allowed:
            return AudioError("took too long to read; its audio may be damaged")
        seen = (int(gauge.cpu_seconds), gauge.share_read)
        self._idle = self._idle + min(elapsed, 2 * _CHECK_SECONDS) if seen == self._seen else 0.0
        self._seen = seen
        return (
            TimeoutError(errno.ETIMEDOUT, "the disk does not answer") if self._idle > self._patience else None
        )


class AnalysisPool:
    """Spawned workers that read files; they start with the context.

    `known_durations`: seconds, of the tracks already analysed. A file that states one of these is only
    identified; whoever asked then knows whether its audio is new, and submits it again with `analyse_always`.
    `job`: module and name of what a worker does with a `Task` at its `Desk`. `cpu_seconds`, `patience`: see
    `TimeLimit`.
    """

    def __init__(
        self,
        jobs: int,
        known_durations: Iterable[float] = (),
        *,
        job: tuple[str, str] = _READ_FILE,
        cpu_seconds: float = _CPU_SECONDS,
        patience: float = _PATIENCE_SECONDS,
    ) -> None:
        self._jobs = min(jobs, _MOST_JOBS)
        self._job = job
        self._cpu_seconds = cpu_seconds
        self._patience = patience
        self._context = get_context("spawn")
        self._durations = self._context.RawArray("d", sorted(known_durations))
        self._workers: list[_Worker] = []
        self._failed_starts = 0

    def __enter__(self) -> Self:
        for name in _ONE_THREAD:
            os.environ.setdefault(name, "1")
        self._workers = [self._new_worker() for _ in range(self._jobs)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.stop()
        self._workers.clear()

    def run(self, tasks: deque[Task], on_wait: Callable[[], None] = lambda: None) -> Iterator[Outcome]:
        """Take tasks from the left and yield outcomes as they come, until none is left; more may be added meanwhile.

        `on_wait` is called at least every `_CHECK_SECONDS`, and may raise to end the run.
        Errors: `RunError` where no worker can be started.
        """
        checked = time.monotonic()
        while True:
            self._hand_out(tasks)
            busy = [worker for worker in self._workers if worker.task is not None]
            if not busy:
                return
            answered = wait([worker.connection for worker in busy], timeout=_CHECK_SECONDS)
            on_wait()
            elapsed, checked = time.monotonic() - checked, time.monotonic()
            for worker in busy:
                if worker.connection in answered:
                    outcome = self._receive(worker, tasks)
                else:
                    outcome = self._check(worker, elapsed)
                if outcome is not None:
                    self._hand_out(tasks)  # whoever takes the outcome may be busy with it for a while
                    yield outcome

    def bytes_under_way(self) -> float:
        """How much was read of the files that are being read; may be asked by any thread."""
        return sum(worker.bytes_read() for worker in self._workers.copy())

    def _new_worker(self) -> _Worker:
        try:
            return _Worker(self._context, self._durations, self._job)
        except OSError as error:
            raise RunError(
                f"no worker process can be started ({error.strerror}): close some programs and run again"
            ) from error

    def _replace(self, worker: _Worker) -> None:
        worker.stop()
        self._workers[self._workers.index(worker)] = self._new_worker()

    def _hand_out(self, tasks: deque[Task]) -> None:
        for place, worker in enumerate(self._workers):
            if tasks and worker.task is None:
                task = tasks.popleft()
                limit = TimeLimit(task.size, cpu_seconds=self._cpu_seconds, patience=self._patience)
                if not worker.give(task, limit):  # it died while it had nothing to do
                    self._replace(worker)
                    if not self._workers[place].give(task, limit):
                        raise RunError("no worker process can be started: run `moodzone doctor`")

    def _receive(self, worker: _Worker, tasks: deque[Task]) -> Outcome | None:
        task = worker.task
        assert task is not None
        try:
            answer = worker.connection.recv()
        except (EOFError, OSError):
            code = worker.exit_code()
            self._replace(worker)
            if worker.is_ready:
                return Outcome(task, error=AudioError(_death(code)))
            self._failed_starts += 1
            if self._failed_starts >= _MAX_FAILED_STARTS:
                raise RunError(
                    f"no worker process can be started (exit code {code}): run `moodzone doctor`"
                ) from None
            tasks.appendleft(task)
            return None
        if answer is None:
            worker.is_ready = True
            self._failed_starts = 0
            return None
        worker.task = None
        result, error = answer
        return Outcome(task, result, error)

    def _check(self, worker: _Worker, elapsed: float) -> Outcome | None:
        assert worker.task is not None
        error = worker.limit.check(elapsed, worker.gauge) if worker.is_ready else None
        if error is None:
            return None
        self._replace(worker)
        return Outcome(worker.task, error=error)


class _Worker:
    """The parent's side of a worker process."""

    def __init__(self, context: Any, known_durations: Any, job: tuple[str, str]) -> None:
        self.connection, theirs = context.Pipe()
        self.gauge: Gauge = context.RawValue(Gauge)
        self.is_ready = False
        """Whether it has come so far that its death is the file's fault."""
        self.task: Task | None = None
        self.limit = TimeLimit(0)
        self._process = context.Process(
            target=work, args=(theirs, self.gauge, known_durations, job), name="moodzone worker", daemon=True
        )
        self._process.start()
        theirs.close()  # so that its death is the end of the pipe

    def give(self, task: Task, limit: TimeLimit) -> bool:
        """Have it do a task; False if it is dead."""
        try:
            self.connection.send(task)
        except OSError:
            return False
        self.gauge.share_read = 0.0
        self.task, self.limit = task, limit
        return True

    def bytes_read(self) -> float:
        """Of the file at hand. One that may turn out to be new counts from when it is decoded."""
        task = self.task
        return 0.0 if task is None or task.identify_first else task.size * self.gauge.share_read

    def exit_code(self) -> int | None:
        """Of a worker whose pipe has ended."""
        self._process.join(_CHECK_SECONDS)
        code: int | None = self._process.exitcode
        return code

    def stop(self) -> None:
        """End it, if it lives. A disk that doesn't answer can hold it back; it is not waited for."""
        self._process.kill()
        self.connection.close()
        self._process.join(_CHECK_SECONDS)


def default_jobs() -> int:
    """As many workers as there are processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def half_the_cores() -> int:
    """Half as many, 1 at least."""
    return max(1, default_jobs() // 2)


def _death(code: int | None) -> str:
    """Why a worker died, from its exit code."""
    if code is not None and code == -getattr(signal, "SIGKILL", 0):
        return "its reading was killed, perhaps for want of memory; it may be damaged"
    try:
        how = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
    except ValueError:
        how = f"signal {-(code or 0)}"
    return f"crashed the decoder ({how}); it may be damaged"
