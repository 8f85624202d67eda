"""What another model, or the same one with other cuts, makes of the library. Nothing is stored here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from moodzone_agent.classify.pool import WindowEstimates
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.features.spec import FEATURES_VERSION
from moodzone_agent.library.records import TrackRecord
from moodzone_agent.library.store import Library
from moodzone_agent.types import Estimate, Zone

FLIP_LEAD: Final = 0.15
"""By so much the probability of another zone must exceed that of a track's zone to take its place."""


def settled(estimate: Estimate, before: Estimate | None, *, is_labelled: bool) -> Estimate:
    """A new estimate, with the zone of the one before it kept where another leads by less than `FLIP_LEAD`.

    So a new model does not move what it is as good as undecided about. A zone that is kept is never sure. Other cuts of
    the same bundle are the user's will and move zones at once, and with a label there is nothing to keep.
    """
    if before is None or is_labelled or _bundle(before.model) == _bundle(estimate.model):
        return estimate
    lead = max(estimate.probabilities) - estimate.probabilities[before.zone.rank]
    if before.zone is estimate.likeliest or lead >= FLIP_LEAD:
        return estimate
    return replace(estimate, kept=before.zone, sure=False)


def _bundle(model: str) -> str:
    """A model's id without its cuts."""
    return model.partition("@")[0]


@dataclass(frozen=True, slots=True)
class Rerated:
    """One track, as another model sees it."""

    track: TrackRecord
    estimate: Estimate
    windows: WindowEstimates


def rerate(library: Library, model: ZoneModel) -> Iterator[Rerated]:
    """All tracks with stored features, in order of path. Errors: `BundleError` if the model can't be loaded."""
    for track in library.tracks():
        analysis = library.analysis(track.audio_id, FEATURES_VERSION)
        if analysis is not None and len(analysis.windows):
            windows = model.rate(analysis.windows)
            estimate = model.estimate(analysis.windows, windows)
            estimate = settled(estimate, track.estimate, is_labelled=track.label is not None)
            yield Rerated(track, estimate, windows)


@dataclass(slots=True)
class Difference:
    """How another model's zones differ from those that the library shows."""

    moves: Counter[tuple[Zone, Zone]] = field(default_factory=Counter)
    """Tracks by zone before and after; without those that have a label, which keep their zone."""
    changed: list[Rerated] = field(default_factory=list)
    """Those whose zone would be another, the most confident first."""
    unsure: tuple[int, int] = (0, 0)
    """Before and after, of the same."""
    labels: int = 0
    agreed: tuple[int, int] = (0, 0)
    """With so many of the labels the estimates agree: before and after."""

    @property
    def tracks(self) -> int:
        """All that were compared, but those that have a label."""
        return self.moves.total()


def difference(rerated: Iterator[Rerated]) -> Difference:
    """Compare with what is stored; tracks that were never rated are left out."""
    told = Difference()
    for item in rerated:
        before, after, label = item.track.estimate, item.estimate, item.track.label
        if before is None:
            continue
        if label is not None:
            told.labels += 1
            told.agreed = _added(told.agreed, before.zone is label.zone, after.zone is label.zone)
            continue
        told.moves[before.zone, after.zone] += 1
        told.unsure = _added(told.unsure, not before.sure, not after.sure)
        if before.zone is not after.zone:
            told.changed.append(item)
    told.changed.sort(key=lambda item: -item.estimate.confidence)  # stable: by path where they are equal
    return told


def _added(counts: tuple[int, int], before: bool, after: bool) -> tuple[int, int]:
    return counts[0] + before, counts[1] + after
