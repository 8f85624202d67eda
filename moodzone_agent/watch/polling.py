"""Watching by looking again, for disks that do not tell of changes.

Most changes in a folder (a file or folder that comes, goes or is renamed, a file replaced as careful programs do it)
show in the folder's own time. So a poll asks each folder for its time, some ten times fewer questions than
asking each file, and lists those that changed; the rest is listed in turn, a tenth at each poll, so that a file that
is overwritten in its place is seen at the tenth poll at the latest. Watchdog's own PollingObserver asks for each file
at each poll and keeps its whole ``stat``.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from moodzone_agent.watch.filters import Filter
from moodzone_agent.watch.settle import Look

_TURNS: Final = 10
"""Polls until every folder was listed."""
_SHARE_OF_TIME: Final = 0.1
"""Most of the time that polling takes; where disks are slow, polls are rarer."""
_NETWORK: Final = frozenset(
    """
    9p acfs afpfs afs beegfs ceph cifs coda davfs drvfs gfs2 glusterfs gpfs lustre ncp ncpfs nfs nfs4 ocfs2 panfs
    prl_fs pvfs2 smb2 smb3 smbfs vboxsf virtiofs vmhgfs webdav
    """.split()  # noqa: SIM905
)
"""File systems of other machines, or of the host of a virtual one: what is changed there causes no event here."""


class Kind(Enum):
    """What an event says."""

    CHANGED = auto()
    """Something is there, perhaps new."""
    GONE = auto()
    """It was there and is no longer."""
    SWEEP = auto()
    """Changes may have been missed; look at all below the root."""


class Event(NamedTuple):
    """One change below a root."""

    kind: Kind
    root: Path
    path: Path
    is_folder: bool


class Mount(NamedTuple):
    """A file system and where it appears."""

    point: Path
    device: str
    kind: str
    """In lower case."""
    options: str


def mounts() -> list[Mount]:
    """What is mounted now; of two at one point the later shows."""
    return [
        Mount(Path(disk.mountpoint), disk.device, disk.fstype.lower(), disk.opts)
        for disk in psutil.disk_partitions(all=True)
    ]


def why_poll(path: Path, mounted: Iterable[Mount]) -> str:
    """Why changes at ``path``, absolute and free of links, must be looked for; empty if the system tells of them."""
    if path.drive.startswith("\\\\"):
        return "it is on another machine"
    depth = 0
    reason = ""
    for mount in mounted:
        if path.is_relative_to(mount.point) and len(mount.point.parts) >= depth:
            depth = len(mount.point.parts)
            reason = _why_poll_mount(mount)
    return reason


def _why_poll_mount(mount: Mount) -> str:
    if mount.kind in _NETWORK or mount.kind.startswith("fuse.") or "remote" in mount.options.split(","):
        return f"its file system ({mount.kind}) does not tell of changes made elsewhere"
    return ""


@dataclass(slots=True)
class _Folder:
    mtime_ns: int
    files: dict[str, int] = field(default_factory=dict)
    """The hash of each file's `Look`, which takes less memory."""
    folders: set[str] = field(default_factory=set)
    is_fresh: bool = True
    """Listed in the poll that saw its time change: more may have come within the same tick of the disk's clock."""


class Snapshot:
    """What was last seen below a root, a folder or one file."""

    def __init__(self, root: Path, keep: Filter, is_stopped: Callable[[], bool] = lambda: False) -> None:
        """``is_stopped`` is asked at each folder; what a stopped poll has not come to stays as it was."""
        self._root = root
        self._keep = keep
        self._is_stopped = is_stopped
        self._folders: dict[str, _Folder] = {}
        self._single: int | None = None
        self._polls = 0

    def refresh(self) -> Iterator[Event]:
        """Look again; yields what differs from the last time. At first, all there is counts as changed.

        A folder that cannot be read stays as it was. That the root is gone, another has to find out.
        """
        self._polls += 1
        try:
            status = self._root.stat()
        except OSError:
            return
        if not stat.S_ISDIR(status.st_mode):
            single = hash(Look.of(status))
            if single != self._single:
                self._single = single
                yield Event(Kind.CHANGED, self._root, self._root, is_folder=False)
            return
        waiting = [str(self._root)]
        count = 0
        while waiting and not self._is_stopped():
            path = waiting.pop()
            yield from self._refresh_folder(path, is_turn=(count + self._polls) % _TURNS == 0)
            if path in self._folders:
                waiting += (os.path.join(path, name) for name in self._folders[path].folders)  # noqa: PTH118
            count += 1

    def _refresh_folder(self, path: str, *, is_turn: bool) -> Iterator[Event]:
        known = self._folders.get(path)
        try:
            mtime_ns = os.stat(path).st_mtime_ns  # noqa: PTH116
            changed = known is None or known.mtime_ns != mtime_ns
            if not (changed or is_turn or (known is not None and known.is_fresh)):
                return
            listed = self._list(path, mtime_ns, known)
        except OSError:
            return
        listed.is_fresh = changed
        self._folders[path] = listed
        before = known or _Folder(0)
        for name, look in listed.files.items():
            if before.files.get(name) != look:
                yield self._event(Kind.CHANGED, path, name, is_folder=False)
        for name in before.files.keys() - listed.files.keys():
            yield self._event(Kind.GONE, path, name, is_folder=False)
        for name in before.folders - listed.folders:
            self._forget(os.path.join(path, name))  # noqa: PTH118
            yield self._event(Kind.GONE, path, name, is_folder=True)

    def _list(self, path: str, mtime_ns: int, known: _Folder | None) -> _Folder:
        folder = Path(path)
        listed = _Folder(mtime_ns)
        with os.scandir(path) as entries:
            for entry in entries:
                is_folder = entry.is_dir(follow_symlinks=False)
                if not self._keep(folder / entry.name, folder, is_folder):
                    continue
                if is_folder:
                    listed.folders.add(entry.name)
                    continue
                try:
                    listed.files[entry.name] = hash(Look.of(entry.stat(follow_symlinks=False)))
                except FileNotFoundError:
                    continue
                except OSError:
                    if known is not None and entry.name in known.files:
                        listed.files[entry.name] = known.files[entry.name]
        return listed

    def _event(self, kind: Kind, folder: str, name: str, *, is_folder: bool) -> Event:
        return Event(kind, self._root, Path(folder, name), is_folder)

    def _forget(self, path: str) -> None:
        waiting = [path]
        while waiting:
            path = waiting.pop()
            folder = self._folders.pop(path, None)
            if folder is not None:
                waiting += (os.path.join(path, name) for name in folder.folders)  # noqa: PTH118


class Poller(threading.Thread):
    """Polls one root until it is stopped."""

    def __init__(self, root: Path, keep: Filter, seconds: float, put: Callable[[Event], None]) -> None:
        """``put`` takes the events, from this thread: at first a sweep, once all there is has been seen."""
        super().__init__(name=f"poll {root.name}", daemon=True)
        self._root = root
        self._seconds = seconds
        self._put = put
        self._stopped = threading.Event()
        self._snapshot = Snapshot(root, keep, self._stopped.is_set)

    def run(self) -> None:
        """Poll."""
        took = self._poll(lambda _: None)
        if not self._stopped.is_set():
            self._put(Event(Kind.SWEEP, self._root, self._root, is_folder=True))
        while not self._stopped.wait(max(self._seconds, took / _SHARE_OF_TIME)):
            took = self._poll(self._put)

    def _poll(self, put: Callable[[Event], None]) -> float:
        started = time.monotonic()
        for event in self._snapshot.refresh():
            if not self._stopped.is_set():
                put(event)
        return time.monotonic() - started

    def stop(self) -> None:
        """Tell it to end; it does at the next folder."""
        self._stopped.set()
