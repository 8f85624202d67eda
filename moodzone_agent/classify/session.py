"""Features in, estimates out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.classify.bundle import Bundle
from moodzone_agent.classify.pool import WindowEstimates, head_inputs, pool, window_inputs
from moodzone_agent.classify.ribbon import CONTEXT_FRAMES, ZoneShares, course_ribbon, window_ribbon
from moodzone_agent.classify.runtime import load_graph
from moodzone_agent.types import Cuts, Estimate

FloatArray = NDArray[np.float32]

_ROWS_AT_ONCE: Final = 64
"""A kernel machine holds its distances from all that it learned from; those of hours would fill 100 MB."""
_FRAMES_AT_ONCE: Final = 128
"""The map to normal scores holds 8 kB a frame: these stay in the processor's cache."""


class ZoneModel:
    """A bundle's graphs.

    `cuts`: where the zones lie in a bundle that accepts them; a head has learned where, and takes none.
    """

    def __init__(self, bundle: Bundle, cuts: Cuts | None = None) -> None:
        cuts = cuts if cuts and bundle.accepts_cuts else Cuts()
        self.bundle = bundle
        self.model_id = bundle.model_id
        """Of the bundle, with the cuts where they aren't the usual ones: other cuts make other estimates."""
        if cuts != Cuts():
            self.model_id += f"@{cuts.yellow_max:g}/{cuts.purple_min:g}/{cuts.purple_min_valence:g}"
        self._cuts = np.array([cuts.yellow_max, cuts.purple_min, cuts.purple_min_valence], np.float32)

    def load(self) -> None:
        """Load the graphs, unless they are: it takes most of a second, and the first `rate` would have to wait.

        Errors: `BundleError` if ONNX Runtime cannot load them.
        """
        _ = self._zones, self._head, self._frames

    def rate(self, windows: FloatArray, affect: FloatArray | None = None) -> WindowEstimates:
        """Estimates of feature vectors [W, F].

        `affect`: where the bundle's first graph (`Bundle.zone_model_hash`) has seen these windows before, the
        `WindowEstimates.affect` that came of it. That graph is most of the work, and a user's heads share it.

        Errors: as for `load`.
        """
        estimates = self._run_zones(windows) if affect is None else self._zones_by(affect)
        if self._head is None or not len(windows):
            return estimates
        return replace(estimates, probabilities=self._run_head(window_inputs(windows, estimates)))

    def rate_tracks(
        self, tracks: Sequence[FloatArray], affects: Sequence[FloatArray | None]
    ) -> list[WindowEstimates]:
        """As `rate`, of several tracks' feature vectors at once, in blocks that don't end with the tracks.

        Errors: as for `load`.
        """
        rated: dict[int, WindowEstimates] = {}
        for is_known in (False, True):
            places = [place for place, affect in enumerate(affects) if (affect is not None) is is_known]
            if not places:
                continue
            known = [affect for affect in affects if affect is not None] if is_known else None
            every = self.rate(
                np.concatenate([tracks[place] for place in places]), np.concatenate(known) if known else None
            )
            first = 0
            for place in places:
                rated[place] = every.between(first, first + len(tracks[place]))
                first += len(tracks[place])
        return [rated[place] for place in range(len(tracks))]

    def estimate(self, features: FloatArray, windows: WindowEstimates) -> Estimate:
        """Of a track, from its windows' features [W, F] and what `rate` made of them: the head's, or else the mean."""
        return self.estimate_tracks([features], [windows])[0]

    def estimate_tracks(
        self, tracks: Sequence[FloatArray], rated: Sequence[WindowEstimates]
    ) -> list[Estimate]:
        """As `estimate`, of several tracks at once."""
        pooled = [pool(windows, sure_from=self.bundle.sure_from, model=self.model_id) for windows in rated]
        if self._head is None or not pooled:
            return pooled
        rows = np.stack([head_inputs(*track) for track in zip(tracks, rated, strict=True)])
        estimates = []
        for mean, (yellow, green, purple) in zip(pooled, self._run_head(rows).tolist(), strict=True):
            total = yellow + green + purple
            sure = max(yellow, green, purple) >= self.bundle.sure_from
            shares = yellow / total, green / total, purple / total
            estimates.append(replace(mean, probabilities=shares, sure=sure))
        return estimates

    def course(self, frames: FloatArray) -> FloatArray | None:
        """Arousal [T], 1 to 9, of frames [T, K] by what they and the 5 s before them hold; None without a frame model.

        Errors: as for `load`.
        """
        if self._frames is None:
            return None
        parts = [np.empty(0, np.float32)]
        for first in range(0, len(frames), _FRAMES_AT_ONCE):
            before = min(first, CONTEXT_FRAMES)
            block = frames[first - before : first + _FRAMES_AT_ONCE]
            parts.append(self._frames.run(["arousal"], {"frames": block})[0][before:])
        return np.asarray(np.concatenate(parts) * 4 + 5, np.float32)

    def ribbon(
        self, windows: WindowEstimates, duration: float, course: FloatArray | None
    ) -> NDArray[np.float64]:
        """[T, 2] rank of the zone (0 to 2) and arousal (1 to 9) along a track of so many seconds.

        From its `course`, or an earlier ribbon's arousal, where the bundle has a frame model; else from the windows.
        """
        if course is None or self._frames is None:
            return window_ribbon(windows, duration)
        cuts = Cuts(*self._cuts.tolist())
        return course_ribbon(windows, course, ZoneShares(cuts, self.bundle.spread))

    def _run_zones(self, windows: FloatArray) -> WindowEstimates:
        outputs = ["zone_probabilities", "arousal", "valence"]
        parts = [
            self._zones.run(outputs, {"features": block, "cuts": self._cuts}) for block in _blocks(windows)
        ]
        return WindowEstimates(*(np.concatenate(values) for values in zip(*parts, strict=True)))

    def _zones_by(self, affect: FloatArray) -> WindowEstimates:
        """What the graph says, by what it said of arousal and valence."""
        shares = ZoneShares(Cuts(*self._cuts.tolist()), self.bundle.spread).of(affect[:, 0], affect[:, 1])
        return WindowEstimates(shares.astype(np.float32), affect[:, 0], affect[:, 1])

    def _run_head(self, rows: FloatArray) -> FloatArray:
        return np.concatenate(
            [self._head.run(["zone_probabilities"], {"inputs": block})[0] for block in _blocks(rows)]
        )

    @cached_property
    def _zones(self) -> Any:
        return load_graph(self.bundle.zone_model)

    @cached_property
    def _head(self) -> Any:
        return load_graph(self.bundle.head_model) if self.bundle.head_model else None

    @cached_property
    def _frames(self) -> Any:
        return load_graph(self.bundle.ribbon_model) if self.bundle.ribbon_model else None


def _blocks(rows: FloatArray) -> list[FloatArray]:
    """At least one, if an empty one."""
    return [rows[first : first + _ROWS_AT_ONCE] for first in range(0, max(1, len(rows)), _ROWS_AT_ONCE)]
