"""What a worker process does: it reads one file after another, within limits, until its parent is gone."""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Final

from moodzone_agent.errors import AudioError, FileError

if TYPE_CHECKING:
    from moodzone_agent.audio.decode import AudioReader

_REPORT_SECONDS: Final = 0.25
_MEMORY: Final = 1 << 30
"""Bytes; reading a file takes a tenth of it. Linux holds to it, macOS and Windows know no such limit."""
_SAME_DURATION: Final = 0.05
"""Seconds within which two stated durations may be of one recording."""


class Gauge(ctypes.Structure):
    """In memory shared with the parent: how far a worker is. The worker writes, four times a second."""

    _fields_ = (("share_read", ctypes.c_double), ("cpu_seconds", ctypes.c_double))
    share_read: float
    """Of the file at hand, 0 to 1."""
    cpu_seconds: float
    """Of the process since its start."""


class Desk:
    """What a worker knows while it reads a file, and what its watch may see of it."""

    def __init__(self, known_durations: Sequence[float] = ()) -> None:
        self._known_durations = known_durations
        self.reader: AudioReader | None = None
        """Of the file at hand."""

    def knows(self, duration: float | None) -> bool:
        """Whether a track that was analysed before is as long, in seconds."""
        if duration is None:
            return False
        place = bisect_left(self._known_durations, duration - _SAME_DURATION)
        known = self._known_durations[place : place + 1]
        return bool(known) and known[0] <= duration + _SAME_DURATION


Job = Callable[[Any, Desk], Any]


def work(
    connection: Connection[Any, Any], gauge: Gauge, known_durations: Sequence[float], job: tuple[str, str]
) -> None:
    """Answer each task with a pair of its result and its error, once None has said that all is ready.

    `known_durations`: seconds, rising. `job`: module and name of the function that does a task; imported here
    only, because the parent has no need of what it imports.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent, which gets it too, decides
    _limit_resources()
    desk = Desk(known_durations)
    threading.Thread(target=_watch, args=(desk, gauge), daemon=True).start()
    do: Job = getattr(importlib.import_module(job[0]), job[1])
    with suppress(EOFError, ConnectionError):  # the parent is gone
        connection.send(None)
        while True:
            connection.send(_answer(do, connection.recv(), desk))
            desk.reader = None


def _answer(do: Job, task: Any, desk: Desk) -> tuple[Any, FileError | OSError | None]:
    try:
        return do(task, desk), None
    except (FileError, OSError) as error:
        return None, error
    except MemoryError:
        return None, AudioError(f"needs more than {_MEMORY >> 20} MB of memory; it may be damaged")
    except Exception as error:  # noqa: BLE001 - the edge that isolates one file
        return None, AudioError(f"could not be analysed ({type(error).__name__}: {error})")


def _limit_resources() -> None:
    """No file may take all memory, fill the disk with the cores of crashes, or push ahead where the parent doesn't."""
    if sys.platform == "win32":
        from moodzone_agent.priority import lower_as_parent

        lower_as_parent()
        return
    import resource

    for limit, value in ((resource.RLIMIT_DATA, _MEMORY), (resource.RLIMIT_CORE, 0)):
        _, most = resource.getrlimit(limit)
        if most == resource.RLIM_INFINITY or value < most:
            resource.setrlimit(limit, (value, most))


def _watch(desk: Desk, gauge: Gauge) -> None:
    """Report how far the worker is, and end it with its parent, even in the middle of a file."""
    parent = parent_process()
    assert parent is not None
    while not wait([parent.sentinel], timeout=_REPORT_SECONDS):
        gauge.cpu_seconds = time.process_time()
        reader = desk.reader
        if reader is not None:
            gauge.share_read = reader.share_read
    os._exit(1)
