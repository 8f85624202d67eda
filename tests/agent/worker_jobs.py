"""What workers are given to do in test_workers.py; a module of its own, because they import it by name."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections import deque
from pathlib import Path
from typing import Any, BinaryIO

from moodzone_agent.analysis import read_file
from moodzone_agent.audio.decode import AudioReader
from moodzone_agent.library.records import Analysis
from moodzone_agent.worker import Desk
from moodzone_agent.workers import AnalysisPool, Task

MISBEHAVE = ("tests.agent.worker_jobs", "misbehave")


def misbehave(task: Task, desk: Desk) -> Analysis | str:
    """Do what the file's name says; read any other."""
    match task.path.stem:
        case "abort":
            os.abort()
        case "exit":
            os._exit(3)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stopped":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "hang":
            while True:
                pass
        case "wait":
            (task.path.parent / "pipe").read_bytes()
        case "half":
            with AudioReader(task.path) as reader:
                desk.reader = reader
                next(reader.blocks())
                (task.path.parent / "pipe").read_bytes()
        case "modules":
            return " ".join(sys.modules)
        case "memory":
            bytearray(3 << 30)
        case "fault":
            raise ValueError("a fault of ours")
        case "drive":
            raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")
    return read_file(task, desk)


class EditedPath(type(Path())):  # type: ignore[misc]
    """A file that another program rewrites once it has been opened."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        file = super().open(*args, **kwargs)
        os.utime(self, ns=(1, 1))
        return file


class FailingPath(type(Path())):  # type: ignore[misc]
    """A file on a disk that reads some bytes and then fails."""

    reads = 10_000

    def open(self, *args: Any, **kwargs: Any) -> BinaryIO:
        return _Failing(io.FileIO(os.fspath(self)), self.reads)


class _Failing(io.BufferedReader):
    def __init__(self, file: io.RawIOBase, reads: int) -> None:
        super().__init__(file)
        self._left = reads

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self._left -= len(data)
        if self._left < 0:
            raise OSError(errno.EIO, "Input/output error")
        return data


def main(folder: Path, stem: str) -> None:
    """Say so once one file is read, while another keeps a worker busy for ever."""
    tasks = deque(Task(folder / name, 1000) for name in (f"{stem}.wav", "good.wav"))
    with AnalysisPool(2, job=MISBEHAVE) as pool:
        for outcome in pool.run(tasks):
            print(outcome.task.path.name, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
