"""What another model, or the same one with other cuts, makes of the library: to stay, or only to look at."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.classify.pool import WindowEstimates
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.features.spec import FEATURES_VERSION
from moodzone_agent.library.records import Analysis, TrackRecord, Waiting
from moodzone_agent.library.store import Library
from moodzone_agent.types import Estimate, Mark, Zone

FLIP_LEAD: Final = 0.15
"""By so much the probability of another zone must exceed that of a track's zone to take its place."""

_TRACKS_AT_ONCE: Final = 64


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


def rate_stored(
    library: Library,
    model: ZoneModel,
    *,
    keep_zones: bool = False,
    on_wait: Callable[[], None] = lambda: None,
) -> int:
    """Rate all tracks whose stored features this model hasn't seen; no audio is touched. Returns their number.

    With `keep_zones` those that another model has rated stay as they are.
    Some hundred at once are read, rated on all processors and stored. `on_wait` is called between them; what it raises
    ends the rating, and what is stored is kept.
    """
    count = 0
    threads = os.cpu_count() or 1
    graph = model.bundle.zone_model_hash
    under_way: deque[Future[list[_Rating]]] = deque()
    batches = library.tracks_to_rate(model.model_id, FEATURES_VERSION, graph, only_unrated=keep_zones)
    with ThreadPoolExecutor(threads) as pool:
        try:
            for batch in chain(batches, repeat(None)):
                on_wait()
                if batch is not None:
                    model.load()
                    under_way.append(pool.submit(_rate_batch, model, batch))
                elif not under_way:
                    break
                if batch is None or len(under_way) > threads:
                    ratings = under_way.popleft().result()
                    with library.transaction():
                        for rating in ratings:
                            library.put_estimate(rating.audio_id, rating.estimate, rating.ribbon)
                            if rating.affect is not None:
                                library.put_affect(rating.audio_id, graph, rating.affect)
                    count += len(ratings)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return count


class _Rating(NamedTuple):
    """What a model says of a track."""

    audio_id: str
    estimate: Estimate
    ribbon: NDArray[np.float64]
    affect: NDArray[np.float32] | None
    """Of its windows, where it wasn't known."""


def _rate_batch(model: ZoneModel, batch: list[Waiting]) -> list[_Rating]:
    waiting = [each for each in batch if len(each.analysis.windows)]
    ratings = []
    rated = _rated(model, [each.analysis for each in waiting], [each.affect for each in waiting])
    for each, (windows, estimate) in zip(waiting, rated, strict=True):
        # Its frames are gone, but their arousal's course is in the ribbon; only the level comes anew.
        course = each.ribbon[:, 1]
        ribbon = model.ribbon(windows, each.analysis.duration, course if len(course) else None)
        kept = settled(estimate, each.before, is_labelled=each.is_labelled)
        affect = windows.affect if each.affect is None else None
        ratings.append(_Rating(each.analysis.audio_id, kept, ribbon, affect))
    return ratings


def _rated(
    model: ZoneModel, analyses: Sequence[Analysis], affects: Sequence[NDArray[np.float32] | None]
) -> Iterator[tuple[WindowEstimates, Estimate]]:
    tracks = [analysis.windows for analysis in analyses]
    windows = model.rate_tracks(tracks, affects)
    return zip(windows, model.estimate_tracks(tracks, windows), strict=True)


@dataclass(frozen=True, slots=True)
class Rerated:
    """One track, as another model sees it."""

    track: TrackRecord
    estimate: Estimate
    windows: WindowEstimates


def rerate(library: Library, model: ZoneModel) -> Iterator[Rerated]:
    """All tracks with stored features, in order of path. Errors: `BundleError` if the model can't be loaded."""
    tracks = iter(library.tracks())
    while batch := list(islice(tracks, _TRACKS_AT_ONCE)):
        found = [(track, library.analysis(track.audio_id, FEATURES_VERSION)) for track in batch]
        known = [
            (track, analysis) for track, analysis in found if analysis is not None and len(analysis.windows)
        ]
        affects = [library.affect(track.audio_id, model.bundle.zone_model_hash) for track, _ in known]
        rated = _rated(model, [analysis for _, analysis in known], affects)
        for (track, _), (windows, estimate) in zip(known, rated, strict=True):
            yield Rerated(
                track, settled(estimate, track.estimate, is_labelled=track.label is not None), windows
            )


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


def rerate_library(
    library: Library,
    model: ZoneModel,
    before: Mapping[Path, Mark] | None = None,
    on_wait: Callable[[], None] = lambda: None,
) -> list[Path]:
    """Rate all tracks by a model that was promoted, from stored features; returns the files whose mark has changed.

    ``before``: the marks to compare with, by default those of now. ``on_wait``: as of `rate_stored`.
    Errors: `LibraryError`; `BundleError` if the model can't be loaded.
    """
    before = marks(library) if before is None else before
    rate_stored(library, model, on_wait=on_wait)
    return changed_files(before, marks(library))


def marks(library: Library) -> dict[Path, Mark]:
    """The mark of each file that is there, in order of path. Errors: `LibraryError`."""
    found = {path: track.mark for track in library.tracks() if track.mark for path in track.paths}
    return dict(sorted(found.items()))


def changed_files(before: Mapping[Path, Mark], after: Mapping[Path, Mark]) -> list[Path]:
    """Files that had a mark and get another one."""
    return [path for path, mark in after.items() if path in before and before[path] != mark]
