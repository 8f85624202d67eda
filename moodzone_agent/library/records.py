"""What the library tells and is told: records of files, recordings, labels and runs."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.types import Estimate, Label, LabelOrigin, Mark, MarkState, Zone

_INT64: Final = (1 << 63) - 1
_RIBBON_LOW: Final = np.array([0.0, 1.0])
_RIBBON_STEPS: Final = np.array([1.0, 255 / 8])
"""Of rank and arousal: the least value, and how many steps of a byte a unit takes."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells, without opening a file, whether it is still the same."""

    size: int
    mtime_ns: int
    ctime_ns: int
    """Of the last change of any kind; programs cannot set it. 0 on Windows, where it is another thing."""

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """The stamp of a file's ``stat``. Dates after 2262 (they occur) are cut to what SQLite holds."""
        mtime, ctime = (max(-_INT64, min(ns, _INT64)) for ns in (status.st_mtime_ns, status.st_ctime_ns))
        return cls(status.st_size, mtime, 0 if os.name == "nt" else ctime)


class FileStatus(StrEnum):
    """What came of a file."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"
    MISSING = "missing"
    """It was there once. All else that is known of it is kept."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What is known of one file."""

    path: Path
    """Where it appears now, or appeared last if its volume is away."""
    stamp: Stamp
    status: FileStatus
    audio_id: str | None = None
    """What it held when it was last read without an error."""
    reason: str = ""
    """Why it failed or was skipped."""
    tag_hash: str = ""
    """Of its tags when they were last read without an error; empty if they never were."""
    tags_checked_ns: int = 0
    artist: str = ""
    title: str = ""
    mark: str | None = None
    """Our own field in its tags when they were last read, empty for none; None where that isn't known."""
    mounted: bool = True
    """Whether its volume is there now. Not stored."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """Everything one pass over a recording's audio yields."""

    audio_id: str
    duration: float
    """Seconds."""
    tempo: float
    """Beats a minute."""
    drops: tuple[float, ...]
    """Seconds from the start, rising."""
    features_version: int
    track: NDArray[np.float32]
    """[F] features over the whole track."""
    windows: NDArray[np.float32]
    """[W, F] features, one row a window."""
    warnings: tuple[str, ...] = ()
    frames: NDArray[np.float32] | None = None
    """[T, K] of `spec.RIBBON_COLUMNS`. Not stored: what the frame model makes of them lives on in the ribbon."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A recording that a model has not rated yet."""

    analysis: Analysis
    before: Estimate | None
    """What another model said of it."""
    is_labelled: bool
    affect: NDArray[np.float32] | None
    """[W, 2] arousal and valence of its windows, by the zone graph that was asked for."""
    ribbon_data: bytes

    @property
    def ribbon(self) -> NDArray[np.float32]:
        """[N, 2] rank of the zone and arousal along the track by the other model; no rows without one."""
        return unpack_ribbon(self.ribbon_data)


@dataclass(frozen=True, slots=True)
class LabelEvent:
    """One entry of the label history: a zone given, or (zone None) taken back."""

    audio_id: str
    zone: Zone | None
    origin: LabelOrigin
    source: str
    time_ns: int

    @property
    def label(self) -> Label | None:
        """The label that holds after this event."""
        return Label(self.audio_id, self.zone, self.origin, self.source, self.time_ns) if self.zone else None


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """One recording as the user sees it."""

    audio_id: str
    duration: float | None
    """Seconds; None, as tempo, where it was never analysed (a label may come first)."""
    tempo: float | None
    drops: tuple[float, ...]
    warnings: tuple[str, ...]
    estimate: Estimate | None
    label: Label | None
    """The user's word; never a weak one."""
    ribbon_data: bytes
    paths: tuple[Path, ...]
    """Its files that are there now, in order of path."""
    away: tuple[Path, ...]
    """Where it was last: files that are missing or unreadable, or whose volume is not mounted."""
    artist: str
    title: str
    hint: Label | None = None
    """A weak label, where the user has said nothing. It trains a little, and decides nothing here."""

    @property
    def mark(self) -> Mark | None:
        """What a target should show: the user's word, else the model's."""
        if self.label:
            return Mark(self.label.zone, MarkState.LABELLED)
        return self.estimate.mark if self.estimate else None

    @property
    def ribbon(self) -> NDArray[np.float32]:
        """[N, 2] rank of the zone (0-2) and arousal (1-9, within 0.02) along the track."""
        return unpack_ribbon(self.ribbon_data)


class PlaceEventKind(StrEnum):
    """What happened in a place that can hold a zone."""

    SEEN = "seen"
    PLANNED = "planned"
    """About to be written. Whether it was, the next event tells."""
    WROTE = "wrote"
    ACCEPTED = "accepted"
    """What the user put there became a label, or agreed with one."""
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class PlaceEvent:
    """One entry of the history of a place."""

    kind: PlaceEventKind
    value: str
    """What stood there from then on."""
    ours: str = ""
    """What of the value is ours: a token, a colour, a list."""
    edited_ns: int | None = None
    """When it was put there, where the program records that."""
    time_ns: int = field(default=0, compare=False)
    """When it was noted, by the machine's clock; the library sees to it."""


def values_of_ours(events: Iterable[PlaceEvent]) -> frozenset[str]:
    """What of ours may stand in a place: what was written last, and what may have been written since."""
    written, planned = "", set[str]()
    for event in events:
        match event.kind:
            case PlaceEventKind.PLANNED:
                planned.add(event.ours)
                continue
            case PlaceEventKind.WROTE | PlaceEventKind.ACCEPTED | PlaceEventKind.UNDONE:
                written = event.ours
        planned = set()
    return frozenset({written, *planned} - {""})


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run of a command."""

    id: int
    kind: str
    detail: Mapping[str, Any]
    started_ns: int
    finished_ns: int | None
    """None while it runs, and for ever if it was killed."""
    counts: Mapping[str, int]


def pack_ribbon(ribbon: NDArray[np.floating[Any]]) -> bytes:
    """The stored form of a ribbon [N, 2] of rank and arousal: a byte each, then zlib.

    Raises ValueError if it has not two columns or holds what is not finite.
    """
    if ribbon.ndim != 2 or ribbon.shape[1] != 2 or not np.isfinite(ribbon).all():
        raise ValueError(f"a ribbon has two columns of finite numbers; this one has the shape {ribbon.shape}")
    steps = np.rint((ribbon - _RIBBON_LOW) * _RIBBON_STEPS)
    return zlib.compress(np.clip(steps, 0, 255).astype(np.uint8).tobytes())


def unpack_ribbon(data: bytes) -> NDArray[np.float32]:
    """The ribbon [N, 2] that `pack_ribbon` stored; nothing stored is a ribbon of no rows."""
    steps = np.frombuffer(zlib.decompress(data) if data else b"", np.uint8).reshape(-1, 2)
    return np.asarray(steps / _RIBBON_STEPS + _RIBBON_LOW, np.float32)
