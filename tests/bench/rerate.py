"""Re-rating a library from its stored features by another model: what a scan does first when the model has changed.

The library is made of noise, spread like DEAM's features, and rated once before, so that all of it is read, rated and
written over. Beside it, the time of the graph alone, on one thread, for as many windows.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from moodzone_agent.classify.bundle import load_bundle
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.features.spec import (
    FEATURE_NAMES,
    FEATURES_VERSION,
    FRAME_SECONDS,
    WINDOW_FRAMES,
    WINDOW_STEP,
)
from moodzone_agent.library.records import Analysis
from moodzone_agent.library.store import Library
from moodzone_agent.pipeline import rate_stored
from moodzone_agent.types import Cuts, Estimate
from tests.bench.machine import describe
from tests.bench.report import Figures, Value, parser, report

_AIM: Final = 60.0
"""Seconds for the tracks of `_LIBRARY`."""
_LIBRARY: Final = 100_000


def main(arguments: list[str]) -> None:
    """Print the table."""
    options = parser("rerate", __doc__)
    options.add_argument("--tracks", type=int, default=10_000)
    options.add_argument("--windows", type=int, default=30, help="of each track; one every 5 s")
    chosen = options.parse_args(arguments)
    model = ZoneModel(load_bundle(), Cuts(3.9, 6.1, 4.5))
    model.load()
    figures = Figures(
        f"{chosen.tracks:,} tracks of {chosen.windows} windows, {os.cpu_count()} threads",
        {
            "what": "",
            "s": ".1f",
            "tracks/s": ",.0f",
            "CPU ms a track": ".2f",
            f"s for {_LIBRARY:,}": ",.0f",
            "aim": "",
            "met": "",
        },
    )
    with TemporaryDirectory(prefix="mz-rerate-", dir=chosen.cache.parent) as folder:
        path = Path(folder) / "library.sqlite"
        with Library.open(path) as library:
            _fill(library, chosen.tracks, chosen.windows)
            start, used = time.perf_counter(), time.process_time()
            count = rate_stored(library, model)
            spent = time.perf_counter() - start, time.process_time() - used
        figures.note = f"the library takes {path.stat().st_size / 1e6:,.0f} MB"
    figures.rows.append(_row("read, rate and store", count, spent, judged=True))
    sample = min(count, 200)
    windows = noise(0, sample * chosen.windows)
    start, used = time.perf_counter(), time.process_time()
    model.rate(windows)
    spent = time.perf_counter() - start, time.process_time() - used
    figures.rows.append(_row("the graph alone, one thread", sample, spent, judged=False))
    report("rerate", describe("numpy", "onnxruntime"), [figures], chosen.json)


def _row(what: str, tracks: int, spent: tuple[float, float], *, judged: bool) -> dict[str, Value]:
    """``spent``: seconds by the clock, and of all processors."""
    seconds, used = spent
    for_all = seconds / tracks * _LIBRARY
    row: dict[str, Value] = {
        "what": what,
        "s": seconds,
        "tracks/s": tracks / seconds,
        "CPU ms a track": used / tracks * 1000,
        f"s for {_LIBRARY:,}": for_all,
    }
    if judged:
        row |= {"aim": f"<= {_AIM:g} s", "met": "yes" if for_all <= _AIM else "no"}
    return row


def noise(seed: int, rows: int) -> Any:
    """[rows, F] features of nothing, spread like DEAM's."""
    return np.random.default_rng(seed).normal(0, 1, (rows, len(FEATURE_NAMES))).astype(np.float32)


def _fill(library: Library, tracks: int, windows: int) -> None:
    duration = (windows - 1) * WINDOW_STEP * FRAME_SECONDS + WINDOW_FRAMES * FRAME_SECONDS
    rng = np.random.default_rng(1)
    before = Estimate((0.2, 0.5, 0.3), 5.0, 5.0, sure=False, model="another")
    for first in range(0, tracks, 500):
        with library.transaction():
            for number in range(first, min(first + 500, tracks)):
                features = noise(number, windows)
                library.put_analysis(
                    Analysis(
                        f"{number:064x}", duration, 128.0, (30.0,), FEATURES_VERSION, features[0], features
                    )
                )
                level = np.clip(5 + np.cumsum(rng.normal(0, 0.1, int(duration / FRAME_SECONDS))), 1, 9)
                library.put_estimate(f"{number:064x}", before, np.column_stack((np.rint(level > 5), level)))
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{first:,} tracks made")


if __name__ == "__main__":
    main(sys.argv[1:])
