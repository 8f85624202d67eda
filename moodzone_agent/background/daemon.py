"""The agent: watches folders, rates what is new, writes zones, and takes corrections over, for months on end.

One thread does everything, a little at a time; between two steps it hears requests, signals and the watcher. All it
knows that matters is in the library and the journal, so that it may be killed at any point::

    watcher ── to scan ── pipeline.scan ── to write ── writing.write_zones
    collections and changed files ── corrections ── inbox ── labels ── to write
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
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final, Self

from exporters.base import Collection, Want, WriteStatus
from exporters.journal import Journal
from exporters.tags.collection import TagCollection
from moodzone_agent import __version__
from moodzone_agent.background import control
from moodzone_agent.background.control import LOG_NAME, AgentStatus, Request, WatchedFolder
from moodzone_agent.background.quiet import Permission, Surroundings, decide
from moodzone_agent.background.single import AgentLock
from moodzone_agent.classify.registry import Registry
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.config import Places, load_settings
from moodzone_agent.corrections import find_corrections, settle_vanished
from moodzone_agent.errors import (
    BusyError,
    CollectionError,
    DataSetError,
    FileError,
    JournalError,
    LibraryError,
    LibraryUnavailableError,
    RunError,
    UsageError,
)
from moodzone_agent.inbox import Inbox
from moodzone_agent.learning import (
    Outcome,
    Retraining,
    Standing,
    due,
    keeps_zones,
    marks,
    rerate_library,
    rewrites_allowed,
    standing,
)
from moodzone_agent.library.backup import back_up, labels_from_tags, open_or_recover
from moodzone_agent.library.records import FileStatus
from moodzone_agent.library.store import Library
from moodzone_agent.machine import find_collections, target_names
from moodzone_agent.pipeline import Plan, ScanResult, scan
from moodzone_agent.priority import lower_priority
from moodzone_agent.setup.sizing import extent, stored_rate
from moodzone_agent.types import Mark, MarkState
from moodzone_agent.watch.source import Watcher
from moodzone_agent.workers import half_the_cores
from moodzone_agent.writing import STALE, WriteResult, settle_colours, wanted_of, write_zones

TICK_SECONDS: Final = 1.0
"""The longest wait for the watcher while something is to be done soon, and between requests."""
IDLE_SECONDS: Final = 2.0
_WRITTEN_AT_ONCE: Final = 100
"""Files between two looks at whether writing is still allowed."""
_STATUS_SECONDS: Final = 5.0
_WORTH_TELLING: Final = 20
"""Files from which on a scan says beforehand how much there is to read."""
_ERRORS_KEPT: Final = 5
_RATE_OVER_SECONDS: Final = 600.0
_LESSON_SECONDS: Final = 60.0
"""Between two looks at whether it is time to learn."""
_REWRITTEN: Final = "files rewritten"
_TAGS_LOOKED_AT: Final = "tags looked at"
_BACKUP_SECONDS: Final = 3600.0
"""Between two looks at whether a backup is due, which it is once a day."""
NO_FOLDER: Final = "no folder is watched: name one with --folder, or set folders in [agent]"
_LOG_BYTES: Final = 1_000_000
_LOGS_KEPT: Final = 3

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Work:
    """What is to be done. Lost with the process, and found again at its next start."""

    files: set[Path] = field(default_factory=set)
    """To be scanned: new or changed."""
    folders: set[Path] = field(default_factory=set)
    """To be looked through as a whole."""
    writes: set[Path] = field(default_factory=set)
    """Files whose zone may have to be written."""
    tags: set[Path] = field(default_factory=set)
    """Files whose tags may hold corrections."""


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
        self._settings = load_settings(places.settings)
        self._settings_stamp = self._stamp_of_settings()
        self._work = _Work()
        self._wake: Callable[[], None] = lambda: None
        self._stopping = threading.Event()
        self._flushing = False
        self._permission = Permission(analyse=True, write=True)
        self._started = datetime.now(UTC)
        self._analysed: deque[float] = deque()
        """When files were analysed, of late."""
        self._errors: deque[str] = deque(maxlen=_ERRORS_KEPT)
        self._state = "starting"
        self._next_sweep = 0.0
        self._next_poll = 0.0
        self._next_status = 0.0
        self._told: tuple[object, ...] = ()
        """The gist of the last status."""
        self._next_backup = 0.0
        self._training: Retraining | None = None
        self._trainings = ExitStack()
        self._wants_training = False
        self._next_lesson = 0.0
        self._standing: Standing | None = None
        self._keeps_zones = False
        self._marks_before: Mapping[Path, Mark] | None = None
        """What the library showed before another model came into use, as long as it isn't rated anew."""
        self._under_way: set[Path] = set()
        """What is being scanned."""
        self._plan: Plan | None = None
        """Of the scan that runs."""
        self._heard = 0.0
        """When we last listened during long work."""
        self._reads_labels = False
        """Whether the library was rebuilt, so that the tags may know labels that it lacks."""
        self._quiet_since = 0.0
        """Since when no new correction was found."""
        self._stamps: dict[str, tuple[object, ...]] = {}
        """Of the files of each collection when it was last looked at."""
        self._programs: tuple[str, ...] = ()
        self._rewrites: set[Path] = set()
        """Files of the batch at hand that would be rewritten for a change of model."""
        self._postponed: set[Path] = set()
        """Files that would be rewritten beyond the day's number; they are tried again with each sweep."""
        self._refused: dict[Path, tuple[object, ...]] = {}
        """Files that would not be written, with what they and their mark were then; until the next sweep."""
        self._last_label = 0
        """Number of the newest label that was seen."""

    def stop(self) -> None:
        """Ask the agent to end. It does within a few seconds, and what it was doing is done again next time."""
        self._stopping.set()
        self._wake()

    def tell_recovery(self, text: str) -> None:
        """Note that the library was rebuilt; labels that only tags still hold are read after the next sweep."""
        self._note_error(text)
        self._reads_labels = True

    def run(self, library: Library) -> None:
        """Work until stopped. Errors: `UsageError` where the settings name no folder; `LibraryError`; `BundleError`."""
        with self.opened(library):
            while not self._stopping.is_set():
                self.step(TICK_SECONDS if self._is_busy() else IDLE_SECONDS)

    @contextmanager
    def opened(self, library: Library) -> Iterator[Self]:
        """Watch, for as long as the context lasts. Errors: as of `run`."""
        roots = self._roots()
        if not roots:
            raise UsageError(NO_FOLDER)
        self._library = library
        self._inbox = Inbox(library)
        self._journal = Journal(self._places.journal)
        self._load_model()
        with suppress(JournalError):  # another process writes, and clears up itself
            self._journal.recover()
        agent = self._settings.agent
        with Watcher(
            roots, settle_seconds=agent.settle_seconds, poll_seconds=agent.poll_seconds, clock=self._clock
        ) as watcher:
            self._watcher, self._wake = watcher, watcher.wake
            self._work.writes.update(self._files_to_write())
            self._work.tags.update(self._tags_to_look_at())
            self._last_label = max((arrival for arrival, _ in self._library.labels_after(0)), default=0)
            try:
                yield self
            finally:
                self._end_training()
                control.clear_status(self._places)

    def step(self, wait: float) -> None:
        """One round of everything that is due, having waited for it at most so many seconds.

        While another program holds the library, or its disk is full, that is told, and the next round tries again.
        """
        try:
            self._round(wait)
        except LibraryUnavailableError as error:
            self._note_error(str(error))
            self._tell()
            self._stopping.wait(wait)

    def _round(self, wait: float) -> None:
        self._listen(wait)
        self._analyse()
        self._look_for_corrections()
        self._take_corrections()
        self._hear_labels()
        self._write()
        self._learn()
        self._back_up()
        self._tell()

    # What happens around us

    def _listen(self, timeout: float) -> None:
        """Hear the watcher, requests, settings, and what else runs on this machine."""
        changes = self._watcher.changes(timeout)
        self._work.files |= changes.ready
        self._work.folders |= changes.sweep
        if not self._permission.analyse:  # a correction in what is known can be read all the same
            self._work.tags |= changes.ready
        for path in changes.gone:
            self._library.mark_missing(path, ())
        now = self._clock()
        if now >= self._next_sweep:
            if self._next_sweep:  # the watcher asks for the first one itself
                self._work.folders.update(self._roots())
                self._refused.clear()
                self._work.writes |= self._postponed
                self._postponed.clear()
                self._look_at_all_collections()
            self._next_sweep = now + self._settings.agent.sweep_minutes * 60
        for request in control.take_requests(self._places):
            self._obey(request)
        if self._stamp_of_settings() != self._settings_stamp:
            self._reload()
        paused = control.paused_since(self._places) is not None
        facts = self._surroundings.facts(paused=paused)
        self._permission = decide(facts, even_on_battery=self._settings.agent.on_battery)
        if set(self._programs) - set(facts.programs):  # one was closed, and has written what it knows
            self._look_at_all_collections()
        self._programs = facts.programs

    def _look_at_all_collections(self) -> None:
        """In this round, whether or not their files changed."""
        self._next_poll = 0.0
        self._stamps.clear()

    def _obey(self, request: Request) -> None:
        match request:
            case Request.STOP:
                self._stopping.set()
            case Request.PAUSE | Request.RESUME:
                try:
                    (control.pause if request is Request.PAUSE else control.resume)(self._places)
                except UsageError as error:
                    self._note_error(str(error))
            case Request.FLUSH:
                self._flushing = True
                self._work.writes |= self._postponed
                self._postponed.clear()
            case Request.RELOAD:
                self._reload()
            case Request.RETRAIN:
                self._wants_training = True

    def _reload(self) -> None:
        """Take over changed settings, and another model; wrong ones are told and change nothing."""
        self._settings_stamp = self._stamp_of_settings()
        try:
            self._settings = load_settings(self._places.settings)
        except UsageError as error:
            self._note_error(str(error))
            return
        self._watcher.set_roots(self._roots())
        self._load_model()
        self._work.writes.update(self._files_to_write())

    def _load_model(self) -> None:
        champion = Registry(self._places.models).champion()
        if champion.warning:
            self._note_error(champion.warning)
        self._model = ZoneModel(champion.bundle, self._settings.zones)
        self._keeps_zones = keeps_zones(self._library, champion)
        if not self._keeps_zones and self._marks_before is None:
            self._marks_before = marks(self._library)
        self._work.folders.update(self._roots())  # a scan rates what this model has not seen

    def _roots(self) -> list[Path]:
        return list(self._folders if self._folders is not None else self._settings.agent.watched)

    def _stamp_of_settings(self) -> tuple[object, ...]:
        """Of the settings, and of the word on which model is in use."""
        return _stamp_of_files([self._places.settings, Registry(self._places.models).champion_file])

    # Analysis

    def _analyse(self) -> None:
        """Scan what is new. Files come before folders, which they interrupt."""
        if not (self._permission.analyse or self._flushing):
            return
        try:
            if self._marks_before is not None:
                self._rerate(self._marks_before)
            while self._work.files and not self._stopping.is_set():
                self._scan(self._work.files, lambda: False)
            if self._work.folders and not self._work.files:
                self._scan(self._work.folders, lambda: bool(self._work.files))
                self._read_labels()
        except _Interrupted:  # what was to be done still is
            return

    def _rerate(self, before: Mapping[Path, Mark]) -> None:
        """Rate what was rated by another model, from stored features."""
        self._state = "rating anew"
        on_wait = partial(self._keep_listening, lambda: False)
        self._work.writes.update(rerate_library(self._library, self._model, before, on_wait))
        self._marks_before = None

    def _scan(self, waiting: set[Path], is_interrupted: Callable[[], bool]) -> None:
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

    def _keep_listening(self, is_interrupted: Callable[[], bool]) -> None:
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
        if self._reads_labels:
            self._reads_labels = False
            paths = [record.path for record in self._library.files() if record.mounted]
            given = labels_from_tags(self._library, paths)
            if given:
                log.info("%d labels were read out of the files' tags", len(given))

    def _take_result(self, result: ScanResult) -> None:
        self._work.files.discard(result.path)
        if result.changed:
            self._refused.pop(result.path, None)
            self._analysed.append(self._clock())
            self._work.tags.add(result.path)
            if result.status is FileStatus.OK:
                self._work.writes.add(result.path)
            elif result.status is FileStatus.FAILED:
                self._note_error(f"{result.path}: {result.reason}")

    # Corrections

    def _look_for_corrections(self) -> None:
        """Look at files that changed, and at collections that did. Reading is always allowed."""
        if self._work.tags:
            among, began = frozenset(self._work.tags), time.time_ns()
            self._work.tags.clear()
            for collection in self._collections():
                if collection.in_file:
                    self._look_at(collection, among)
            self._library.set_meta(_TAGS_LOOKED_AT, str(began))
        now = self._clock()
        if now < self._next_poll:
            return
        self._next_poll = now + self._settings.agent.poll_seconds
        for collection in self._collections():
            if collection.by_file:
                continue
            try:
                stamp = _stamp_of_files(collection.watched_files())
            except CollectionError as error:
                self._note_error(f"{collection.name}: {error}")
                continue
            if self._stamps.get(collection.name) != stamp:
                self._stamps[collection.name] = stamp
                self._look_at(collection, None)

    def _tags_to_look_at(self) -> list[Path]:
        """Files with a mark that a scan read after we last looked for corrections; it may have been killed."""
        since = int(self._library.meta(_TAGS_LOOKED_AT) or 0)
        return [
            record.path for record in self._library.files() if record.mark and record.tags_checked_ns > since
        ]

    def _look_at(self, collection: Collection, among: frozenset[Path] | None) -> None:
        try:
            found = list(find_corrections(collection, self._library, among))
            new = self._inbox.note(collection, found, among)
            self._work.writes.update(settle_vanished(found, self._library))
        except (CollectionError, FileError, OSError) as error:
            self._note_error(f"{collection.name}: {error}")
            return
        if new:
            self._quiet_since = self._clock()

    def _take_corrections(self) -> None:
        """Make labels of what has rested."""
        if self._clock() - self._quiet_since < self._settings.agent.quiet_minutes * 60:
            return
        self._inbox.settle()

    def _hear_labels(self) -> None:
        """Labels may come from commands, too; what they change is to be written."""
        new = self._library.labels_after(self._last_label)
        for arrival, audio_id in new:
            self._last_label = max(self._last_label, arrival)
            track = self._library.track(audio_id)
            self._work.writes.update(track.paths if track else ())

    def _collections(self) -> Iterator[Collection]:
        """All collections on this machine that can hold corrections."""
        for name in target_names():
            try:
                yield from find_collections(name, self._library, self._settings)
            except (CollectionError, OSError) as error:
                self._note_error(f"{name}: {error}")

    # Learning

    def _learn(self) -> None:
        """Start a training when it is time and nothing else is to be done, and see what became of it."""
        if self._training is not None:
            if not self._permission.analyse:  # it starts again when the computer is ours
                self._end_training()
                return
            trained = self._training.poll()
            if trained is not None:
                self._end_training()
                log.info("training: %s: %s", trained.outcome, trained.words)
                if trained.outcome is Outcome.FAILED:
                    self._note_error(f"training: {trained.words}")
            return
        now = self._clock()
        if self._is_busy() or not self._permission.analyse:
            return
        if not self._wants_training and now < self._next_lesson:
            return
        self._next_lesson = now + _LESSON_SECONDS
        self._standing = standing(self._library)
        why = due(self._standing, self._settings.agent, time.time_ns())
        if why is None and not self._wants_training:
            return
        self._wants_training = False
        log.info("training: %s", why or "asked for")
        try:
            self._training = self._trainings.enter_context(
                Retraining(self._library, self._places, self._settings)
            )
        except (DataSetError, UsageError, RunError) as error:
            self._note_error(f"training: {error}")

    def _end_training(self) -> None:
        self._training = None
        self._trainings.close()

    # Writing

    def _write(self) -> None:
        """Write zones that wait, a batch at a time."""
        writes = self._settings.agent.write if self._write_zones is None else self._write_zones
        if not writes and not self._flushing:
            self._work.writes.clear()
            return
        while (
            self._work.writes and (self._permission.write or self._flushing) and not self._stopping.is_set()
        ):
            batch = sorted(self._work.writes)[:_WRITTEN_AT_ONCE]
            try:
                self._write_batch(batch)
            except BusyError:  # a command writes: in a moment
                return
            except JournalError as error:
                self._note_error(str(error))
                self._postponed |= self._work.writes
                self._work.writes.clear()
                return
            self._work.writes.difference_update(batch)
            self._state = "writing"
            self._listen(0.0)
            self._tell()
        if not self._work.writes:
            self._flushing = False

    def _write_batch(self, batch: list[Path]) -> None:
        wants = [want for want in wanted_of(self._library, batch) if not self._is_refused(want)]
        wants = self._without_too_many_rewrites(wants)
        if not wants:
            return
        with self._journal.start("agent") as run:
            for collection in self._targets():
                own = [want for want in wants if collection.holds(want.path)]
                try:
                    settle_colours(collection, self._library, keep=True)
                    for result in write_zones(
                        own, collection, self._library, run, self._places.backups, unasked=True
                    ):
                        self._take_write(result)
                except (CollectionError, FileError, OSError) as error:  # once more with the next sweep
                    self._note_error(f"{collection.name}: {error}")
                    self._postponed.update(want.path for want in own)

    def _targets(self) -> Iterator[Collection]:
        """The collections that the settings name; what a command wrote elsewhere is only read."""
        for name in self._settings.agent.targets:
            try:
                yield from find_collections(name, self._library, self._settings, named=False)
            except (CollectionError, OSError) as error:
                self._note_error(f"{name}: {error}")

    def _files_to_write(self) -> Iterator[Path]:
        """Files that don't carry their mark, and those of which a collection that the settings name knows nothing."""
        yield from self._library.files_to_mark()
        for collection in self._targets():
            if not collection.by_file:
                known = {
                    place.track for place in self._library.place_events(collection.target, collection.path)
                }
                for track in self._library.tracks():
                    if track.mark is not None:
                        yield from (path for path in track.paths if path not in known)

    def _without_too_many_rewrites(self, wants: list[Want]) -> list[Want]:
        """Leave for tomorrow, or for ``flush``, what would rewrite too many files in a day for a change of model.

        A file that a label changes, or that has no mark yet, is none of these.
        """
        rewrites = [want for want in wants if self._is_rewrite(want)]
        self._rewrites = {want.path for want in rewrites}
        done = self._rewritten_today()
        allowed = rewrites_allowed(len(rewrites), done, self._settings.agent, consented=self._flushing)
        postponed = {want.path for want in rewrites[allowed:]}
        self._postponed |= postponed
        return [want for want in wants if want.path not in postponed]

    def _rewritten_today(self) -> int:
        day, _, count = (self._library.meta(_REWRITTEN) or "").partition(" ")
        return int(count) if day == datetime.now(UTC).date().isoformat() else 0

    def _is_rewrite(self, want: Want) -> bool:
        record = self._library.file(want.path)
        return (
            bool(record and record.mark)
            and want.mark is not None
            and want.mark.state is not MarkState.LABELLED
        )

    def _take_write(self, result: WriteResult) -> None:
        if result.reason == STALE:  # a change of times alone tells no watcher anything
            self._work.files.add(result.path)
            return
        if result.status is WriteStatus.WRITTEN and result.path in self._rewrites:
            self._rewrites.discard(result.path)
            today = datetime.now(UTC).date().isoformat()
            self._library.set_meta(_REWRITTEN, f"{today} {self._rewritten_today() + 1}")
        if result.status is WriteStatus.FAILED:
            self._note_error(f"{result.path}: {result.reason}")
        if result.status in {WriteStatus.FAILED, WriteStatus.KEPT} and result.target == TagCollection.target:
            track = self._library.track_of(result.path)
            self._refused[result.path] = (track and track.mark, *_stamp_of_files([result.path]))

    def _is_refused(self, want: Want) -> bool:
        """Whether the file would not be written, and is what it was then."""
        return self._refused.get(want.path) == (want.mark, *_stamp_of_files([want.path]))

    def _back_up(self) -> None:
        """Once a day; a backup that can't be made is told, and nothing stops."""
        now = self._clock()
        if now >= self._next_backup and not self._is_busy():
            self._next_backup = now + _BACKUP_SECONDS
            try:
                back_up(self._library, self._places.library_backups)
                keeping = self._settings.journal
                self._journal.prune(keep_days=keeping.keep_days, max_bytes=keeping.max_megabytes * 1_000_000)
            except (LibraryError, JournalError) as error:
                self._note_error(str(error))

    # Telling

    def _is_busy(self) -> bool:
        work = self._work
        return bool(work.files or work.folders or work.writes or work.tags) and self._permission.analyse

    def _note_error(self, text: str) -> None:
        log.warning("%s", text)
        if not self._errors or self._errors[0] != text:
            self._errors.appendleft(text)

    def _tell(self) -> None:
        """Say what we do, for ``moodzone agent status``: every few seconds, and when the gist changes."""
        now, permission, queue = self._clock(), self._permission, self._queue()
        waiting = len(self._work.writes) + len(self._postponed)
        state = permission.reason or (self._state if self._is_busy() else "watching")
        gist = (state, queue > 0, waiting > 0, len(self._errors))
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
                errors=tuple(self._errors),
                champion=self._model.model_id,
                labels=self._standing.new if self._standing else 0,
                retraining=self._next_training(),
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
        return left + len((self._work.files | self._work.folders) - self._under_way)

    def _why_postponed(self) -> str:
        most = self._settings.agent.most_rewrites_a_day
        return f"tomorrow, or `moodzone agent flush`: over {most} rewrites a day" if self._postponed else ""

    def _next_training(self) -> str:
        agent = self._settings.agent
        if self._training:
            return "learns now"
        if self._standing and self._standing.lack:
            return self._standing.lack
        if not agent.retrain_after:
            return "learns only when asked"
        return f"learns at {agent.retrain_after} labels" + (
            f", or after {agent.retrain_days} days" if agent.retrain_days else ""
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


def _stamp_of_files(paths: Iterable[Path]) -> tuple[object, ...]:
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
