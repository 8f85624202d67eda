"""One agent for each library: a lock that the system releases, whatever becomes of the process."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from exporters.filesystem import try_lock
from moodzone_agent.config import Places
from moodzone_agent.errors import UsageError

_LOCK: Final = "lock"
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that is the agent of a library."""

    pid: int
    started: datetime
    """In UTC, by the machine's clock at that time."""


class AgentLock:
    """Makes this process the agent of a library for as long as the context lasts.

    Errors: `UsageError` where another process is, or the lock can't be kept.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self._path = places.agent / _LOCK
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            if not try_lock(self._descriptor):
                raise _held(self._places)
            record = {"pid": os.getpid(), "process": _token(os.getpid()), "started": str(datetime.now(UTC))}
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)  # where Windows locks is elsewhere
            os.write(self._descriptor, json.dumps(record).encode("ascii"))
        except OSError as error:
            self.close()
            raise UsageError(
                f"{self._path} cannot be kept ({error.strerror}), and without it two agents might run; "
                "make its folder writable, or free some space there"
            ) from error
        except UsageError:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release it before the context ends; Windows deletes no open file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def erase(self) -> None:
        """Release it and delete its file. Errors: `OSError`."""
        self.close()
        self._path.unlink(missing_ok=True)


def holder(places: Places) -> Holder | None:
    """The agent of a library, if one runs. Takes no lock, so that an agent may start meanwhile."""
    try:
        record = json.loads((places.agent / _LOCK).read_bytes())
        found = Holder(int(record["pid"]), datetime.fromisoformat(record["started"]))
        is_alive = record["process"] == _token(found.pid)
    except (OSError, ValueError, TypeError, KeyError, OverflowError):  # none, or about to be written
        return None
    return found if is_alive else None


def _held(places: Places) -> UsageError:
    other = holder(places)
    who = (
        f"process {other.pid}, since {other.started.astimezone():%Y-%m-%d %H:%M}" if other else "just started"
    )
    return UsageError(
        f"the agent runs already ({who}): `moodzone agent status` shows what it does, "
        "`moodzone agent stop` ends it"
    )


def _token(pid: int) -> str | None:
    """What tells a process from a later one with its number; None where there is no such process.

    Not psutil's time of creation on Linux: that moves whenever the clock is set.
    """
    if sys.platform == "linux":
        try:
            status = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            return f"{_BOOT.read_text().strip()} {status[19].decode()}" if status[0] != b"Z" else None
        except (OSError, IndexError):
            return None
    else:
        import psutil

        try:
            return str(psutil.Process(pid).create_time())
        except (psutil.Error, ValueError):
            return None
