"""What the parts of the agent share: settings, the library, the journal, a clock, and where errors are noted."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from exporters.base import Collection
from exporters.journal import Journal
from moodzone_agent.config import Places, Settings
from moodzone_agent.errors import CollectionError
from moodzone_agent.library.store import Library
from moodzone_agent.machine import find_collections

_ERRORS_KEPT: Final = 5

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Context:
    """The agent's own; its parts read ``settings`` anew each time, since they may change."""

    places: Places
    settings: Settings
    library: Library
    journal: Journal
    clock: Callable[[], float]
    """Seconds, never set back."""
    errors: deque[str] = field(default_factory=lambda: deque(maxlen=_ERRORS_KEPT))
    """The newest first."""

    def note_error(self, text: str) -> None:
        """Log what went wrong, and keep it for ``moodzone agent status``."""
        log.warning("%s", text)
        if not self.errors or self.errors[0] != text:
            self.errors.appendleft(text)

    def collections(self, names: Iterable[str], *, named: bool) -> Iterator[Collection]:
        """The collections of these targets, as `find_collections` finds them; of one that fails the error is noted."""
        for name in names:
            try:
                yield from find_collections(name, self.library, self.settings, named=named)
            except (CollectionError, OSError) as error:
                self.note_error(f"{name}: {error}")


def stamp_of_files(paths: Iterable[Path]) -> tuple[object, ...]:
    """What tells whether files changed; a database's ``-wal`` counts with it."""
    stamps: list[object] = []
    for path in paths:
        for name in (path, path.with_name(f"{path.name}-wal")):
            try:
                status = name.stat()
            except OSError:
                stamps.append(None)
            else:
                stamps.append((status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
    return tuple(stamps)
