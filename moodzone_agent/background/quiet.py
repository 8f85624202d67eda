"""May the agent work now? Never while a DJ plays or prepares, since that is what the computer is for then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from exporters.programs import PROGRAMS, running_processes

_EVERY_SECONDS: Final = 5.0
"""Between two looks at the processes; one takes some milliseconds."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the decision hangs on."""

    programs: tuple[str, ...] = ()
    """Names of the DJ programs that run; their background helpers don't count."""
    on_battery: bool | None = None
    """None where there is no battery, or it doesn't tell."""
    paused: bool = False
    """By the user."""


@dataclass(frozen=True, slots=True)
class Permission:
    """What the agent may do. It may always look at folders and read collections."""

    analyse: bool
    write: bool
    reason: str = ""
    """In words, why it may not, such as ``Serato DJ is running``; empty where it may."""
    waits_for: str = ""
    """What must come first, to be named in ``312 wait for Serato DJ to close``."""


def decide(facts: Facts, *, even_on_battery: bool = False) -> Permission:
    """What the agent may do. The user's pause is named first, because only the user can end it."""
    if facts.paused:
        return Permission(
            analyse=False, write=False, reason="paused by you", waits_for="`moodzone agent resume`"
        )
    if facts.programs:
        *others, last = facts.programs
        names = f"{', '.join(others)} and {last}" if others else last
        verb = "are" if others else "is"
        return Permission(
            analyse=False, write=False, reason=f"{names} {verb} running", waits_for=f"{names} to close"
        )
    if facts.on_battery and not even_on_battery:
        return Permission(analyse=False, write=False, reason="on battery", waits_for="mains power")
    return Permission(analyse=True, write=True)


class Surroundings:
    """Reads the facts, and looks at the machine at most every few seconds, however often it is asked.

    `processes`: gives the names of all that run. `battery`: see `runs_on_battery`. `clock`: in seconds, never
    set back.
    """

    def __init__(
        self,
        *,
        processes: Callable[[], Iterable[str]] = running_processes,
        battery: Callable[[], bool | None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        every_seconds: float = _EVERY_SECONDS,
    ) -> None:
        self._processes = processes
        self._battery = battery or runs_on_battery
        self._clock = clock
        self._every_seconds = every_seconds
        self._seen: tuple[float, tuple[str, ...], bool | None] | None = None

    def facts(self, *, paused: bool) -> Facts:
        """What holds now, or held a few seconds ago."""
        now = self._clock()
        if self._seen is None or now - self._seen[0] >= self._every_seconds:
            running = list(self._processes())
            programs = tuple(program.name for program in PROGRAMS if program.is_running(running))
            self._seen = (now, programs, self._battery())
        _, programs, on_battery = self._seen
        return Facts(programs, on_battery, paused)


def runs_on_battery() -> bool | None:
    """Whether the computer runs on its battery; None where it has none, or that can't be told."""
    import psutil

    read = getattr(psutil, "sensors_battery", None)
    try:
        battery = read() if read else None
    except (OSError, ValueError, NotImplementedError, psutil.Error):  # as drivers go
        return None
    if battery is None or battery.power_plugged is None:
        return None
    return not battery.power_plugged
