"""What each part of the features costs: CPU time of 5 minutes of synthesised music, part by part."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from statistics import median
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.audio.rate import SAMPLE_RATE
from moodzone_agent.demo.music import compose, render
from moodzone_agent.features import frames, track
from tests.bench.machine import describe
from tests.bench.report import Figures, parser, report

PARTS: list[tuple[str, Any, str]] = [
    ("level", frames._LevelFrames, "_columns"),
    ("spectrum and mel (shared)", frames._SpectralFrames, "_measure"),
    ("shape", frames._SpectralFrames, "_shape"),
    ("onset strength", frames._SpectralFrames, "_onset_strengths"),
    ("mfcc_change", frames._SpectralFrames, "_mfcc_changes"),
    ("pitch peaks (chord, tuning, repetition)", frames, "pitch_columns"),
    ("tempo of windows", track, "tempo"),
    ("tempo of the track", track.TempoAccumulator, "push"),
    ("drops", track, "find_drops"),
    ("statistics of columns", track, "_statistics"),
    ("loudness", track, "loudness_features"),
    ("pulse, modulation", track, "rhythm_features"),
    ("harmonic", track, "harmonic_shares"),
    ("key, chord, tuning, repetition", track, "tonal_features"),
]
"""Name, where the function is looked up, and its name there. Those inside another are taken off it."""


def main(arguments: list[str]) -> None:
    """Print the table."""
    options = parser("families", __doc__)
    options.add_argument("--runs", type=int, default=5)
    chosen = options.parse_args(arguments)
    song = compose(5, energy=0.7, duration=300.0)
    samples = render(song, rate=SAMPLE_RATE).mean(axis=1).astype(np.float32)
    runs = [_run(samples) for _ in range(chosen.runs + 1)][1:]
    whole = median(run["everything"] for run in runs)
    figures = Figures("Feature work for 5 minutes", {"part": "", "CPU ms": ".1f", "share": ".1%"})
    for name in [*(part for part, _, _ in PARTS), "the rest", "everything"]:
        seconds = median(run[name] for run in runs)
        figures.rows.append({"part": name, "CPU ms": 1000 * seconds, "share": seconds / whole})
    report("families", describe("numpy", "scipy"), [figures], chosen.json)


def _run(samples: NDArray[np.float32]) -> dict[str, float]:
    """CPU seconds by part, of one pass."""
    spent: defaultdict[str, float] = defaultdict(float)
    inside: list[float] = [0.0]

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            inside.append(0.0)
            start = time.process_time()
            result = function(*arguments, **options)
            took = time.process_time() - start
            spent[name] += took - inside.pop()
            inside[-1] += took
            return result

        return call

    patches = []
    for name, place, attribute in PARTS:
        function = place.__dict__[attribute]
        if isinstance(function, staticmethod):
            patches.append(mock.patch.object(place, attribute, staticmethod(timed(name, function.__func__))))
        else:
            patches.append(mock.patch.object(place, attribute, timed(name, function)))
    for patch in patches:
        patch.start()
    try:
        accumulator = track.TrackAccumulator()
        start = time.process_time()
        for first in range(0, samples.size, SAMPLE_RATE):
            accumulator.push(samples[first : first + SAMPLE_RATE])
        accumulator.result()
        everything = time.process_time() - start
    finally:
        for patch in patches:
            patch.stop()
    return dict(spent) | {"everything": everything, "the rest": everything - sum(spent.values())}
