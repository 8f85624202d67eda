"""Labels that are likely wrong, by confident learning (Northcutt, Jiang & Chuang, JAIR 70, 2021)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Suspect:
    """One label that is likely wrong."""

    place: int
    """Of the track among all."""
    suggested: int
    """Rank of the zone that it is likelier to be."""
    margin: float
    """Probability of the label less that of the suggested zone; the lower, the more suspicious."""


def suspects(ranks: NDArray[np.intp], probabilities: FloatArray) -> list[Suspect]:
    """The most suspicious first, of ranks [L] and probabilities [L, 3] from models that didn't see the label.

    A zone's threshold is the mean probability of the zone among the tracks that bear its label. Suspicious is a track
    below the threshold of its own label to which another zone is likelier.
    """
    own = probabilities[np.arange(len(ranks)), ranks]
    found = []
    for place, (rank, chances) in enumerate(zip(ranks.tolist(), probabilities, strict=True)):
        suggested = int(chances.argmax())
        if suggested != rank and own[place] < own[ranks == rank].mean():
            found.append(Suspect(place, suggested, float(own[place] - chances[suggested])))
    return sorted(found, key=lambda suspect: suspect.margin)
