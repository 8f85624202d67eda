"""Learning from labels: when, by a child process, and what becomes of the model that it makes.

::

    labels ── due ── Retraining: a copy of the labelled tracks ── child process, the trainer ── a bundle, judged
                     └ no better: thrown away · better: promoted, or it waits for a yes ── rate_stored

The agent never imports the trainer. The child touches neither library nor registry: it reads the copy and writes a
bundle beside it, so that whatever becomes of it changes nothing. Files of ours are in ``agent/training``::

    lock             held by the one process that trains
    labels.sqlite    labelled tracks with their features, as they were at the start
    bundle/          what the trainer made
    judgement, log   what it printed, the last time
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from exporters.filesystem import try_lock
from moodzone_agent.errors import BundleError, DataSetError, RunError, UsageError
from moodzone_agent.features.spec import FEATURES_VERSION
from moodzone_agent.library.records import FileRecord, FileStatus, Stamp
from moodzone_agent.library.store import Library
from moodzone_agent.types import Zone

if TYPE_CHECKING:
    from moodzone_agent.config import AgentSettings, Places, Settings

MIN_LABELS: Final = 12
MIN_OF_A_ZONE: Final = 3
MIN_TO_CLAIM: Final = 40
"""Asked or confirmed labels, below which no accuracy is claimed: corrections alone are a biased sample."""
TRUSTED_AFTER: Final = 2
"""Promotions by the user, after which a better model is used without being asked for."""

_UNREAD_SHARE: Final = 0.1
"""Of the labels, whose tracks may still lack new features when it is trained anew on these; drives may be away."""
_DAY_NS: Final = 86_400 * 10**9
_LIMIT_SECONDS: Final = 2 * 3600.0
_CHECK_SECONDS: Final = 0.5
_END_SECONDS: Final = 10.0
_TRAINED: Final = "last training"
_LABELS: Final = "labels.sqlite"
_BUNDLE: Final = "bundle"
_PREFIXES: Final = ("moodzone-train: ", "trainer.cli: ")
"""Of the one line that says why the child failed."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What there is to learn from."""

    new: int
    """Recordings that the user spoke of since the last training."""
    zones: Mapping[Zone, int]
    """Labels by zone, weak ones too, of recordings with features of this version."""
    unread: int
    """Labels of recordings without such features."""
    since_ns: int | None
    """When it was trained last, or else when the first label was given; by the machine's clock. None without labels."""
    is_outdated: bool
    """Whether it was trained last on another version of the features."""

    @property
    def lack(self) -> str:
        """What is missing before there can be any training, and what cures it; empty if nothing is."""
        total = sum(self.zones.values())
        rare = [zone for zone in Zone if self.zones.get(zone, 0) < MIN_OF_A_ZONE]
        if total < MIN_LABELS:
            lack = f"learning takes {MIN_LABELS} labels, and there are {total}"
        elif rare:
            have = " and ".join(f"{self.zones.get(zone, 0)} {zone}" for zone in rare)
            lack = f"learning takes {MIN_OF_A_ZONE} labels of each zone, and there are {have}"
        else:
            return ""
        if self.unread:
            return f"{lack}, {self.unread:,} more of tracks still to be analysed: `moodzone scan FOLDER` does that"
        return f"{lack}: label more tracks with `moodzone label TRACK... ZONE`"


def standing(library: Library) -> Standing:
    """What there is to learn from, by the order in which labels arrived. Errors: `LibraryError`."""
    note = _last_training(library)
    events = library.labels()
    begin = events[0].time_ns if events else None
    zones, unread = library.learnable(FEATURES_VERSION)
    return Standing(
        new=library.spoken_of_since(note.get("arrival", 0)),
        zones=zones,
        unread=unread,
        since_ns=note.get("time_ns", begin),
        is_outdated=note.get("features_version", FEATURES_VERSION) != FEATURES_VERSION,
    )


def due(now: Standing, settings: AgentSettings, time_ns: int) -> str | None:
    """Why it is time to train, in words; None if it isn't. `time_ns`: nanoseconds since 1970."""
    if not settings.retrain_after or now.since_ns is None or now.lack:
        return None
    if now.is_outdated and now.unread <= _UNREAD_SHARE * sum(now.zones.values()):
        return "the features of the music have changed"
    if not now.new:
        return None
    labels = f"{now.new:,} new {'label' if now.new == 1 else 'labels'}"
    if now.new >= settings.retrain_after:
        return labels
    days = (time_ns - now.since_ns) / _DAY_NS
    # A clock that was set back must not put it off for years.
    if settings.retrain_days and not 0 <= days < settings.retrain_days:
        return f"{labels}, and {settings.retrain_days} days have passed"
    return None


class Outcome(StrEnum):
    """What became of a training."""

    PROMOTED = "promoted"
    WAITING = "waiting"
    """Better, and it waits for the user's yes."""
    NO_BETTER = "no better"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Trained:
    """How a training ended."""

    outcome: Outcome
    words: str
    """What happened and why, for the user."""
    number: int | None = None
    """Of the model, if it is kept."""
    manifest: Mapping[str, Any] = field(default_factory=dict)
    """Of the model that was made; empty if none was."""
    judgement: str = ""
    """The trainer's figures, for the user."""


class Retraining:
    """A training in a child process of the lowest priority. Leaving the context ends it and deletes what it worked on.

    `force`: use the model in any case. `limit_seconds`: after which it is given up.
    Errors, when the context is entered: `DataSetError` if labels are missing; `UsageError` if another process
    trains; `RunError` if the child can't be started; `LibraryError`; `BundleError`.
    """

    def __init__(
        self,
        library: Library,
        places: Places,
        settings: Settings,
        *,
        force: bool = False,
        limit_seconds: float = _LIMIT_SECONDS,
    ) -> None:
        from moodzone_agent.classify.registry import Registry

        self._library = library
        self._settings = settings
        self._registry = Registry(places.models)
        self._force = force
        self._limit_seconds = limit_seconds
        self._folder = places.agent / "training"
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._deadline = 0.0
        self._arrival = 0
        self._champion = ""

    @property
    def log(self) -> Path:
        """What the child complained of, the last time."""
        return self._folder / "log"

    @property
    def pid(self) -> int | None:
        """Of the child, while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def __enter__(self) -> Self:
        lack = standing(self._library).lack
        if lack:
            raise DataSetError(lack)
        try:
            self._take_lock()
            self._sweep()
            self._arrival = self._library.last_arrival()
            self._copy_labels()
            self._start()
        except OSError as error:
            self.stop()
            raise RunError(
                f"the training cannot be started in {self._folder} ({error.strerror}); see to its disk and permissions"
            ) from error
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def poll(self) -> Trained | None:
        """How it ended; None while it runs. Takes some seconds where there is a model to be kept.

        What was ended by `stop` is no training: it may start again at once. Errors: `LibraryError`.
        """
        assert self._process is not None, "the context was not entered, or it has ended"
        code = self._process.poll()
        if code is None:
            if time.monotonic() < self._deadline:
                return None
            self._end_child()
            trained = Trained(
                Outcome.FAILED, f"it took longer than {self._limit_seconds / 60:.0f} minutes and was given up"
            )
        elif code:
            trained = Trained(Outcome.FAILED, self._complaint(code))
        else:
            try:
                trained = self._judge()
            except (BundleError, OSError, ValueError, KeyError) as error:
                trained = Trained(Outcome.FAILED, f"the new model cannot be kept: {error}")
        note = {"arrival": self._arrival, "time_ns": time.time_ns(), "features_version": FEATURES_VERSION}
        self._library.set_meta(_TRAINED, json.dumps(note))
        return trained

    def wait(self) -> Trained:
        """Wait for its end, and tell it. Errors: as of `poll`."""
        while True:
            trained = self.poll()
            if trained is not None:
                return trained
            assert self._process is not None
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_CHECK_SECONDS)

    def stop(self) -> None:
        """End the child if it runs, and delete all but what it printed."""
        self._end_child()
        if self._lock is not None:
            with suppress(OSError):
                self._sweep()
            os.close(self._lock)
            self._lock = None

    def _take_lock(self) -> None:
        """Errors: `UsageError` if another process has it; `OSError`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        if not try_lock(descriptor):
            os.close(descriptor)
            raise UsageError("a training runs already: try again when it is done")
        self._lock = descriptor

    def _end_child(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):  # a disk that doesn't answer holds it back
            self._process.wait(_END_SECONDS)
        assert self._process.stdin is not None
        self._process.stdin.close()

    def _copy_labels(self) -> None:
        with Library.open(self._folder / _LABELS) as copy, copy.transaction():
            for track in self._library.tracks():
                label = track.label or track.hint
                analysis = self._library.analysis(track.audio_id, FEATURES_VERSION) if label else None
                if label is None or analysis is None or not len(analysis.windows):
                    continue
                copy.put_analysis(analysis)
                for path in (*track.paths, *track.away)[:1]:
                    copy.put_file(
                        FileRecord(
                            path,
                            Stamp(0, 0, 0),
                            FileStatus.OK,
                            track.audio_id,
                            artist=track.artist,
                            title=track.title,
                        )
                    )
                copy.add_label(label)

    def _start(self) -> None:
        champion = self._registry.champion()
        self._champion = champion.bundle.model_id
        labels = self._folder / _LABELS
        options = {"--data": labels, "--cache": labels, "--base": champion.bundle.folder}
        with (self._folder / "judgement").open("wb") as judgement, self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "moodzone_agent.child", "trainer.cli", "finetune"),
                    *(f"{option}={path}" for option, path in options.items()),
                    *("--skip-missing", f"--output={self._folder / _BUNDLE}"),
                    *_as_trained(self._registry.recipe() or {}),
                ],
                stdin=subprocess.PIPE,
                stdout=judgement,
                stderr=log,
                env={**os.environ, "PYTHONUTF8": "1"},
                start_new_session=True,  # a Ctrl-C is the parent's to answer
            )
        self._deadline = time.monotonic() + self._limit_seconds

    def _judge(self) -> Trained:
        bundle = self._folder / _BUNDLE
        manifest = json.loads((bundle / "manifest.json").read_bytes())
        printed = (self._folder / "judgement").read_text("utf-8", "replace")
        judgement = printed.partition(f"\n{bundle.anchor}")[0]  # the bundle's place, which is none to be kept
        is_won = bool(manifest["contest"]["won"])
        if not (is_won or self._force) or manifest["id"] == self._champion:
            return Trained(
                Outcome.NO_BETTER, _why_no_better(manifest, self._champion), None, manifest, judgement
            )
        if self._registry.champion().bundle.model_id != self._champion:
            return Trained(
                Outcome.NO_BETTER, "another model was put into use meanwhile", None, manifest, judgement
            )
        number = self._registry.add(bundle)
        asks = self._settings.agent.confirm and self._registry.promotions_by_user() < TRUSTED_AFTER
        if not self._force and (asks or self._registry.was_promoted(number)):
            self._registry.challenge(number)
            words = (
                f"model {number} is better and waits for your yes: `moodzone model diff {number}` shows what it would "
                f"change, `moodzone model promote {number}` uses it"
            )
            return Trained(Outcome.WAITING, words, number, manifest, judgement)
        self._registry.promote(number)
        how = "better" if is_won else "not shown to be better"
        words = f"model {number} is {how} and in use: `moodzone model rollback` goes back"
        return Trained(Outcome.PROMOTED, words, number, manifest, judgement)

    def _complaint(self, code: int) -> str:
        """Why the child failed, from what it said last."""
        if code == -getattr(signal, "SIGKILL", 0):
            return "it was killed, perhaps for want of memory; close some programs and run `moodzone retrain`"
        with suppress(OSError):
            said = self.log.read_text("utf-8", "replace")
            for prefix in _PREFIXES:
                if prefix in said:
                    return said.rpartition(prefix)[2].strip()
            lines = said.strip().splitlines()
            if lines:
                return (
                    f"the trainer broke off ({lines[-1].strip()}); {self.log} tells more. Please report this"
                )
        return f"the trainer broke off (exit code {code}). Please report this"

    def _sweep(self) -> None:
        """Delete what a training works on. The lock is ours, so that nobody is at it. Errors: `OSError`."""
        _delete_work(self._folder)


def erase(places: Places) -> None:
    """Delete all that trainings left. Errors: `OSError`."""
    folder = places.agent / "training"
    if folder.is_dir():
        _delete_work(folder)
        for name in ("judgement", "log", "lock"):
            (folder / name).unlink(missing_ok=True)
        with suppress(OSError):  # it holds something else
            folder.rmdir()


def _last_training(library: Library) -> dict[str, int]:
    """Up to which entry of the label history, when, on what features; nothing if there was none."""
    with suppress(ValueError, TypeError, KeyError):
        note = json.loads(library.meta(_TRAINED) or "{}")
        return {name: int(note[name]) for name in ("arrival", "time_ns", "features_version")}
    return {}


def _as_trained(recipe: Mapping[str, Any]) -> Iterable[str]:
    """Options for the trainer: the ensemble, with what its user chose besides for the model in use."""
    for name in ("seed", "user_weight", "sure_accuracy"):
        if name in recipe:
            yield from (f"--{name.replace('_', '-')}", str(recipe[name]))
    if recipe.get("min_recall"):
        zone, share = recipe["min_recall"]
        yield from ("--min-recall", f"{zone}={share}")


def _why_no_better(manifest: Mapping[str, Any], champion: str) -> str:
    contest = manifest["contest"]
    if manifest["id"] == champion:
        return "it is the same model as the one in use"
    gain = f"{contest['gain']:+.3f} ± {contest['gain_error']:.3f}"
    if contest["judging"] < MIN_TO_CLAIM:
        return (
            f"only {contest['judging']} labels were asked for or confirmed, and a model is judged by {MIN_TO_CLAIM} "
            f"(as far as can be seen, its accuracy differs by {gain}): confirm zones that are right with "
            "`moodzone label TRACK... --confirm`, or use it unproven by `moodzone retrain --force`"
        )
    if contest["gain"] < -contest["gain_error"]:
        return f"its accuracy is worse than that of the model in use, by {gain}"
    if contest["gain"] <= contest["gain_error"]:
        return f"its accuracy differs from that of the model in use by {gain}, which may be chance"
    return (
        f"on the artists that were kept apart its accuracy differs by {contest['holdout_gain']:+.3f} ± "
        f"{contest['holdout_error']:.3f}"
    )


def _delete_work(folder: Path) -> None:
    for end in ("", "-wal", "-shm", "-journal"):
        (folder / f"{_LABELS}{end}").unlink(missing_ok=True)
    for place in list(folder.iterdir()):
        if place.is_dir() and (place.name == _BUNDLE or place.name.startswith(f".{_BUNDLE}-")):
            shutil.rmtree(place)
