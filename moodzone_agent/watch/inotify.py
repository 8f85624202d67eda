"""What watchdog does not tell of Linux's inotify: that events were lost, and that watches have run out."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable

from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyEmitter
from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchCallback,
    WatchDescriptor,
    inotify_add_watch,
    inotify_init,
)


class InotifyObserver(BaseObserver):
    """Watchdog's observer of the same name, which also tells of an overflow of the kernel's queue.

    It counts as alive only while the thread that reads from the kernel is. Errors: `OSError` when the user has too
    many instances.
    """

    def __init__(self, on_overflow: Callable[[], None]) -> None:
        """``on_overflow`` is called from another thread."""
        self._reader = _Reader(on_overflow)
        self._reader.start()
        super().__init__(InotifyEmitter, inotify_fd=self._reader)

    def is_alive(self) -> bool:
        """Whether all that passes events on is alive, but for the emitters."""
        return super().is_alive() and self._reader.is_alive()

    def on_thread_stop(self) -> None:
        """Stop the emitters, then the reader."""
        super().on_thread_stop()
        self._reader.stop()
        self._reader.join()


class _Reader(InotifyFD):
    def __init__(self, on_overflow: Callable[[], None]) -> None:
        super().__init__()
        self._on_overflow = on_overflow

    def _add_callback(
        self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId
    ) -> WatchDescriptor:
        # A folder made just after the one around it is added twice. Watchdog's own way then is to warn, in words
        # that hold the names of all folders watched, so that a tree that is copied in takes quadratic time.
        watch = self._get_or_create_watch(path, mask)
        watch.callbacks[id_] = callback
        return watch.wd

    def handle_event(self, event: InotifyEvent) -> None:
        super().handle_event(event)
        if event.is_queue_overflow:  # told when the watches are in order again
            self._on_overflow()


def are_watches_used_up() -> bool:
    """Whether the user may add no further watch, so that watchdog has silently left folders unwatched."""
    descriptor = inotify_init()
    if descriptor < 0:
        return False  # too many instances: that says nothing of watches
    try:
        watch = inotify_add_watch(descriptor, b"/", InotifyConstants.IN_DELETE_SELF)
        return watch < 0 and ctypes.get_errno() == errno.ENOSPC
    finally:
        os.close(descriptor)
