"""A scan: from folders to a zone for every track in the library.

    walk ── plan ── worker pool (decode, identity, features) ── model ── library ── one result per file

Only `scan` writes to the library, and only from the process that opened it.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from exporters.tags.edit import TagField, read_state
from moodzone_agent.audio.container import HEAD_BYTES, sniff
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.errors import FileChangedError, TagError
from moodzone_agent.features.spec import FEATURES_VERSION
from moodzone_agent.library.records import Analysis, FileRecord, FileStatus, Stamp, TrackRecord
from moodzone_agent.library.store import Library
from moodzone_agent.rerating import rate_stored, settled
from moodzone_agent.walk import Found, Skipped, Unreadable, walk
from moodzone_agent.workers import AnalysisPool, Outcome, Task

_TAGS_STALE_NS: Final = 24 * 3600 * 10**9
"""Where no change time tells of edits that kept size and date, tags are read again after a day."""
_COARSE_CLOCK_NS: Final = 10**7
"""The step of exFAT's clock; FAT's is a multiple of it."""


@dataclass(frozen=True, slots=True)
class ScanResult:
    """What came of one file."""

    path: Path
    status: FileStatus
    """OK, FAILED or SKIPPED."""
    reason: str = ""
    """Why it failed or was skipped."""
    count: int = 1
    """Files it stands for; more than 1 only where many were skipped together."""
    changed: bool = False
    """Whether this scan read it, successfully or not, and not only its stamp; or found its tags edited."""
    track: TrackRecord | None = None
    """What the library knows of its recording, if OK."""


class Plan:
    """What a scan will do, told before it begins; and how far it is, which any thread may ask while it runs."""

    def __init__(self, files: int, tasks: Iterable[Task]) -> None:
        sizes = [task.size for task in tasks]
        self.files = files
        """All that were looked at."""
        self.to_read = len(sizes)
        self.bytes_to_read = sum(sizes)
        self.files_read = 0
        self._bytes_of_read = 0
        self._most_bytes = 0.0
        self.workers: AnalysisPool | None = None

    @property
    def bytes_read(self) -> float:
        """Of whole files and of those under way; never falls."""
        under_way = self.workers.bytes_under_way() if self.workers else 0.0
        self._most_bytes = max(self._most_bytes, self._bytes_of_read + under_way)
        return self._most_bytes

    def count(self, task: Task) -> None:
        """One more file was read."""
        self.files_read += 1
        self._bytes_of_read += task.size


def scan(
    roots: Iterable[Path],
    library: Library,
    model: ZoneModel | None,
    *,
    jobs: int,
    field: TagField = TagField.COMMENT,
    keep_zones: bool = False,
    on_plan: Callable[[Plan], None] = lambda _: None,
    on_wait: Callable[[], None] = lambda: None,
) -> Generator[ScanResult, None, None]:
    """Bring the library up to date with the folders; yields a result for every file, the quick ones first.

    A file whose stamp is as it was isn't opened. One that changed or is new has its tags read, then, if its
    audio may be known, its packets, and only new audio is decoded. One that failed is tried again when it
    changes. A file that changes while it is read, or whose disk fails, is read once more at the end; if that
    is no better, it is said so, and the next scan tries again, since neither tells of the file.
    With `keep_zones` (see `challenger.keeps_zones`) only what has no estimate yet is rated.
    Whoever stops early closes the generator, which stops the workers; what was yielded is kept. `on_wait` is called
    several times a second, also while nothing is yielded, and may raise to end the scan. Without a model nothing
    is rated: only features are wanted.
    """
    if model is not None:
        rate_stored(library, model, keep_zones=keep_zones, on_wait=on_wait)
    absolute = list(dict.fromkeys(Path(os.path.realpath(root)) for root in roots))
    scanning = _Scan(library, model, field, keep_zones=keep_zones)
    quick = [result for root in absolute for result in scanning.look_at(root, on_wait)]
    scanning.put_in_order()
    for root in absolute:
        library.mark_missing(root, scanning.seen, scanning.unreadable)
    plan = Plan(scanning.files, scanning.waiting())
    on_plan(plan)
    yield from quick
    if scanning.tasks:
        durations = (duration for _, _, duration in library.known_audio(FEATURES_VERSION))
        with AnalysisPool(min(jobs, len(scanning.tasks)), durations) as workers:
            plan.workers = workers
            if model is not None:
                model.load()  # while the workers start
            while scanning.tasks:
                for outcome in workers.run(scanning.tasks, on_wait):
                    result = scanning.take(outcome)
                    if result is not None:
                        plan.count(outcome.task)
                        yield result
                yield from scanning.next_round()


def _rate(library: Library, model: ZoneModel, analysis: Analysis, course: NDArray[np.float32] | None) -> None:
    windows = model.rate(analysis.windows)
    audio_id = analysis.audio_id
    estimate = settled(
        model.estimate(analysis.windows, windows),
        library.estimate(audio_id),
        is_labelled=library.label(audio_id) is not None,
    )
    with library.transaction():
        library.put_estimate(audio_id, estimate, model.ribbon(windows, analysis.duration, course))
        library.put_affect(audio_id, model.bundle.zone_model_hash, windows.affect)


class _Scan:
    """The state of one scan."""

    def __init__(
        self, library: Library, model: ZoneModel | None, field: TagField, *, keep_zones: bool
    ) -> None:
        self._library = library
        self._keep_zones = keep_zones
        self._model = model
        self._field = field
        self.files = 0
        self.tasks: deque[Task] = deque()
        """To be read now; grows when a file that was only identified turns out to be new."""
        self._postponed: deque[Task] = deque()
        """Of the same size as one that is read now: perhaps a copy of it, so they wait until its identity is known."""
        self._once_more: list[Outcome] = []
        """What changed while it was read or met an error of the disk."""
        self._tried_twice: set[Path] = set()
        self._records: dict[Path, FileRecord] = {}
        """What to store of each file being read, but for its outcome."""
        self._sizes = {size for _, size, _ in library.known_audio(FEATURES_VERSION)}
        self._sizes_in_round: set[int] = set()
        self._outdated = False
        """Whether recordings lack features of this version."""
        self._being_analysed: set[str] = set()
        """Audio ids that turned out to be new in this round."""
        self.seen: set[Path] = set()
        self.unreadable: list[Path] = []
        self._told: set[Path] = set()
        """What was skipped or unreadable; folders may be named inside each other."""

    def waiting(self) -> Iterator[Task]:
        """All that is to be read."""
        return chain(self.tasks, self._postponed)

    def put_in_order(self) -> None:
        """After a change of the features come the labelled recordings, to learn from, and then the newest files."""
        if self._outdated:
            self.tasks = deque(sorted(self.tasks, key=self._urgency))

    def _urgency(self, task: Task) -> tuple[bool, int]:
        record = self._records[task.path]
        is_labelled = record.audio_id is not None and self._library.label(record.audio_id) is not None
        return not is_labelled, -record.stamp.mtime_ns

    def look_at(self, root: Path, on_wait: Callable[[], None]) -> Iterator[ScanResult]:
        """Walk a folder: results for what needs no reading; the rest becomes tasks."""
        known = {record.path: record for record in self._library.files_under(root)}
        for item in walk(root):
            on_wait()
            match item:
                case Unreadable(path=path, reason=reason) if path not in self._told:
                    self._told.add(path)
                    self.unreadable.append(path)
                    yield ScanResult(path, FileStatus.FAILED, reason)
                case Skipped(path=path, why=why, count=count) if path not in self._told:
                    self._told.add(path)
                    yield ScanResult(path, FileStatus.SKIPPED, str(why), count)
                case Found(path=path) if path not in self.seen:
                    self.seen.add(path)
                    self.files += 1
                    # A link in the folder may have led to a file elsewhere.
                    record = known.get(path) if path.is_relative_to(root) else self._library.file(path)
                    result = self._look_at_file(item, record)
                    if result is not None:
                        yield result

    def _look_at_file(self, found: Found, known: FileRecord | None) -> ScanResult | None:
        stamp = Stamp.of(found.stat)
        if known is not None and known.stamp == stamp and known.status is not FileStatus.MISSING:
            return self._unchanged(known) or self._schedule(found, known)
        if known is not None and known.stamp == stamp and known.audio_id is not None and not known.reason:
            known = replace(known, status=FileStatus.OK)
            self._library.put_file(known)
            return self._unchanged(known) or self._schedule(found, known)
        return self._schedule(found, known)

    def _unchanged(self, known: FileRecord) -> ScanResult | None:
        """The stored result, or None if the file must be read after all."""
        if known.status is not FileStatus.OK:
            return ScanResult(known.path, known.status, known.reason)
        if known.audio_id is None or not self._library.has_features(known.audio_id, FEATURES_VERSION):
            self._outdated = True
            return None
        changed = False
        if _hides_edits(known.stamp) and time.time_ns() - known.tags_checked_ns > _TAGS_STALE_NS:
            try:
                fresh = self._with_tags(known)
            except OSError as error:
                return ScanResult(known.path, FileStatus.FAILED, _disk(error))
            changed = fresh.tag_hash != known.tag_hash
            self._library.put_file(fresh)
        return self._ok(known.path, changed=changed)

    def _schedule(self, found: Found, known: FileRecord | None) -> ScanResult | None:
        path, stamp = found.path, Stamp.of(found.stat)
        record = FileRecord(path, stamp, FileStatus.OK)
        if known is not None:  # it counts until the file is read without an error
            record = replace(record, audio_id=known.audio_id, tag_hash=known.tag_hash, mark=known.mark)
        try:
            if found.sniff and not is_music(path):
                record = replace(record, audio_id=None, status=FileStatus.SKIPPED, reason="not a music file")
                self._library.put_file(record)
                return ScanResult(path, record.status, record.reason)
        except OSError as error:
            return ScanResult(path, FileStatus.FAILED, _disk(error))
        self._records[path] = record
        known_audio = known is not None and known.audio_id is not None
        task = Task(path, stamp.size, identify_first=known_audio or stamp.size in self._sizes)
        if not task.identify_first and stamp.size in self._sizes_in_round:
            self._postponed.append(replace(task, identify_first=True))
        else:
            self._sizes_in_round.add(stamp.size)
            self.tasks.append(task)
        return None

    def next_round(self) -> Iterator[ScanResult]:
        """What waited for the identity of another, and what shall be tried once more if it is still there."""
        self.tasks.extend(self._postponed)
        self._postponed.clear()
        self._being_analysed.clear()
        for outcome in self._once_more:
            task = outcome.task
            try:
                stamp = Stamp.of(task.path.stat())
            except OSError:
                yield self._failed(outcome)
            else:
                self._records[task.path] = replace(self._records[task.path], stamp=stamp)
                self.tasks.append(replace(task, size=stamp.size))
        self._once_more.clear()

    def take(self, outcome: Outcome) -> ScanResult | None:
        """Store what came of a task; None if more is to be done about its file."""
        path = outcome.task.path
        try:
            match outcome.result:
                case Analysis() as analysis:
                    with self._library.transaction():
                        self._library.put_analysis(analysis)
                        if self._model is not None and not self._is_kept(analysis.audio_id):
                            course = None if analysis.frames is None else self._model.course(analysis.frames)
                            _rate(self._library, self._model, analysis, course)
                        self._put_read(path, analysis.audio_id)
                case str(audio_id) if self._library.has_features(audio_id, FEATURES_VERSION):
                    self._put_read(path, audio_id)
                case str(audio_id) if audio_id in self._being_analysed:
                    self._postponed.append(outcome.task)
                    return None
                case str(audio_id):
                    self._being_analysed.add(audio_id)
                    self.tasks.append(replace(outcome.task, identify_first=False, analyse_always=True))
                    return None
                case None:
                    return self._try_once_more(outcome)
        except OSError as error:  # of its tags
            return self._try_once_more(Outcome(outcome.task, error=error))
        return self._ok(path, changed=True)

    def _try_once_more(self, outcome: Outcome) -> ScanResult | None:
        path, error = outcome.task.path, outcome.error
        can_pass = isinstance(error, FileChangedError | OSError)
        # Permissions don't come by waiting, and a disk that doesn't answer was waited for.
        if not can_pass or isinstance(error, PermissionError | TimeoutError) or path in self._tried_twice:
            return self._failed(outcome)
        self._tried_twice.add(path)
        self._once_more.append(outcome)
        return None

    def _failed(self, outcome: Outcome) -> ScanResult:
        path, error = outcome.task.path, outcome.error
        record = self._records.pop(path)
        if isinstance(error, OSError):
            return ScanResult(path, FileStatus.FAILED, _disk(error), changed=True)
        reason = str(error)
        if not isinstance(error, FileChangedError):
            self._library.put_file(replace(record, status=FileStatus.FAILED, reason=reason))
        return ScanResult(path, FileStatus.FAILED, reason, changed=True)

    def _is_kept(self, audio_id: str) -> bool:
        """Whether a recording keeps the estimate it has."""
        return self._keep_zones and self._library.is_rated(audio_id)

    def _put_read(self, path: Path, audio_id: str) -> None:
        if self._library.file(path) is None:
            self._library.inherit_places(path, audio_id)
        self._library.put_file(self._with_tags(replace(self._records[path], audio_id=audio_id)))
        del self._records[path]

    def _with_tags(self, record: FileRecord) -> FileRecord:
        """The record with what the tags say; tags that can't be read don't keep a track from being rated.

        Errors: `OSError` of the disk.
        """
        try:
            state = read_state(record.path, field=self._field)
        except TagError as error:
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from None
            return replace(record, tags_checked_ns=time.time_ns())
        return replace(
            record,
            tag_hash=state.tag_hash,
            artist=state.artist,
            title=state.title,
            mark=state.mark.field if state.mark else "",
            tags_checked_ns=time.time_ns(),
        )

    def _ok(self, path: Path, *, changed: bool) -> ScanResult:
        return ScanResult(path, FileStatus.OK, changed=changed, track=self._library.track_of(path))


def _hides_edits(stamp: Stamp) -> bool:
    """Whether the change time tells nothing: there is none (Windows), or it repeats the date (FAT, exFAT)."""
    repeats = stamp.ctime_ns == stamp.mtime_ns and stamp.mtime_ns % _COARSE_CLOCK_NS == 0
    return stamp.ctime_ns == 0 or repeats


def is_music(path: Path) -> bool:
    """Whether a file's first bytes are those of music. Errors: `OSError`."""
    with path.open("rb") as file:
        return sniff(file.read(HEAD_BYTES)) is not None


def _disk(error: OSError) -> str:
    return f"could not be read from the disk ({error.strerror or error}); it will be tried again"
