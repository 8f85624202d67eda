"""How much there is to read, and how long that takes here."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.library.records import FileStatus, Stamp
from moodzone_agent.library.store import Library
from moodzone_agent.pipeline import Plan, scan
from moodzone_agent.walk import Found, walk

_RATE: Final = "bytes a second of one worker"
_USUAL_RATE: Final = 5e6
"""Of a worker on a laptop, with a library of MP3; kept low, since a scan that ends early annoys nobody."""
_SAMPLE: Final = 4
"""Files read to measure the speed; the first of them only warms up."""
_HANDY: Final = 50_000_000
"""Bytes of a file that takes no long time to measure, if there are such."""


@dataclass(frozen=True, slots=True)
class Load:
    """The music in some folders."""

    files: int
    size: int
    """Bytes."""
    new: tuple[tuple[Path, int], ...]
    """Those that the library doesn't know as they are now, each with its size."""

    @property
    def new_size(self) -> int:
        """Bytes to be read."""
        return sum(size for _, size in self.new)


def take_stock(folders: Iterable[Path], library: Library) -> Load:
    """Count the music by its names and dates; no file is opened."""
    found: dict[Path, Stamp] = {}
    known: dict[Path, Stamp] = {}
    for folder in folders:
        known |= {
            record.path: record.stamp
            for record in library.files_under(folder)
            if record.status is not FileStatus.MISSING
        }
        for item in walk(folder):
            if isinstance(item, Found) and not item.sniff:
                found[item.path] = Stamp.of(item.stat)
    new = tuple((path, stamp.size) for path, stamp in found.items() if known.get(path) != stamp)
    return Load(len(found), sum(stamp.size for stamp in found.values()), new)


def measure_rate(load: Load, library: Library, model: ZoneModel, seed: int = 0) -> float:
    """Analyse a few of the new files for good, and tell how many bytes a second one worker reads.

    It is kept for the next estimate. Where there is too little to measure, it is the last one's.
    """
    pool = [one for one in load.new if one[1] <= _HANDY] or list(load.new)
    sample = dict(random.Random(seed).sample(pool, min(_SAMPLE, len(pool))))
    times: list[float] = []
    sizes: list[int] = []

    def begin(_: Plan) -> None:
        times.append(time.monotonic())

    scanning = scan(sample, library, model, jobs=1, on_plan=begin)
    with closing(scanning):
        for result in scanning:
            if result.changed and result.status is FileStatus.OK:
                times.append(time.monotonic())
                sizes.append(sample[result.path])
    if len(sizes) > 1:  # from the first result on; before it the worker started
        note_rate(library, sum(sizes[1:]) / max(times[-1] - times[1], 1e-3))
    return stored_rate(library)


def stored_rate(library: Library) -> float:
    """Bytes a second of one worker, as last measured here; else what is usual."""
    return float(library.meta(_RATE) or _USUAL_RATE)


def note_rate(library: Library, rate: float) -> None:
    """Keep what was measured."""
    library.set_meta(_RATE, f"{rate:.0f}")


def extent(files: int, size: int, seconds: float) -> str:
    """Files, gigabytes and time in words."""
    noun = "file" if files == 1 else "files"
    return f"{files:,} {noun}, {volume(size)}, {about(seconds)}"


def volume(size: int) -> str:
    """Bytes in gigabytes; where that would be nothing, in megabytes."""
    return f"{size / 1e9:,.1f} GB" if size >= 100_000_000 else f"{size / 1e6:.1f} MB"


def about(seconds: float) -> str:
    """A time in words, no more exact than it is known."""
    if seconds < 50:
        return "less than a minute"
    minutes = math.ceil(seconds / 60)
    if minutes <= 90:
        rounded = minutes if minutes <= 10 else 5 * math.ceil(minutes / 5)
        return f"about {rounded} {'minute' if rounded == 1 else 'minutes'}"
    return f"about {math.ceil(minutes / 30) / 2:g} hours"
