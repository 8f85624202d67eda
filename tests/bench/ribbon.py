"""Whether the ribbon tells a break from the rest, on synthesised tracks of 2 minutes whose sections are known.

The frame model's inputs were chosen with songs of the seeds 5000 to 5023; the default seeds are others.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.classify.bundle import PRETRAINED, load_bundle
from moodzone_agent.classify.ribbon import window_ribbon
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.demo.music import SectionKind, Song
from moodzone_agent.features.spec import FRAME_SECONDS
from moodzone_agent.features.track import TrackAccumulator
from tests.bench.machine import describe
from tests.bench.report import Figures, parser, report
from trainer.pretraining.tempo import samples_of, song_of

SECONDS: Final = 120.0
_FULL: Final = (SectionKind.GROOVE, SectionKind.DROP)
_BEFORE: Final = slice(-8, -1)
_AFTER: Final = slice(4, 10)
"""Frames around a drop that are compared: up to 0.5 s before it, and from 2 to 5 s after."""


def main(arguments: list[str]) -> None:
    """Print the table."""
    options = parser("ribbon", __doc__)
    options.add_argument("--tracks", type=int, default=50)
    options.add_argument("--seeds", type=int, default=7000, metavar="FIRST", help="seed of the first track")
    options.add_argument("--bundle", type=Path, default=PRETRAINED)
    chosen = options.parse_args(arguments)
    model = ZoneModel(load_bundle(chosen.bundle))
    songs = [song_of(seed, SECONDS) for seed in range(chosen.seeds, chosen.seeds + chosen.tracks)]
    songs = [song for song in songs if song.drops]
    both = [_ribbons(song, model) for song in songs]
    figures = Figures(
        f"Arousal along {len(songs)} tracks with drops, seeds {chosen.seeds} to {chosen.seeds + chosen.tracks - 1}",
        {"from": "", "breaks told": ".3f", "rises at": ".3f", "by": ".2f"},
        note="breaks told: how often a frame of a drop or groove lies above one of a break in the same track (area "
        "under the ROC curve, mean over the tracks). Rises at: share of the drops; by: mean, 1 to 9.",
    )
    for name, ribbons in zip(
        ("windows", "frame model, at the windows' level"), zip(*both, strict=True), strict=True
    ):
        rises = [rise for song, arousal in zip(songs, ribbons, strict=True) for rise in _rises(song, arousal)]
        figures.rows.append(
            {
                "from": name,
                "breaks told": float(np.mean([_told(*pair) for pair in zip(songs, ribbons, strict=True)])),
                "rises at": float(np.mean(np.array(rises) > 0)),
                "by": float(np.mean(rises)),
            }
        )
    report("ribbon", describe("numpy", "onnxruntime"), [figures], chosen.json)


def _ribbons(song: Song, model: ZoneModel) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Arousal [T] from the windows alone, and as the library gets it."""
    accumulator = TrackAccumulator()
    accumulator.push(samples_of(song))
    features = accumulator.result()
    assert features is not None
    windows = model.rate(features.windows)
    ribbon = model.ribbon(windows, song.duration, model.course(features.frames))
    return window_ribbon(windows, song.duration)[:, 1], ribbon[:, 1]


def _told(song: Song, arousal: NDArray[np.float64]) -> float:
    def of(kinds: Sequence[SectionKind]) -> NDArray[np.float64]:
        middles = (np.arange(len(arousal)) + 0.5) * FRAME_SECONDS
        spans = [(part.start, part.end) for part in song.sections if part.kind in kinds]
        return arousal[[any(start <= at < end for start, end in spans) for at in middles]]

    full, calm = of(_FULL), of((SectionKind.BREAK,))
    return float(np.mean(full[:, None] > calm))


def _rises(song: Song, arousal: NDArray[np.float64]) -> list[float]:
    drops = [round(drop / FRAME_SECONDS) for drop in song.drops]
    return [
        float(
            arousal[at + _AFTER.start : at + _AFTER.stop].mean()
            - arousal[at + _BEFORE.start : at + _BEFORE.stop].mean()
        )
        for at in drops
        if at + _BEFORE.start >= 0 and at + _AFTER.stop <= len(arousal)
    ]
