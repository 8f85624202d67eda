"""Why a track has its zone: which groups of features move it, in a DJ's words.

A group's effect is what the zone loses in probability when the library's medians stand in the place of the
group's features, in all windows: the track as it would be, were it ordinary in that one respect.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.features.spec import FEATURE_NAMES, FEATURES_VERSION
from moodzone_agent.library.store import Library
from moodzone_agent.types import Zone

FloatArray = NDArray[np.float32]

FEWEST_TRACKS: Final = 5
"""Of a library whose median says something."""

_SAMPLE: Final = 500
_SURELY_TOLD: Final = 3
_MOST_TOLD: Final = 5
_WORTH_TELLING: Final = 0.02
_LEAST_TOLD: Final = 0.005
"""Changes of probability: so much makes a fourth and fifth group worth naming, so much any."""


class Group(StrEnum):
    """What a DJ hears, each a part of the features."""

    LOUDNESS = "loudness"
    BASS = "bass"
    BRIGHTNESS = "brightness"
    RHYTHM = "rhythm density"
    DROPS = "drops"
    TEMPO = "tempo"
    TONE = "tone"


_PATTERNS: Final = (
    (Group.DROPS, r"drop_"),
    (Group.LOUDNESS, r"rms_|level_|crest_|loudness_|low_energy|energy_variance"),
    (Group.BASS, r"sub_band_[1-3]_"),  # to 250 Hz
    (Group.BRIGHTNESS, r"spectral_|brightness|zero_crossing_rate|sub_band_[7-9]_"),  # from 2 kHz
    (Group.TEMPO, r"tempo|periodicity_"),
    (Group.RHYTHM, r"onset_|pulse_|modulation_|mfcc_change_"),
)


def group_of(feature: str) -> Group:
    """The group of a feature; what has no other is tone: timbre, harmony, keys, chords."""
    return next((group for group, pattern in _PATTERNS if re.match(pattern, feature)), Group.TONE)


_COLUMNS: Final[dict[Group, list[int]]] = {
    group: [at for at, name in enumerate(FEATURE_NAMES) if group_of(name) is group] for group in Group
}

_LEADS: Final = {
    Group.LOUDNESS: (("rms_energy",), "louder", "quieter"),
    Group.BASS: (("sub_band_1_p90", "sub_band_2_p90"), "more bass", "less bass"),
    Group.BRIGHTNESS: (("brightness",), "brighter", "darker"),
    Group.RHYTHM: (("onset_rate", "onset_strength_mean"), "busier", "calmer"),
    Group.DROPS: (("drop_strength",), "stronger drops", "weaker drops"),
    Group.TEMPO: (("tempo",), "faster", "slower"),
}
"""By group, the features that stand for it (of several the first there is), and what to call more and less of it."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One group's part in a track's zone."""

    group: Group
    change: float
    """Probability that the zone has through the group, -1 to 1; negative where the group speaks against it."""
    words: str
    """Such as "louder than most of your library"."""


def library_medians(library: Library) -> FloatArray | None:
    """[F]: the median over tracks of their mean window; None where there are too few tracks.

    Of a large library 500 tracks are taken, always the same.
    """
    means = [
        analysis.windows.mean(axis=0, dtype=np.float64)
        for analysis in library.analyses(FEATURES_VERSION, at_most=_SAMPLE)
        if len(analysis.windows)
    ]
    if len(means) < FEWEST_TRACKS:
        return None
    return np.asarray(np.median(np.stack(means), axis=0), np.float32)


def effects(
    model: ZoneModel, windows: FloatArray, medians: FloatArray, zone: Zone | None = None
) -> list[Reason]:
    """All groups' parts in a zone, by default the one that `model` gives to the windows [W, F], the largest first."""
    estimate = model.estimate(windows, model.rate(windows))
    zone = zone or estimate.zone
    found = []
    for group, columns in _COLUMNS.items():
        changed = windows.copy()
        changed[:, columns] = medians[columns]
        ordinary = model.estimate(changed, model.rate(changed))
        change = _probability(estimate.probabilities, zone) - _probability(ordinary.probabilities, zone)
        found.append(Reason(group, change, _words(group, windows.mean(axis=0), medians)))
    return sorted(found, key=lambda reason: -abs(reason.change))


def reasons(
    model: ZoneModel, windows: FloatArray, medians: FloatArray, zone: Zone | None = None
) -> list[Reason]:
    """The groups that move the track's zone most: three, up to five that matter; fewer where nothing else does."""
    return [
        reason
        for place, reason in enumerate(effects(model, windows, medians, zone)[:_MOST_TOLD])
        if abs(reason.change) >= (_LEAST_TOLD if place < _SURELY_TOLD else _WORTH_TELLING)
    ]


def _words(group: Group, mean: FloatArray, medians: FloatArray) -> str:
    """How the track differs from the library in what stands for the group."""
    leads, more, less = _LEADS.get(group, ((), "", ""))
    lead = next((FEATURE_NAMES.index(name) for name in leads if name in FEATURE_NAMES), None)
    if lead is None:
        return "unlike most of your library"
    if np.isclose(mean[lead], medians[lead], rtol=1e-3):
        return "as in most of your library"
    return f"{more if mean[lead] > medians[lead] else less} than most of your library"


def _probability(probabilities: tuple[float, float, float], zone: Zone) -> float:
    return probabilities[zone.rank]
