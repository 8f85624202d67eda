"""How often tempo and drops are right, on synthesised tracks of 2 minutes whose truth is known.

Tempi lie evenly from 60 to 190 BPM, the four styles with drums take turns, and half of the tracks have a fake drop. The
weights of the tempo were fitted to seeds 2000 to 2399, the drops' limits tried on them; the default seeds are others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from moodzone_agent.demo.music import Song, Style
from moodzone_agent.features.spec import FEATURE_NAMES
from moodzone_agent.features.track import TrackAccumulator
from tests.bench.machine import describe
from tests.bench.report import Figures, Value, parser, report
from trainer.pretraining.tempo import samples_of, song_of

SECONDS: Final = 120.0
TOLERANCE: Final = 0.04
"""Share of the true tempo."""
OCTAVES: Final = (1 / 3, 1 / 2, 1, 2, 3)
"""Multiples of the true tempo that count as right but for the octave."""
NEAR: Final = 1.0
"""Seconds between a drop and where it was found."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What was found in one track."""

    song: Song
    tempo: float
    drops: tuple[float, ...]


def main(arguments: list[str]) -> None:
    """Print the tables."""
    options = parser("rhythm", __doc__)
    options.add_argument("--tracks", type=int, default=100)
    options.add_argument("--seeds", type=int, default=5000, metavar="FIRST", help="seed of the first track")
    chosen = options.parse_args(arguments)
    heard = [_hear(song_of(seed, SECONDS)) for seed in range(chosen.seeds, chosen.seeds + chosen.tracks)]
    last = chosen.seeds + chosen.tracks - 1
    tables = [_tempo_table(heard), _drop_table(heard)]
    for table in tables:
        table.title += f", {chosen.tracks} tracks of {SECONDS:.0f} s, seeds {chosen.seeds} to {last}"
    report("rhythm", describe("numpy", "scipy"), tables, chosen.json)


def _hear(song: Song) -> Heard:
    accumulator = TrackAccumulator()
    accumulator.push(samples_of(song))
    features = accumulator.result()
    assert features is not None
    tempo = float(features.track[FEATURE_NAMES.index("tempo")])
    return Heard(song, tempo, tuple(drop.seconds for drop in features.drops))


def _tempo_table(heard: Sequence[Heard]) -> Figures:
    figures = Figures(
        "Tempo",
        {"style": "", "tracks": "d", "within 4 %": ".3f", "but for octaves": ".3f", "wrong": ""},
        note="but for octaves: within 4 % of 1/3, 1/2, 1, 2 or 3 times the true tempo. Wrong: true and found BPM.",
    )
    styles: dict[str, Sequence[Heard]] = {}
    for style in Style:
        chosen = [one for one in heard if one.song.style is style]
        if chosen:
            styles[str(style)] = chosen
    for name, of_style in (styles | {"all": heard}).items():
        exact = [_is_near(one, (1,)) for one in of_style]
        wrong = [one for one, right in zip(of_style, exact, strict=True) if not right]
        figures.rows.append(
            {
                "style": name,
                "tracks": len(of_style),
                "within 4 %": sum(exact) / len(of_style),
                "but for octaves": sum(_is_near(one, OCTAVES) for one in of_style) / len(of_style),
                "wrong": "" if name == "all" else _pairs(wrong),
            }
        )
    return figures


def _pairs(wrong: Sequence[Heard]) -> Value:
    return ", ".join(f"{one.song.tempo:.0f}→{one.tempo:.0f}" for one in wrong)


def _is_near(one: Heard, multiples: Sequence[float]) -> bool:
    return any(abs(one.tempo / (one.song.tempo * multiple) - 1) <= TOLERANCE for multiple in multiples)


def _drop_table(heard: Sequence[Heard]) -> Figures:
    figures = Figures(
        "Drops",
        {
            "tracks with": "",
            "drops": "d",
            "fake drops": "d",
            "found": "d",
            "right": "d",
            "precision": ".3f",
            "recall": ".3f",
            "F1": ".3f",
        },
        note="right: within 1 s of a drop, each found one with another.",
    )
    rows = (
        ("fake drops", [one for one in heard if one.song.fake_drops]),
        ("none", [one for one in heard if not one.song.fake_drops]),
        ("all", heard),
    )
    for name, chosen in rows:
        true = sum(len(one.song.drops) for one in chosen)
        found = sum(len(one.drops) for one in chosen)
        right = sum(matched(one.drops, one.song.drops) for one in chosen)
        figures.rows.append(
            {
                "tracks with": name,
                "drops": true,
                "fake drops": sum(len(one.song.fake_drops) for one in chosen),
                "found": found,
                "right": right,
                "precision": right / max(found, 1),
                "recall": right / max(true, 1),
                "F1": 2 * right / max(found + true, 1),
            }
        )
    return figures


def matched(found: Sequence[float], true: Sequence[float]) -> int:
    """How many can be matched one to one within 1 s: in order of time, each with the first that is near."""
    left = sorted(true)
    count = 0
    for seconds in sorted(found):
        while left and left[0] < seconds - NEAR:
            left.pop(0)
        if left and left[0] <= seconds + NEAR:
            left.pop(0)
            count += 1
    return count
