"""The agent: watches folders, rates what is new, writes zones, and takes corrections over, for months on end.

One thread does everything, a little at a time; between two steps it hears requests, signals and the watcher. All it
knows that matters is in the library and the journal, so that it may be killed at any point::

    watcher ── to scan ── pipeline.scan ── to write ── ZoneWriter
    collections and changed files ── CorrectionReader ── inbox ── labels ── to write
    labels ── Learner ── another model ── to rate anew ── to write
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final, Self

from exporters.journal import Journal
from moodzone_agent import __version__
from moodzone_agent.background import control
from moodzone_agent.background.context import Context, stamp_of_files
from moodzone_agent.background.control import LOG_NAME, AgentStatus, Request, WatchedFolder
from moodzone_agent.background.learner import Learner
from moodzone_agent.background.quiet import Permission, Surroundings, decide
from moodzone_agent.background.reader import CorrectionReader
from moodzone_agent.background.single import AgentLock
from moodzone_agent.background.writer import ZoneWriter
from moodzone_agent.challenger import keeps_zones
from moodzone_agent.classify.registry import Registry
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.config import Places, Settings, load_settings
from moodzone_agent.errors import (
    JournalError,
    LibraryError,
    LibraryUnavailableError,
    UsageError,
)
from moodzone_agent.library.backup import back_up, labels_from_tags, open_or_recover
from moodzone_agent.library.records import FileStatus
from moodzone_agent.library.store import Library
from moodzone_agent.pipeline import Plan, ScanResult, scan
from moodzone_agent.priority import lower_priority
from moodzone_agent.rerating import marks, rerate_library
from moodzone_agent.setup.sizing import extent, stored_rate
from moodzone_agent.types import Mark
from moodzone_agent.watch.source import Watcher
from moodzone_agent.workers import half_the_cores

TICK_SECONDS: Final = 1.0
"""The longest wait for the watcher while something is to be done soon, and between requests."""
IDLE_SECONDS: Final = 2.0
_STATUS_SECONDS: Final = 5.0
_WORTH_TELLING: Final = 20
"""Files from which on a scan says beforehand how much there is to read."""
_RATE_OVER_SECONDS: Final = 600.0
_BACKUP_SECONDS: Final = 3600.0
"""Between two looks at whether a backup is due, which it is once a day."""
NO_FOLDER: Final = "no folder is watched: name one with --folder, or set folders in [agent]"
_LOG_BYTES: Final = 1_000_000
_LOGS_KEPT: Final = 3

log = logging.getLogger(__name__)


class _Interrupted(Exception):  # noqa: N818
    """Long work has to end for now."""


class Agent:
    """One agent for one library. Made and run in one thread; `stop` may be called from any."""

    def __init__(
        self,
        places: Places,
        *,
        folders: Iterable[Path] | None = None,
        write: bool | None = None,
        surroundings: Surroundings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``folders`` and ``write`` stand in the place of the settings'. ``clock``: seconds, never set back."""
        self._places = places
        self._folders = None if folders is None else [Path(os.path.abspath(folder)) for folder in folders]  # noqa: PTH100
        self._write_zones = write
        self._surroundings = surroundings or Surroundings()
        self._clock = clock
        # What is to be done is lost with the process, and found again at its next start.
        self._files: set[Path] = set()
        """To be scanned: new or changed."""
        self._sweeps: set[Path] = set()
        """Folders to be looked through as a whole."""
        self._wake: Callable[[], None] = lambda: None
        self._stopping = threading.Event()
        self._flushing = False
        self._permission = Permission(analyse=True, write=True)
        self._started = datetime.now(UTC)
        self._analysed: deque[float] = deque()
        """When files were analysed, of late."""
        self._state = "starting"
        self._next_sweep = 0.0
        self._next_status = 0.0
        self._told: tuple[object, ...] = ()
        """The gist of the last status."""
        self._next_backup = 0.0
        self._keeps_zones = False
        self._marks_before: Mapping[Path, Mark] | None = None
        """What the library showed before another model came into use, as long as it isn't rated anew."""
        self._under_way: set[Path] = set()
        """What is being scanned."""
        self._plan: Plan | None = None
        """Of the scan that runs."""
        self._heard = 0.0
        """When we last listened during long work."""
        self._recovery = ""
        """What was told of a library that was rebuilt, so that the tags may know labels that it lacks."""
        self._programs: tuple[str, ...] = ()

    def stop(self) -> None:
        """Ask the agent to end. It does within a few seconds, and what it was doing is done again next time."""
        self._stopping.set()
        self._wake()

    def tell_recovery(self, text: str) -> None:
        """Note that the library was rebuilt; labels that only tags still hold are read after the next sweep."""
        self._recovery = text

    def run(self, library: Library) -> None:
        """Work until stopped. Errors: `UsageError` where the settings name no folder; `LibraryError`; `BundleError`."""
        with self.opened(library):
            while not self._stopping.is_set():
                self.step(TICK_SECONDS if self._is_busy() else IDLE_SECONDS)

    @contextmanager
    def opened(self, library: Library) -> Iterator[Self]:
        """Watch, for as long as the context lasts. Errors: as of `run`."""
        self._library = library
        self._settings_stamp = self._stamp_of_settings()
        settings, journal = load_settings(self._places.settings), Journal(self._places.journal)
        self._context = Context(self._places, settings, library, journal, self._clock)
        roots = self._roots()
        if not roots:
            raise UsageError(NO_FOLDER)
        self._reader = CorrectionReader(self._context)
        self._writer = ZoneWriter(self._context)
        self._learner = Learner(self._context)
        if self._recovery:
            self._context.note_error(self._recovery)
        self._load_model()
        with suppress(JournalError):  # another process writes, and clears up itself
            journal.recover()
        agent = settings.agent
        with Watcher(
            roots, settle_seconds=agent.settle_seconds, poll_seconds=agent.poll_seconds, clock=self._clock
        ) as watcher:
            self._watcher, self._wake = watcher, watcher.wake
            try:
                yield self
            finally:
                self._learner.end()
                control.clear_status(self._places)

    def step(self, wait: float) -> None:
        """One round of everything that is due, having waited for it at most so many seconds.

        While another program holds the library, or its disk is full, that is told, and the next round tries again.
        """
        try:
            self._round(wait)
        except LibraryUnavailableError as error:
            self._context.note_error(str(error))
            self._tell()
            self._stopping.wait(wait)

    def _round(self, wait: float) -> None:
        self._listen(wait)
        self._analyse()
        self._writer.waiting |= self._reader.look()
        self._reader.take()
        labelled = self._reader.hear_labels()
        if labelled:
            self._writer.waiting |= labelled
            self._learner.look_again()
        self._write()
        self._learner.learn(may=self._permission.analyse, is_busy=self._is_busy())
        self._back_up()
        self._tell()

    @property
    def _settings(self) -> Settings:
        return self._context.settings

    # What happens around us

    def _listen(self, timeout: float) -> None:
        """Hear the watcher, requests, settings, and what else runs on this machine."""
        changes = self._watcher.changes(timeout)
        self._files |= changes.ready
        self._sweeps |= changes.sweep
        if not self._permission.analyse:  # a correction in what is known can be read all the same
            self._reader.tags |= changes.ready
        for path in changes.gone:
            self._library.mark_missing(path, ())
        now = self._clock()
        if now >= self._next_sweep:
            if self._next_sweep:  # the watcher asks for the first one itself
                self._sweeps.update(self._roots())
                self._writer.try_all_again()
                self._reader.look_at_all_collections()
            self._next_sweep = now + self._settings.agent.sweep_minutes * 60
        for request in control.take_requests(self._places):
            self._obey(request)
        if self._stamp_of_settings() != self._settings_stamp:
            self._reload()
        paused = control.paused_since(self._places) is not None
        facts = self._surroundings.facts(paused=paused)
        self._permission = decide(facts, even_on_battery=self._settings.agent.on_battery)
        if set(self._programs) - set(facts.programs):  # one was closed, and has written what it knows
            self._reader.look_at_all_collections()
        self._programs = facts.programs

    def _obey(self, request: Request) -> None:
        match request:
            case Request.STOP:
                self._stopping.set()
            case Request.PAUSE | Request.RESUME:
                try:
                    (control.pause if request is Request.PAUSE else control.resume)(self._places)
                except UsageError as error:
                    self._context.note_error(str(error))
            case Request.FLUSH:
                self._flushing = True
                self._writer.try_all_again()
            case Request.RELOAD:
                self._reload()
            case Request.RETRAIN:
                self._learner.is_asked = True

    def _reload(self) -> None:
        """Take over changed settings, and another model; wrong ones are told and change nothing."""
        self._settings_stamp = self._stamp_of_settings()
        try:
            self._context.settings = load_settings(self._places.settings)
        except UsageError as error:
            self._context.note_error(str(error))
            return
        self._watcher.set_roots(self._roots())
        self._load_model()
        self._writer.look_for_unwritten()

    def _load_model(self) -> None:
        champion = Registry(self._places.models).champion()
        if champion.warning:
            self._context.note_error(champion.warning)
        self._model = ZoneModel(champion.bundle, self._settings.zones)
        self._keeps_zones = keeps_zones(self._library, champion)
        if not self._keeps_zones and self._marks_before is None:
            self._marks_before = marks(self._library)
        self._sweeps.update(self._roots())  # a scan rates what this model has not seen

    def _roots(self) -> list[Path]:
        return list(self._folders if self._folders is not None else self._settings.agent.watched)

    def _stamp_of_settings(self) -> tuple[object, ...]:
        """Of the settings, and of the word on which model is in use."""
        return stamp_of_files([self._places.settings, Registry(self._places.models).champion_file])

    # Analysis

    def _analyse(self) -> None:
        """Scan what is new. Files come before folders, which they interrupt."""
        if not (self._permission.analyse or self._flushing):
            return
        try:
            if self._marks_before is not None:
                self._rerate(self._marks_before)
            while self._files and not self._stopping.is_set():
                self._scan(self._files)
            if self._sweeps and not self._files:
                self._scan(self._sweeps, lambda: bool(self._files))
                self._read_labels()
        except _Interrupted:  # what was to be done still is
            return

    def _rerate(self, before: Mapping[Path, Mark]) -> None:
        """Rate what was rated by another model, from stored features."""
        self._state = "rating anew"
        changed = rerate_library(self._library, self._model, before, self._keep_listening)
        self._writer.waiting.update(changed)
        self._marks_before = None

    def _scan(self, waiting: set[Path], is_interrupted: Callable[[], bool] = lambda: False) -> None:
        """Scan what waits, and take it out when that is done. Raises _Interrupted."""
        self._state = "analysing"
        self._under_way = set(waiting)
        results = scan(
            self._under_way,
            self._library,
            self._model,
            jobs=self._settings.agent.jobs or half_the_cores(),
            field=self._settings.tags.field,
            keep_zones=self._keeps_zones,
            on_plan=self._take_plan,
            on_wait=partial(self._keep_listening, is_interrupted),
        )
        try:
            with closing(results):
                for result in results:
                    self._take_result(result)
            waiting -= self._under_way
        finally:
            self._plan, self._under_way = None, set()

    def _take_plan(self, plan: Plan) -> None:
        self._plan = plan
        if plan.to_read >= _WORTH_TELLING:
            seconds = plan.bytes_to_read / stored_rate(self._library)
            log.info("to read: %s", extent(plan.to_read, plan.bytes_to_read, seconds))

    def _keep_listening(self, is_interrupted: Callable[[], bool] = lambda: False) -> None:
        """Hear and tell what there is during long work. Raises _Interrupted where it has to end."""
        if self._clock() - self._heard >= TICK_SECONDS:
            self._listen(0.0)
            self._tell()
            self._heard = self._clock()
        may = self._permission.analyse or self._flushing
        if self._stopping.is_set() or is_interrupted() or not may:
            raise _Interrupted

    def _read_labels(self) -> None:
        """Once after the library was rebuilt: labels that only the files' own fields still tell."""
        if self._recovery:
            self._recovery = ""
            paths = [record.path for record in self._library.files() if record.mounted]
            given = labels_from_tags(self._library, paths)
            if given:
                log.info("%d labels were read out of the files' tags", len(given))

    def _take_result(self, result: ScanResult) -> None:
        self._files.discard(result.path)
        if result.changed:
            self._analysed.append(self._clock())
            self._reader.tags.add(result.path)
            if result.status is FileStatus.OK:
                self._writer.expect(result.path)
            elif result.status is FileStatus.FAILED:
                self._context.note_error(f"{result.path}: {result.reason}")

    # Writing

    def _write(self) -> None:
        """Write zones that wait, as long as that is allowed."""
        writes = self._settings.agent.write if self._write_zones is None else self._write_zones
        if not writes and not self._flushing:
            self._writer.waiting.clear()
            return
        while (
            self._writer.waiting
            and (self._permission.write or self._flushing)
            and not self._stopping.is_set()
            and self._writer.write_some(consented=self._flushing)
        ):
            self._state = "writing"
            self._listen(0.0)
            self._tell()
        self._files |= self._writer.take_stale()
        if not self._writer.waiting:
            self._flushing = False

    def _back_up(self) -> None:
        """Once a day; a backup that can't be made is told, and nothing stops."""
        now = self._clock()
        if now >= self._next_backup and not self._is_busy():
            self._next_backup = now + _BACKUP_SECONDS
            try:
                back_up(self._library, self._places.library_backups)
                keeping = self._settings.journal
                self._context.journal.prune(
                    keep_days=keeping.keep_days, max_bytes=keeping.max_megabytes * 1_000_000
                )
            except (LibraryError, JournalError) as error:
                self._context.note_error(str(error))

    # Telling

    def _is_busy(self) -> bool:
        to_do = (self._files, self._sweeps, self._reader.tags, self._writer.waiting)
        return any(to_do) and self._permission.analyse

    def _tell(self) -> None:
        """Say what we do, for ``moodzone agent status``: every few seconds, and when the gist changes."""
        now, permission, queue = self._clock(), self._permission, self._queue()
        waiting = len(self._writer.waiting) + len(self._writer.postponed)
        state = permission.reason or (self._state if self._is_busy() else "watching")
        gist = (state, queue > 0, waiting > 0, len(self._context.errors))
        if now < self._next_status and gist == self._told:
            return
        self._next_status, self._told = now + _STATUS_SECONDS, gist
        while self._analysed and self._analysed[0] < now - _RATE_OVER_SECONDS:
            self._analysed.popleft()
        control.write_status(
            self._places,
            AgentStatus(
                pid=os.getpid(),
                started=self._started,
                state=state,
                queue=queue,
                rate=len(self._analysed) * 3600 / _RATE_OVER_SECONDS,
                waiting=waiting,
                waiting_for=permission.waits_for or self._why_postponed(),
                errors=tuple(self._context.errors),
                champion=self._model.model_id,
                labels=self._learner.new_labels,
                retraining=self._learner.told(),
                folders=tuple(
                    WatchedFolder(str(root), f"{state.mode}{f': {state.reason}' if state.reason else ''}")
                    for root, state in self._watcher.modes().items()
                ),
                versions={"moodzone": __version__},
            ),
        )

    def _queue(self) -> int:
        """Files to be read, as far as is known: a folder that wasn't looked through yet counts as one."""
        left = self._plan.to_read - self._plan.files_read if self._plan else len(self._under_way)
        return left + len((self._files | self._sweeps) - self._under_way)

    def _why_postponed(self) -> str:
        most = self._settings.agent.most_rewrites_a_day
        return (
            f"tomorrow, or `moodzone agent flush`: over {most} rewrites a day"
            if self._writer.postponed
            else ""
        )


def run_agent(places: Places, *, folders: Iterable[Path] | None = None, write: bool | None = None) -> None:
    """Be the agent of a library until SIGTERM, Ctrl-C or a request to stop.

    Errors: `UsageError` where another agent is, or no folder is named; `LibraryError`, `BundleError`.
    """
    if not folders and not load_settings(places.settings).agent.folders:
        raise UsageError(NO_FOLDER)
    lower_priority()
    keep_log(places.agent)
    with AgentLock(places), ExitStack() as stack:
        library, recovery = open_or_recover(places.library, places.library_backups)
        stack.enter_context(library)
        control.take_requests(places, starting=True)
        agent = Agent(places, folders=folders, write=write)
        if recovery is not None:
            agent.tell_recovery(str(recovery))

        def stop(number: int, _frame: object) -> None:
            if number == signal.SIGINT:  # who presses it twice does not want to wait
                signal.signal(signal.SIGINT, signal.default_int_handler)
            agent.stop()

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            agent.run(library)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def keep_log(folder: Path) -> None:
    """Write warnings and what the agent did into a file that stays small."""
    folder.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(
        folder / LOG_NAME,
        maxBytes=_LOG_BYTES,
        backupCount=_LOGS_KEPT,
        encoding="utf-8",
        errors="backslashreplace",
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    ours = logging.getLogger("moodzone_agent")
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
