"""The programs that own collections: are they running?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from moodzone_agent.errors import CollectionError


@dataclass(frozen=True, slots=True)
class Program:
    """A DJ program."""

    name: str
    processes: frozenset[str]
    """Names of its own process in lower case, without ``.exe``. Helpers that go on running in the background
    (``rekordboxAgent``, updaters, web views) are not among them: they hold no collection open."""

    def is_running(self, processes: Iterable[str] | None = None) -> bool:
        """Whether the program runs; ``processes`` are the names of what runs, by default asked for."""
        running = running_processes() if processes is None else processes
        return any(name.lower().removesuffix(".exe") in self.processes for name in running)

    def expect_closed(self) -> None:
        """Raises CollectionError where the program runs."""
        if self.is_running():
            raise CollectionError(
                f"{self.name} is running and would write over it: close it and run this again."
            )


def running_processes() -> list[str]:
    """The names of all processes of this machine that can be seen."""
    import psutil

    return [process.info["name"] or "" for process in psutil.process_iter(["name"])]


REKORDBOX: Final = Program("rekordbox", frozenset({"rekordbox"}))
SERATO: Final = Program(
    "Serato DJ", frozenset({"serato dj", "serato dj pro", "serato dj lite", "scratchlive", "itch"})
)
TRAKTOR: Final = Program(
    "Traktor", frozenset({"traktor", "traktor pro 3", "traktor pro 4", "traktor dj 2", "traktor play"})
)
MIXXX: Final = Program("Mixxx", frozenset({"mixxx"}))
ENGINE: Final = Program("Engine DJ", frozenset({"engine dj", "engine dj desktop", "engine prime"}))
VIRTUALDJ: Final = Program(
    "VirtualDJ", frozenset({"virtualdj", "virtualdj 8", "virtualdj_pro", "virtualdj home"})
)
PROGRAMS: Final = (REKORDBOX, SERATO, TRAKTOR, MIXXX, ENGINE, VIRTUALDJ)
