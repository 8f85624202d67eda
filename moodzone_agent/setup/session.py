"""What the steps of a setup share: the library, whom to ask, and which steps are done."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import RenderableType

from moodzone_agent.background import service
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.commands import shared as cli_shared
from moodzone_agent.config import Places, Settings, load_settings
from moodzone_agent.library.store import Library

if TYPE_CHECKING:
    from exporters.base import Collection

_DONE: Final = "setup"


class Step(StrEnum):
    """The steps, in their order."""

    FIND = "find"
    CENSUS = "census"
    ESTIMATE = "estimate"
    SCAN = "scan"
    CALIBRATE = "calibrate"
    JUDGE = "judge"
    TRIAL = "trial"
    REST = "rest"
    AGENT = "agent"


class State(StrEnum):
    """What came of a step."""

    DONE = "done"
    SKIPPED = "skipped"
    """It comes again in the next setup."""
    FAILED = "failed"
    EARLIER = "done earlier"


@dataclass(frozen=True, slots=True)
class StepResult:
    """What came of a step, and why if it wasn't done."""

    state: State = State.DONE
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Session:
    """One setup."""

    library: Library
    places: Places
    yes: bool
    """Answer every question with yes; nobody is there to listen."""
    quiet: bool
    """Print nothing for people."""
    named: tuple[Path, ...] = ()
    """Folders given on the command line."""
    install: Callable[[Places], list[service.Step]] = service.install

    def say(self, what: RenderableType) -> None:
        """Tell the user."""
        if not self.quiet:
            cli_shared.out(what)

    def busy(self, what: str) -> AbstractContextManager[object]:
        """Show on a terminal that something takes its time; nothing is to be said meanwhile."""
        terminal = cli_shared.console(stderr=True)
        return nullcontext() if self.quiet or not terminal.is_terminal else terminal.status(what)

    def agrees(self, question: str, *, default: bool = False) -> bool:
        """Ask for a yes."""
        return self.yes or cli_shared.ask(question, default=default)

    @property
    def settings(self) -> Settings:
        """As they are now; steps change them."""
        return load_settings(self.places.settings)

    @property
    def folders(self) -> list[Path]:
        """The music folders that were chosen and are there."""
        return [folder for folder in self.settings.agent.watched if folder.is_dir()]

    def model(self) -> ZoneModel:
        """The model in use, with the zones as they are now."""
        return cli_shared.zone_model(self.places, self.settings)

    def collections(self) -> list[Collection]:
        """Those of DJ programs; tags are everywhere."""
        from exporters.registry import TARGETS
        from moodzone_agent.commands.write import TAGS
        from moodzone_agent.machine import find_collections

        names = [name for name in TARGETS if name != TAGS]
        return [one for name in names for one in find_collections(name, self.library, self.settings)]

    def done(self) -> dict[str, str]:
        """The steps that were done, each with its date."""
        done: dict[str, str] = json.loads(self.library.meta(_DONE) or "{}")
        return done

    def note_done(self, step: Step) -> None:
        """Note that a step was done today."""
        self._keep(self.done() | {step: date.today().isoformat()})

    def forget(self, *steps: Step) -> None:
        """Have steps done again."""
        self._keep({step: when for step, when in self.done().items() if step not in steps})

    def _keep(self, done: Mapping[str, str]) -> None:
        self.library.set_meta(_DONE, json.dumps(done))
