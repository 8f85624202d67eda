"""What it costs to write zones into a large rekordbox XML: time by step, and peak memory.

Every track gets a token in its comment, a colour and a list, by the exporter itself, with journal and backup. Memory
is asked of the system, which Windows doesn't tell this way.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from exporters.base import Want, WriteStatus
from exporters.journal import Journal
from exporters.rekordbox_xml import RekordboxXml, RekordboxXmlSettings
from moodzone_agent.types import ZONES, Mark
from tests.bench.libraries import rekordbox_collection, rekordbox_path
from tests.bench.machine import describe
from tests.bench.report import Figures, parser, report


def main(arguments: list[str]) -> None:
    """Print the table."""
    options = parser("merge", __doc__)
    options.add_argument("--tracks", type=int, default=10_000)
    chosen = options.parse_args(arguments)
    if sys.platform == "win32":
        options.error("Windows doesn't tell the peak memory this way")
    with tempfile.TemporaryDirectory() as folder:
        figures = _measure(Path(folder), chosen.tracks)
    report("merge", describe(), [figures], chosen.json)


def _measure(folder: Path, tracks: int) -> Figures:
    path = folder / "rekordbox.xml"
    path.write_bytes(rekordbox_collection(tracks))
    wants = [Want(rekordbox_path(number), Mark(ZONES[number % 3])) for number in range(1, tracks + 1)]
    figures = Figures(
        f"{tracks} tracks, {path.stat().st_size / 1e6:.1f} MB of XML",
        {"step": "", "seconds": ".2f", "peak MB": ".0f"},
    )

    def note(step: str, seconds: float) -> None:
        figures.rows.append({"step": step, "seconds": seconds, "peak MB": _peak_megabytes()})

    collection = RekordboxXml(path, RekordboxXmlSettings().colours)
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
