"""The shared vocabulary: zones, estimates, marks and labels. Imports nothing of ours."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Zone(StrEnum):
    """How much energy a track has, in rising order."""

    YELLOW = "YELLOW"
    GREEN = "GREEN"
    PURPLE = "PURPLE"

    @property
    def rank(self) -> int:
        """0 for YELLOW, 1 for GREEN, 2 for PURPLE: the column of this zone in every probability vector."""
        return ZONES.index(self)


ZONES: Final = (Zone.YELLOW, Zone.GREEN, Zone.PURPLE)


class MarkState(StrEnum):
    """Where the zone of a mark comes from."""

    RATED = "rated"
    """The model is sure of it."""
    UNSURE = "unsure"
    """The model's best guess, below its threshold of confidence."""
    LABELLED = "labelled"
    """The user said so."""


_FIELD = re.compile(r"(YELLOW|GREEN|PURPLE);state=(rated|unsure|labelled)")
_TOKEN = re.compile(r"#(YELLOW|GREEN|PURPLE)(\?)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Mark:
    """What is written to a target. Holds nothing that changes with the model while the zone stays."""

    zone: Zone
    state: MarkState = MarkState.RATED

    @property
    def token(self) -> str:
        """The visible form, ``#PURPLE``, or ``#PURPLE?`` where the model is unsure."""
        return f"#{self.zone}{'?' if self.state is MarkState.UNSURE else ''}"

    @property
    def field(self) -> str:
        """The own field's form, such as ``PURPLE;state=rated``."""
        return f"{self.zone};state={self.state}"

    @classmethod
    def from_field(cls, text: str) -> Mark | None:
        """The mark an own field holds, or None where it holds something else."""
        match = _FIELD.fullmatch(text.strip())
        return cls(Zone(match[1]), MarkState(match[2])) if match else None

    @classmethod
    def from_token(cls, text: str) -> Mark | None:
        """The mark that one visible token (in any case of letters) stands for, or None."""
        match = _TOKEN.fullmatch(text)
        if match is None:
            return None
        return cls(Zone(match[1].upper()), MarkState.UNSURE if match[2] else MarkState.RATED)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a model says of one track."""

    probabilities: tuple[float, float, float]
    """Of YELLOW, GREEN and PURPLE; they sum to 1."""
    arousal: float
    """Energy, 1 (calm) to 9 (excited), the scale of DEAM's annotators."""
    valence: float
    """Pleasantness, 1 (negative) to 9 (positive)."""
    sure: bool
    """Whether the confidence reaches the model's threshold."""
    model: str
    """Id of the bundle that made it."""
    kept: Zone | None = None
    """The zone that the track had before, where it keeps that although another is more probable now."""

    @property
    def likeliest(self) -> Zone:
        """The most probable zone; of equals the calmer."""
        return ZONES[self.probabilities.index(max(self.probabilities))]

    @property
    def zone(self) -> Zone:
        """The zone of the track: the one it keeps, else the most probable."""
        return self.kept or self.likeliest

    @property
    def confidence(self) -> float:
        """The probability of the zone; 1/3 to 1, unless it is a kept one."""
        return self.probabilities[self.zone.rank]

    @property
    def mark(self) -> Mark:
        """The mark that carries this estimate to a target."""
        return Mark(self.zone, MarkState.RATED if self.sure else MarkState.UNSURE)


class LabelOrigin(StrEnum):
    """How a label came to be; a trainer weighs them differently."""

    ASKED = "asked"
    CONFIRMED = "confirmed"
    CORRECTED = "corrected"
    IMPORTED = "imported"
    WEAK = "weak"
    """Drawn from something that only hints at it, such as a playlist made for another purpose."""


@dataclass(frozen=True, slots=True)
class Label:
    """A zone given by the user. Labels form an append-only history; the newest of a track counts."""

    audio_id: str
    zone: Zone
    origin: LabelOrigin
    source: str
    """Where it was given, such as ``cli`` or ``tags``."""
    time_ns: int
    """Nanoseconds since 1970 by the machine's clock; order is kept by arrival, not by this."""


@dataclass(frozen=True, slots=True)
class Cuts:
    """Where the plane of arousal and valence (1 to 9 each) is cut into zones."""

    yellow_max: float = 4.0
    """Arousal below this is YELLOW."""
    purple_min: float = 6.0
    """Arousal above this is PURPLE, if the valence is high enough."""
    purple_min_valence: float = 4.5

    def zone(self, arousal: float, valence: float) -> Zone:
        """The zone of a point; GREEN is what is neither."""
        if arousal < self.yellow_max:
            return Zone.YELLOW
        if arousal > self.purple_min and valence > self.purple_min_valence:
            return Zone.PURPLE
        return Zone.GREEN
