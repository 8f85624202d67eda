"""Jobs run in a process of their own, so that one's memory, caches or crash are not another's."""

from __future__ import annotations

import signal
import time
import warnings
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.bench.jobs import JOBS
from tests.bench.machine import cpu_seconds

_TOLERANCE: Final = 0.2
"""Seconds; programs differ in what they make of an encoder's delay."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run of a job took."""

    cpu: float
    """Seconds, over all threads and child processes."""
    wall: float
    audio: float
    """Seconds of audio that the job has seen."""


class JobError(Exception):
    """A job failed, or took its process along."""


class JobProcess:
    """A spawned process that runs jobs when told to."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()  # which ends it
        self._process.join()

    def measure(self, job: str, path: Path, seconds: float) -> Measured:
        """Run a job once, on a file of so many seconds. Errors: `JobError`, also if it saw less or more."""
        try:
            self._connection.send((job, path))
            answer: Measured | str = self._connection.recv()
        except (EOFError, OSError) as error:
            self._process.join()
            code = self._process.exitcode or 0
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            raise JobError(f"crashed ({how})") from error
        if isinstance(answer, str):
            raise JobError(answer)
        if abs(answer.audio - seconds) > _TOLERANCE:
            raise JobError(f"saw {answer.audio:.1f} s of the {seconds:g} s")
        return answer


def _serve(connection: Connection) -> None:
    warnings.simplefilter("ignore")
    while True:
        try:
            name, path = connection.recv()
        except EOFError:
            return
        job = JOBS[name]
        try:
            argument = job.prepare(path)
            cpu, wall = cpu_seconds(), time.perf_counter()
            audio = job.run(argument)
            answer: Measured | str = Measured(cpu_seconds() - cpu, time.perf_counter() - wall, audio)
        except Exception as error:  # noqa: BLE001 - other people's code; the table shows what it said
            answer = f"failed ({type(error).__name__}: {error})"
        connection.send(answer)
