"""Frames of many files. What was computed is kept by audio id, in a folder for each version of the features."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.audio.decode import AudioReader
from moodzone_agent.console import printable
from moodzone_agent.errors import AudioError, FileChangedError, FileError, LibraryError
from moodzone_agent.features.frames import FrameAccumulator
from moodzone_agent.features.spec import FEATURES_VERSION, FRAME_COLUMNS, FRAME_SECONDS
from moodzone_agent.library.records import Stamp
from moodzone_agent.worker import Desk
from moodzone_agent.workers import AnalysisPool, Task

_JOB: Final = ("trainer.datasets.frames", "read_frames")
_TAKEN_AT_ONCE: Final = 16
"""What lies behind the columns is twenty times as large, and not wanted."""


@dataclass(frozen=True, slots=True)
class Frames:
    """The frames of one file."""

    audio_id: str
    columns: NDArray[np.float32]
    """[T, C]: one row per 0.5 s, one column per name of `spec.FRAME_COLUMNS`."""


def read_frames(task: Task, desk: Desk) -> Frames | str:
    """A worker's job: all frames of a file, or only its audio id if that was asked first.

    Errors: `AudioError`; `FileChangedError` if the file is another at the end than at the start; `OSError`.
    """
    before = Stamp.of(task.path.stat())
    frames = FrameAccumulator()
    parts = []
    with AudioReader(task.path) as reader:
        desk.reader = reader
        if task.identify_first:
            return reader.identify()
        for block in reader.blocks():
            frames.push(block)
            if frames.waiting >= _TAKEN_AT_ONCE:
                parts.append(frames.take().columns.copy())
        parts.append(frames.finish().columns)
    if Stamp.of(task.path.stat()) != before:
        raise FileChangedError("changed while it was read; extract again")
    columns = np.concatenate(parts)
    if not len(columns):
        raise AudioError(f"holds less than {FRAME_SECONDS} s of audio")
    assert columns.shape[1] == len(FRAME_COLUMNS)
    return Frames(reader.audio_id, columns)


def extract_frames(
    files: Iterable[Path], kept: Path, *, jobs: int
) -> Iterator[tuple[Path, Frames | FileError | OSError]]:
    """Each file with its frames or its error, in the order given, from worker processes.

    Frames are kept in the folder `kept` as they come; of audio that has some there, only the packets are read.
    Errors: `LibraryError` where that folder can't be used.
    """
    order = list(dict.fromkeys(files))
    tasks: deque[Task] = deque()
    done: dict[Path, Frames | FileError | OSError] = {}
    for path in order:
        try:
            tasks.append(Task(path, path.stat().st_size, identify_first=True))
        except OSError as error:
            done[path] = error
    outcomes = _outcomes(tasks, _Kept(kept / f"{FEATURES_VERSION}"), jobs)
    for path in order:
        while path not in done:
            at, result = next(outcomes)
            done[at] = result
        yield path, done.pop(path)


def _outcomes(
    tasks: deque[Task], kept: _Kept, jobs: int
) -> Iterator[tuple[Path, Frames | FileError | OSError]]:
    if not tasks:
        return
    with AnalysisPool(min(jobs, len(tasks)), job=_JOB) as pool:
        for outcome in pool.run(tasks):
            path, result = outcome.task.path, cast("Frames | str | None", outcome.result)
            if isinstance(result, str):
                known = kept.get(result)
                if known is not None:
                    yield path, known
                else:  # at once, while its bytes are still in memory
                    tasks.appendleft(replace(outcome.task, identify_first=False, analyse_always=True))
            elif result is not None:
                kept.put(result)
                yield path, result
            elif outcome.error is not None:
                yield path, outcome.error


class _Kept:
    """Frames on the disk, a file for each recording."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LibraryError(_unusable(folder, error)) from error

    def get(self, audio_id: str) -> Frames | None:
        path = self._path(audio_id)
        try:
            columns = np.load(path, allow_pickle=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LibraryError(_unusable(path, error)) from error
        except (ValueError, EOFError) as error:
            raise LibraryError(_damaged(path)) from error
        if columns.dtype != np.float32 or columns.ndim != 2 or columns.shape[1] != len(FRAME_COLUMNS):
            raise LibraryError(_damaged(path))
        return Frames(audio_id, columns)

    def put(self, frames: Frames) -> None:
        path = self._path(frames.audio_id)
        temp = path.with_name(f".mz-{secrets.token_hex(4)}.tmp")
        try:
            try:
                with temp.open("xb") as file:
                    np.save(file, frames.columns, allow_pickle=False)
                temp.replace(path)
            finally:
                temp.unlink(missing_ok=True)
        except OSError as error:
            raise LibraryError(_unusable(path, error)) from error

    def _path(self, audio_id: str) -> Path:
        return self._folder / f"{audio_id}.npy"


def _unusable(path: Path, error: OSError) -> str:
    return (
        f"The cache {printable(path)} cannot be used ({error.strerror or error}): name another with --cache."
    )


def _damaged(path: Path) -> str:
    return f"The cached frames {printable(path)} are damaged: delete that file and run again."
