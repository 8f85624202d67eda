"""What it costs to write zones into a large rekordbox XML or a large collection.nml of Traktor: time by step, and
peak memory.

Every track gets a token in its comment, a colour and a list, by the exporter itself, with journal and backup. Memory
is asked of the system, which Windows doesn't tell this way; each program is measured in a process of its own.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from exporters.base import Collection, Want, WriteStatus
from exporters.journal import Journal
from exporters.rekordbox.xml import RekordboxXml, RekordboxXmlSettings
from exporters.traktor.location import SYSTEM
from exporters.traktor.nml import TraktorNmlWithComments, TraktorSettings
from moodzone_agent.types import ZONES, Mark
from tests.bench.libraries import collection_path, rekordbox_collection, traktor_collection
from tests.bench.machine import describe
from tests.bench.report import Figures, parser, report


class _Kind(NamedTuple):
    """A program's collection: how it is made, and how it is opened."""

    content: Callable[[int], bytes]
    open: Callable[[Path], Collection]


def _rekordbox(path: Path) -> Collection:
    return RekordboxXml(path, RekordboxXmlSettings().colours)


def _traktor(path: Path) -> Collection:
    return TraktorNmlWithComments(path, TraktorSettings().colours, frozenset({SYSTEM}))


_KINDS = {
    "rekordbox": _Kind(rekordbox_collection, _rekordbox),
    "Traktor": _Kind(traktor_collection, _traktor),
}


def main(arguments: list[str]) -> None:
    """Print a table for each program."""
    options = parser("merge", __doc__)
    options.add_argument("--tracks", type=int, default=10_000)
    chosen = options.parse_args(arguments)
    if sys.platform == "win32":
        options.error("Windows doesn't tell the peak memory this way")
    tables = []
    for name in _KINDS:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            tables.append(pool.apply(_measure, (name, chosen.tracks)))
    report("merge", describe(), tables, chosen.json)


def _measure(name: str, tracks: int) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        return _measure_in(Path(folder), name, tracks)


def _measure_in(folder: Path, name: str, tracks: int) -> Figures:
    kind = _KINDS[name]
    path = folder / "collection.xml"
    path.write_bytes(kind.content(tracks))
    wants = [Want(collection_path(number), Mark(ZONES[number % 3])) for number in range(1, tracks + 1)]
    figures = Figures(
        f"{name}: {tracks} tracks, {path.stat().st_size / 1e6:.1f} MB of XML",
        {"step": "", "seconds": ".2f", "peak MB": ".0f"},
    )

    def note(step: str, seconds: float) -> None:
        figures.rows.append({"step": step, "seconds": seconds, "peak MB": _peak_megabytes()})

    collection = kind.open(path)
    started = time.perf_counter()
    note("before", 0.0)
    changes = list(collection.preview(wants))
    note("preview", (previewed := time.perf_counter()) - started)
    with Journal(folder / "journal").start("write") as run:
        done = list(collection.write(changes, run, folder / "backups"))
    note("write, journal and backup", (ended := time.perf_counter()) - previewed)
    note("everything", ended - started)
    assert [change.status for change in done] == [WriteStatus.WRITTEN] * 3 * tracks
    return figures


def _peak_megabytes() -> float:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e6 / 1024)
