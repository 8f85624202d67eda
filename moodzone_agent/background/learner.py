"""Starts a training when it is time, and sees what becomes of it."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from typing import Final

from moodzone_agent.background.context import Context
from moodzone_agent.errors import DataSetError, RunError, UsageError
from moodzone_agent.learning import Outcome, Retraining, Standing, due, standing

_LOOK_SECONDS: Final = 60.0
"""Between two looks at whether it is time to learn."""

log = logging.getLogger(__name__)


class Learner:
    """One training at a time, in a process of its own."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.is_asked = False
        """Whether the user asked for a training that has not begun."""
        self._training: Retraining | None = None
        self._trainings = ExitStack()
        self._next_look = 0.0
        self._standing: Standing | None = None

    @property
    def new_labels(self) -> int:
        """Labels that no training knew, when it was last looked."""
        return self._standing.new if self._standing else 0

    def learn(self, *, may: bool, is_busy: bool) -> None:
        """Start a training when it is time and nothing else is to be done; end one when it may not go on."""
        if self._training is not None:
            self._follow(self._training, may=may)
            return
        now = self._context.clock()
        if is_busy or not may or (not self.is_asked and now < self._next_look):
            return
        self._next_look = now + _LOOK_SECONDS
        self._standing = standing(self._context.library)
        why = due(self._standing, self._context.settings.agent, time.time_ns())
        if why is None and not self.is_asked:
            return
        self.is_asked = False
        log.info("training: %s", why or "asked for")
        try:
            self._training = self._trainings.enter_context(
                Retraining(self._context.library, self._context.places, self._context.settings)
            )
        except (DataSetError, UsageError, RunError) as error:
            self._context.note_error(f"training: {error}")

    def look_again(self) -> None:
        """See in the next round whether it is time, since there are new labels."""
        self._next_look = 0.0

    def end(self) -> None:
        """Stop the training that runs."""
        self._training = None
        self._trainings.close()

    def told(self) -> str:
        """When the next training comes, in words."""
        agent = self._context.settings.agent
        if self._training:
            return "learns now"
        if self._standing and self._standing.lack:
            return self._standing.lack
        if not agent.retrain_after:
            return "learns only when asked"
        return f"learns at {agent.retrain_after} labels" + (
            f", or after {agent.retrain_days} days" if agent.retrain_days else ""
        )

    def _follow(self, training: Retraining, *, may: bool) -> None:
        if not may:  # it starts again when the computer is ours
            self.end()
            return
        trained = training.poll()
        if trained is not None:
            self.end()
            log.info("training: %s: %s", trained.outcome, trained.words)
            if trained.outcome is Outcome.FAILED:
                self._context.note_error(f"training: {trained.words}")
