"""Watches folders and says which files to look at again, which are gone, and which folders need a full sweep.

    watchdog's threads, pollers ── queue ── settling ── one set of changes at a time

Events only say where to look: what is there is always asked of the disk. So it does no harm that watchdog may
report a path twice, late, or under a name that a folder had before it was moved away.
"""

from __future__ import annotations

import errno
import os
import queue
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver, ObservedWatch

from exporters.filesystem import is_gone
from moodzone_agent.walk import Found, look, walk
from moodzone_agent.watch.filters import Filter, is_of_interest
from moodzone_agent.watch.polling import Event, Kind, Mount, Poller, mounts, why_poll
from moodzone_agent.watch.settle import Look, Settling, is_complete

ObserverFactory = Callable[[Callable[[], None]], BaseObserver]
"""Makes an observer; what it is given shall be called, from any thread, when the observer has lost events."""

_CHECK_SECONDS: Final = 5.0
"""Between looks at whether the roots are there and watched."""
_CLOSE_SECONDS: Final = 1.0
_MOST_EVENTS: Final = 50_000
"""Events kept until `Watcher.changes` is called; beyond, a sweep costs less."""
_MOST_DELAYS: Final = 10
"""Times that a file stands still, for which what is gone is kept back at most."""
_MOUNT_TABLE: Final = Path("/proc/self/mountinfo")

_SEEN: Final[list[type[FileSystemEvent]]] = [
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileDeletedEvent,
    # Linux says when a file that was written to is closed, and a copy under way need not be told of block by block.
    FileClosedEvent if sys.platform == "linux" else FileModifiedEvent,
]
"""All that watchdog is asked for. Not opening, nor closing what was only read, which is what we do ourselves."""


class Mode(StrEnum):
    """How a root is watched."""

    EVENTS = "events"
    """The system tells of changes."""
    POLLING = "polling"
    """It is looked through again and again."""
    AWAY = "away"
    """It isn't there, and will be taken up when it is."""


@dataclass(frozen=True, slots=True)
class State:
    """How a root is watched, and why not by events."""

    mode: Mode
    reason: str = ""
    """In words for the user, with what cures it; empty with events."""


class Changes(NamedTuple):
    """What happened. All paths are absolute, and free of links but for the roots."""

    ready: frozenset[Path] = frozenset()
    """Files that are new, were changed or got this name, and are at rest: for `pipeline.scan`."""
    sweep: frozenset[Path] = frozenset()
    """Roots, as given, to be scanned as a whole, since changes may have been missed: for `pipeline.scan`."""
    gone: frozenset[Path] = frozenset()
    """Files and folders that are no longer there while their root is; of those here, the outermost.

    Not for `pipeline.scan`, which calls a path that is gone unreadable and keeps its records:
    `Library.mark_missing(path, ())` marks the file at the path, and all files below it. It asks the disk again, and
    does nothing if the drive was pulled out."""

    def __bool__(self) -> bool:
        return any(self)


@dataclass(slots=True, eq=False)
class _Source:
    """One root and what watches it."""

    root: Path
    real: Path
    """Free of links."""
    state: State
    identity: tuple[int, int] | None = None
    """Device and inode: whether it is still the same folder, since a watch stays with the one it was put on."""
    mounts: frozenset[Mount] = frozenset()
    """At and below it; watches are put only on what is mounted at the time."""
    watch: ObservedWatch | None = None
    pollers: list[Poller] = field(default_factory=list)
    """Of the root, or of what is mounted below it without events."""


class Watcher:
    """Watches roots, which may be folders or files, lie inside each other, or not exist yet.

    Each is taken up when it appears and again when it is another than before, and then asked to be swept, at the
    start, too. All methods but `wake` are for one thread.
    """

    def __init__(
        self,
        roots: Iterable[Path],
        *,
        keep: Filter = is_of_interest,
        settle_seconds: float = 2.0,
        poll_seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
        observer: ObserverFactory | None = None,
    ) -> None:
        """Only what passes ``keep`` is told. ``settle_seconds``: how long a file stands still until it is ready, and a
        path is absent until it is gone. ``poll_seconds``: at least so long between two polls where there are no events.
        """
        self._keep = keep
        self._settle_seconds = settle_seconds
        self._poll_seconds = poll_seconds
        self._clock = clock
        self._make_observer = observer or _system_observer
        self._observer: BaseObserver | None = None
        self._sources: dict[Path, _Source] = {}
        self._inbox: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        """None only ends the wait. A SimpleQueue, as it can be put to from a signal's handler."""
        self._lost: set[Path] = set()
        """Real roots of the events that found no place; other threads only add."""
        self._kernel_lost = False
        self._is_woken = False
        self._settling = Settling(settle_seconds)
        self._absent: set[Path] = set()
        """What was said to be gone, to be told together, so that a deleted folder is told as one."""
        self._absent_due = self._absent_limit = 0.0
        """When to believe it, and when at the latest if ever more is deleted."""
        self._folders: dict[Path, float] = {}
        """New folders, and when to look for files that came before they were watched; in the order of time."""
        self._have_folders_come = False
        """Since the last check, so that watches may have run out."""
        self._next_check = clock()
        self._mount_table = b""
        self._mounts: list[Mount] = []
        """By the table as it was last read."""
        self._ready: set[Path] = set()
        self._sweep: set[Path] = set()
        self._gone: set[Path] = set()
        self.set_roots(roots)

    def __enter__(self) -> Self:
        self._check(self._clock())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop watching, within a second unless a disk does not answer; another `changes` would start again."""
        pollers = [poller for source in self._sources.values() for poller in source.pollers]
        for source in self._sources.values():
            self._stop(source, "not watched any more")
        self._drop_observer()
        until = time.monotonic() + _CLOSE_SECONDS
        for poller in pollers:
            poller.join(max(0.0, until - time.monotonic()))

    def set_roots(self, roots: Iterable[Path]) -> None:
        """Watch these and no others from the next `changes` on; those that stay aren't disturbed."""
        wanted = {Path(os.path.abspath(root)): None for root in roots}  # noqa: PTH100 (links are kept)
        for root in [root for root in self._sources if root not in wanted]:
            self._stop(self._sources.pop(root), "")
        for root in wanted:
            if root not in self._sources:
                self._sources[root] = _Source(root, root, State(Mode.AWAY, "not looked at yet"))
        self._next_check = self._clock()

    def modes(self) -> Mapping[Path, State]:
        """How each root is watched now."""
        return {root: source.state for root, source in self._sources.items()}

    def wake(self) -> None:
        """End a wait in `changes`, or the next one; from any thread, or a signal's handler."""
        self._is_woken = True
        self._inbox.put(None)

    def stream(self, stop: threading.Event, timeout: float) -> Iterator[Changes]:
        """Changes until ``stop`` is set; empty ones after ``timeout`` seconds without any, or when woken."""
        while not stop.is_set():
            yield self.changes(timeout)

    def changes(self, timeout: float) -> Changes:
        """Wait until there is something to do, at most ``timeout`` seconds; with 0, tell what is due."""
        end = self._clock() + timeout
        while True:
            for _ in range(self._inbox.qsize()):
                self._take_event(self._inbox.get_nowait())
            now = self._clock()
            if now >= self._next_check:
                self._check(now)
            self._sweep_what_was_lost()
            self._look(now)
            if self._is_woken or self._ready or self._sweep or self._gone or now >= end:
                self._is_woken = False
                return self._result()
            try:
                self._take_event(self._inbox.get(timeout=max(0.0, min(end, *self._moments()) - now)))
            except queue.Empty:
                continue

    def _moments(self) -> Iterator[float]:
        """When something is to be done next."""
        yield self._next_check
        if (due := self._settling.due()) is not None:
            yield due
        if self._absent:
            yield self._absent_due
        yield from islice(self._folders.values(), 1)

    def _result(self) -> Changes:
        changes = Changes(frozenset(self._ready), frozenset(self._sweep), frozenset(self._gone))
        self._ready, self._sweep, self._gone = set(), set(), set()
        return changes

    # What comes from other threads

    def _put(self, event: Event) -> None:
        """Called by watchdog's threads and pollers."""
        if self._inbox.qsize() < _MOST_EVENTS:
            self._inbox.put(event)
        else:
            self._lost.add(event.root)

    def _on_overflow(self) -> None:
        """Called by the thread that reads from the kernel."""
        self._kernel_lost = True
        self._inbox.put(None)

    def _take_event(self, event: Event | None) -> None:
        if event is None:
            return
        now = self._clock()
        kind, root, path, is_folder = event
        if kind is Kind.SWEEP:
            self._sweep_around(root)
        elif kind is Kind.GONE:
            if path == root:
                self._next_check = now
                return
            self._settling.note(path, None, now)
            if not self._absent:
                self._absent_limit = now + _MOST_DELAYS * self._settle_seconds
            self._absent.add(path)
            self._absent_due = min(now + self._settle_seconds, self._absent_limit)
        elif is_folder:
            self._have_folders_come = True
            self._folders.setdefault(path, now + self._settle_seconds)
        elif path not in self._settling:  # else it is looked at when it is due
            self._note(path, now)

    def _sweep_what_was_lost(self) -> None:
        if self._kernel_lost:
            self._kernel_lost = False
            self._sweep.update(
                source.root for source in self._sources.values() if source.state.mode is Mode.EVENTS
            )
        while self._lost:
            self._sweep_around(self._lost.pop())

    def _sweep_around(self, folder: Path) -> None:
        """Have all roots swept that are at or above it."""
        self._sweep.update(
            source.root for source in self._sources.values() if folder.is_relative_to(source.real)
        )

    # What the disk says

    def _look(self, now: float) -> None:
        """All looks that are due."""
        for path in self._settling.to_look(now):
            self._note(path, now)
        for path in self._settling.ready():
            found = self._found(path)
            if found is not None and _can_be_read(found.path):
                self._ready.add(found.path)
        for folder in _outermost(_due(self._folders, now)):
            root = self._root_of(folder)
            if root is not None and isinstance(look(folder, root), Path):
                self._note_all(folder, root, now)
        if self._absent and now >= self._absent_due:
            self._check(now)  # when a drive is pulled out, all its files look gone
            absent, self._absent = self._absent, set()
            self._gone.update(_outermost(path for path in absent if self._root_of(path) and is_gone(path)))

    def _note_all(self, folder: Path, root: Path, now: float) -> None:
        for item in walk(folder):
            # A link may lead to a file elsewhere; the next sweep finds it.
            if isinstance(item, Found) and item.path.is_relative_to(root) and item.path not in self._settling:
                self._settling.note(item.path, Look.of(item.stat), now)

    def _note(self, path: Path, now: float) -> None:
        found = self._found(path)
        self._settling.note(path, None if found is None else Look.of(found.stat), now)

    def _found(self, path: Path) -> Found | None:
        """The file at ``path``, unless a walk would not come to it; of a link, the file it leads to."""
        root = self._root_of(path)
        if root is None:
            return None
        seen = next(walk(path)) if root == path else look(path, root)
        return seen if isinstance(seen, Found) else None

    def _root_of(self, path: Path) -> Path | None:
        """The innermost root that is there and holds ``path``."""
        roots = [
            source.real
            for source in self._sources.values()
            if source.state.mode is not Mode.AWAY and path.is_relative_to(source.real)
        ]
        return max(roots, key=lambda root: len(root.parts), default=None)

    # The roots

    def _check(self, now: float) -> None:
        """Whether each root is there, the same as before, and watched; else put that right."""
        self._next_check = now + _CHECK_SECONDS
        table = _read_mount_table()
        if table != self._mount_table or not self._mounts:
            self._mounts, self._mount_table = mounts(), table
        watches_used_up = self._have_folders_come and self._observer is not None and _are_watches_used_up()
        self._have_folders_come = False
        for source in list(self._sources.values()):
            self._check_source(source, watches_used_up)

    def _check_source(self, source: _Source, watches_used_up: bool) -> None:
        try:
            real, identity, is_folder = _identify(source.root)
        except OSError as error:
            self._stop(source, f"not there ({error.strerror or error})")
            return
        inside = frozenset(mount for mount in self._mounts if mount.point.is_relative_to(real))
        is_same = (real, inside) == (source.real, source.mounts)
        if is_folder:  # a file is another after each careful edit
            is_same = is_same and identity == source.identity
        runs_out = watches_used_up and source.state.mode is Mode.EVENTS
        if source.state.mode is not Mode.AWAY and is_same and not runs_out and self._is_watched(source):
            return
        self._stop(source, "")
        source.real, source.identity, source.mounts = real, identity, inside
        self._start(source, is_folder=is_folder)

    def _is_watched(self, source: _Source) -> bool:
        if not all(poller.is_alive() for poller in source.pollers):
            return False
        if source.state.mode is Mode.POLLING:
            return True
        return (
            self._observer is not None
            and self._observer.is_alive()
            and any(
                emitter.watch == source.watch and emitter.is_alive() for emitter in self._observer.emitters
            )
        )

    def _start(self, source: _Source, *, is_folder: bool) -> None:
        reason = why_poll(source.real, self._mounts) if is_folder else "it is a single file"
        if not reason:
            reason = self._schedule(source)
        if reason:
            source.state = State(Mode.POLLING, reason)
            self._poll(source, source.real)  # which asks for a sweep when it has seen all
            return
        source.state = State(Mode.EVENTS)
        self._sweep.add(source.root)
        for point in {mount.point for mount in source.mounts if mount.point != source.real}:
            if why_poll(point, self._mounts) and self._keep(point, source.real, True):
                self._poll(source, point)

    def _poll(self, source: _Source, top: Path) -> None:
        poller = Poller(top, self._keep, self._poll_seconds, self._put)
        source.pollers.append(poller)
        poller.start()

    def _schedule(self, source: _Source) -> str:
        """Have events of the root; else the reason why there are none."""
        try:
            if self._observer is None or not self._observer.is_alive():
                self._drop_observer()
                self._observer = self._make_observer(self._on_overflow)
                self._observer.start()
            handler = _Handler(source.real, self._keep, self._put)
            source.watch = self._observer.schedule(
                handler, str(source.real), recursive=True, event_filter=_SEEN
            )
        except OSError as error:
            return _why_no_events(error)
        if _are_watches_used_up():
            self._unschedule(source)
            return _why_no_events(OSError(errno.ENOSPC, ""))
        return ""

    def _unschedule(self, source: _Source) -> None:
        watch, source.watch = source.watch, None
        shared = any(
            other.watch == watch for other in self._sources.values()
        )  # as by a folder and a link to it
        if self._observer is not None and watch is not None and not shared:
            self._observer.unschedule(watch)

    def _stop(self, source: _Source, reason: str) -> None:
        for poller in source.pollers:
            poller.stop()
        source.pollers = []
        self._unschedule(source)
        source.state = State(Mode.AWAY, reason)
        self._absent = {path for path in self._absent if not path.is_relative_to(source.real)}

    def _drop_observer(self) -> None:
        observer, self._observer = self._observer, None
        for source in self._sources.values():
            source.watch = None
        if observer is not None:
            observer.stop()
            if observer.ident is not None:
                observer.join(_CLOSE_SECONDS)


class _Handler(FileSystemEventHandler):
    """Puts what matters of watchdog's events into the queue, and does nothing else on its thread."""

    def __init__(self, root: Path, keep: Filter, put: Callable[[Event], None]) -> None:
        self._root = root
        self._keep = keep
        self._put = put

    def dispatch(self, event: FileSystemEvent) -> None:
        match event:
            case FileMovedEvent() | DirMovedEvent():
                self._tell(Kind.GONE, event.src_path, event.is_directory)
                self._tell(Kind.CHANGED, event.dest_path, event.is_directory)
            case FileDeletedEvent() | DirDeletedEvent():
                self._tell(Kind.GONE, event.src_path, event.is_directory)
            case FileCreatedEvent() | FileClosedEvent() | FileModifiedEvent() | DirCreatedEvent():
                self._tell(Kind.CHANGED, event.src_path, event.is_directory)
            case _:  # reading
                pass

    def _tell(self, kind: Kind, name: bytes | str, is_folder: bool) -> None:
        path = Path(os.fsdecode(name))
        if path == self._root:
            if kind is Kind.GONE:
                self._put(Event(kind, self._root, path, is_folder))
        elif path.is_relative_to(self._root) and self._keep(path, self._root, is_folder):
            self._put(Event(kind, self._root, path, is_folder))


def _system_observer(on_overflow: Callable[[], None]) -> BaseObserver:
    if sys.platform != "linux":
        from watchdog.observers import Observer

        return Observer()
    from moodzone_agent.watch.inotify import InotifyObserver

    return InotifyObserver(on_overflow)


def _are_watches_used_up() -> bool:
    if sys.platform != "linux":
        return False
    from moodzone_agent.watch.inotify import are_watches_used_up

    return are_watches_used_up()


def _why_no_events(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return (
            "the system watches no more folders for one user: raise the limit with "
            "`sudo sysctl fs.inotify.max_user_watches=524288` and restart the agent"
        )
    if error.errno == errno.EMFILE:
        return (
            "too many programs of this user watch folders: raise the limit with "
            "`sudo sysctl fs.inotify.max_user_instances=512` and restart the agent"
        )
    return f"the system does not tell of changes there ({error.strerror or error})"


def _identify(root: Path) -> tuple[Path, tuple[int, int], bool]:
    """Where a root really is, its device and inode, and whether it is a folder. Errors: `OSError`."""
    real = Path(os.path.realpath(root))
    status = real.stat()
    return real, (status.st_dev, status.st_ino), stat.S_ISDIR(status.st_mode)


def _read_mount_table() -> bytes:
    """What changes whenever something is mounted or taken off; always empty on other systems than Linux."""
    try:
        return _MOUNT_TABLE.read_bytes()
    except OSError:
        return b""


def _can_be_read(path: Path) -> bool:
    """Whether it is worth handing on: whole, or not to be opened, whose reason the scan tells."""
    try:
        return is_complete(path)
    except OSError:
        return True


def _due(times: dict[Path, float], now: float) -> list[Path]:
    """Take out what is due of times in their order."""
    due = []
    for path, moment in times.items():
        if moment > now:
            break
        due.append(path)
    for path in due:
        del times[path]
    return due


def _outermost(paths: Iterable[Path]) -> list[Path]:
    """Those that do not lie below another."""
    all_paths = set(paths)
    return [path for path in all_paths if all_paths.isdisjoint(path.parents)]
