"""Re-rating a library from its stored features by another model: what the agent does when a model was promoted.

The library is made of noise and rated three times: by a new pretrained model, all of whose graphs have to see all
windows; by a model that a user's labels made of it, whose head is new; and by another of that kind. Beside it, the
time of the first graph alone, on one thread, for as many windows.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import onnx

from moodzone_agent.classify.bundle import Bundle, load_bundle
from moodzone_agent.classify.pool import HEAD_INPUTS
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
from moodzone_agent.rerating import rate_stored
from moodzone_agent.types import Estimate
from tests.agent.classify.bundles import with_head
from tests.bench.machine import describe
from tests.bench.report import Figures, Value, parser, report
from trainer.export.head import head_to_onnx
from trainer.finetuning.strategies import STRATEGIES, USER_WEIGHT, Labelled, load_base

_AIM: Final = 60.0
"""Seconds for the tracks of `_LIBRARY`."""
_LIBRARY: Final = 100_000


def main(arguments: list[str]) -> None:
    """Print the table."""
    options = parser("rerate", __doc__)
    options.add_argument("--tracks", type=int, default=10_000)
    options.add_argument("--windows", type=int, default=30, help="of each track; one every 5 s")
    chosen = options.parse_args(arguments)
    shipped = load_bundle()
    model = ZoneModel(shipped)
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
        head = _head(shipped)
        learned = [
            ZoneModel(load_bundle(with_head(Path(folder) / name, head, name))) for name in ("learned", "next")
        ]
        with Library.open(path) as library:
            _fill(library, chosen.tracks, chosen.windows)
            for what, rating in zip(
                ("a new pretrained model", "learned from labels", "retrained"), (model, *learned), strict=True
            ):
                rating.load()
                start, used = time.perf_counter(), time.process_time()
                count = rate_stored(library, rating)
                spent = time.perf_counter() - start, time.process_time() - used
                figures.rows.append(_row(what, count, spent, judged=True))
        figures.note = f"the library takes {path.stat().st_size / 1e6:,.0f} MB"
    sample = min(chosen.tracks, 200)
    windows = noise(0, sample * chosen.windows)
    start, used = time.perf_counter(), time.process_time()
    model.rate(windows)
    spent = time.perf_counter() - start, time.process_time() - used
    figures.rows.append(_row("its first graph alone, one thread", sample, spent, judged=False))
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


def _head(shipped: Bundle) -> onnx.ModelProto:
    """What the trainer's ensemble makes of 500 labels."""
    rng = np.random.default_rng(2)
    rows = rng.normal(0, 1, (500, len(HEAD_INPUTS))).astype(np.float32)
    arousal = 5 + rng.normal(0, 1, len(rows))
    rows[:, HEAD_INPUTS.index("arousal_mean")] = arousal
    ranks = np.digitize(arousal + rng.normal(0, 0.5, len(rows)), (4.3, 5.7))
    artists = tuple(str(place // 3) for place in range(len(rows)))
    labels = Labelled(rows, ranks, np.ones(len(rows)), artists)
    fit = STRATEGIES["ensemble"].fit
    return head_to_onnx(fit(labels, load_base(shipped), USER_WEIGHT, 0))


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
