"""What workers are given to do in test_workers.py; a module of its own, because they import it by name."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections import deque
from pathlib import Path
from typing import Any, BinaryIO

from moodzone_agent.library.records import Analysis
from moodzone_agent.workers import AnalysisPool, Task, read_file


def misbehave(task: Task) -> Analysis | str:
    """Do what the file's name says; read any other."""
    match task.path.stem:
        case "abort":
            os.abort()
        case "exit":
            os._exit(3)
        case "hang":
            while True:
                pass
        case "fault":
            raise ValueError("a fault of ours")
        case "drive":
            raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")
    return read_file(task)


class EditedPath(type(Path())):  # type: ignore[misc]
    """A file that another program rewrites once it has been opened."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        file = super().open(*args, **kwargs)
        os.utime(self, ns=(1, 1))
        return file


class FailingPath(type(Path())):  # type: ignore[misc]
    """A file on a disk that reads 10,000 bytes and then fails."""

    def open(self, *args: Any, **kwargs: Any) -> BinaryIO:
        return _Failing(io.FileIO(os.fspath(self)))


class _Failing(io.BufferedReader):
    left = 10_000

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.left -= len(data)
        if self.left < 0:
            raise OSError(errno.EIO, "Input/output error")
        return data


def main(folder: Path) -> None:
    """Say so once one file is read, while another keeps a worker busy for ever."""
    tasks = deque(Task(folder / name, 1000) for name in ("hang.wav", "good.wav"))
    with AnalysisPool(2, read=misbehave) as pool:
        for outcome in pool.run(tasks):
            print(outcome.task.path.name, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
