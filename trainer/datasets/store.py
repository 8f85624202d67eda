"""Features that were extracted before: a library of the agent's kind, used as the trainer's cache.

So extraction is parallel, can be stopped and resumed, and recordings are known by their audio id: what was analysed
with this version of the features isn't decoded again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moodzone_agent.config import HOME_VARIABLE
from moodzone_agent.console import printable
from moodzone_agent.errors import LibraryError
from moodzone_agent.features.spec import FEATURES_VERSION
from moodzone_agent.library.records import FileStatus
from moodzone_agent.library.store import Library
from moodzone_agent.pipeline import Plan, ScanResult, scan
from trainer.datasets.labels import SQLITE_HEAD

_NAME: Final = "training.sqlite"
_MOST_SHOWN: Final = 10

Progress = Callable[[int, int], None]
"""Told (done, of) in files that had to be read."""


def default_cache() -> Path:
    """Under ``MOODZONE_HOME`` if that is set, else where the platform wants what can be made anew."""
    home = os.environ.get(HOME_VARIABLE)
    if home:
        return Path(home).expanduser().absolute() / _NAME
    from platformdirs import PlatformDirs

    return PlatformDirs("moodzone", appauthor=False).user_cache_path / _NAME


def frames_folder(cache: Path | None) -> Path:
    """Where frames are kept: beside the cache at ``cache``, or beside the usual one."""
    place = cache or default_cache()
    return place.with_name(f"{place.stem}-frames")


def open_cache(path: Path | None) -> Library:
    """The cache at ``path``, or where it usually is; made if there is none.

    Errors: `LibraryError` names what cures it; the file is then as it was.
    """
    place = path or default_cache()
    try:
        with place.open("rb") as file:
            head = file.read(len(SQLITE_HEAD))
    except OSError:  # there is none yet, or the library says what is wrong with it
        head = b""
    if head and head != SQLITE_HEAD:  # SQLite would make a library of one that is short enough
        raise LibraryError(
            f"The cache {printable(place)} is damaged, or no cache: set the file aside and run again, or name another "
            "with --cache."
        )
    return Library.open(place)


@dataclass(frozen=True, slots=True)
class Analysed:
    """What came of the files that were looked at."""

    recordings: dict[str, Path]
    """Audio id to a file of each recording, in order of path."""
    failed: tuple[ScanResult, ...]
    """What could not be analysed, in order of path; a file that was named and skipped, too."""

    def complaints(self) -> list[str]:
        """Lines on what failed, few even if that is much."""
        lines = [f"{printable(result.path)}: {result.reason}" for result in self.failed[:_MOST_SHOWN]]
        more = len(self.failed) - _MOST_SHOWN
        return [*lines, f"and {more:,} more failed"] if more > 0 else lines


def analyse_into(library: Library, paths: Iterable[Path], *, jobs: int, progress: Progress) -> Analysed:
    """Bring the cache up to date with these files and folders.

    What is yielded by a scan is kept at once, so that one that was stopped goes on where it was. Errors:
    `LibraryError`.
    """
    plan: Plan | None = None
    named = [Path(os.path.realpath(path)) for path in paths]

    def begin(made: Plan) -> None:
        nonlocal plan
        plan = made
        progress(0, made.to_read)

    results = []
    with closing(scan(named, library, None, jobs=jobs, on_plan=begin)) as scanning:
        for result in scanning:
            results.append(result)
            if plan is not None:
                progress(plan.files_read, plan.to_read)
    by_name = set(named)
    recordings: dict[str, Path] = {}
    for result in sorted(results, key=lambda result: result.path):
        if result.status is FileStatus.OK and result.track is not None:
            recordings.setdefault(result.track.audio_id, result.path)
    failed = [
        result
        for result in sorted(results, key=lambda result: result.path)
        if result.status is FileStatus.FAILED
        or (result.status is FileStatus.SKIPPED and result.path in by_name and result.count == 1)
    ]
    return Analysed(recordings, tuple(failed))


def adopt(library: Library, other: Library) -> int:
    """Take over what another library knows of labelled tracks, so that they need no analysis; returns how many."""
    count = 0
    for track in other.tracks():
        if track.label is None and track.hint is None:
            continue
        analysis = other.analysis(track.audio_id, FEATURES_VERSION)
        if analysis is None or library.has_features(track.audio_id, FEATURES_VERSION):
            continue
        with library.transaction():
            library.put_analysis(analysis)
            for path in track.paths:
                record = other.file(path)
                if record is not None:
                    library.put_file(record)
        count += 1
    return count
