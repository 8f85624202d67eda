"""Features in, estimates out."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.classify.bundle import Bundle
from moodzone_agent.classify.pool import WindowEstimates, head_inputs, pool
from moodzone_agent.classify.runtime import load_graph
from moodzone_agent.types import Cuts, Estimate

FloatArray = NDArray[np.float32]

_WINDOWS_AT_ONCE: Final = 64
"""The kernel machine holds its distances from all that it learned from; those of hours would fill 100 MB."""


class ZoneModel:
    """A bundle's graphs.

    `cuts`: where the zones lie in a bundle that accepts them; a head has learned where, and takes none.
    """

    def __init__(self, bundle: Bundle, cuts: Cuts | None = None) -> None:
        cuts = cuts or Cuts()
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
        _ = self._zones, self._head

    def rate(self, windows: FloatArray) -> WindowEstimates:
        """Estimates of feature vectors [W, F]. Errors: as for `load`."""
        parts = [
            self._zones.run(
                ["zone_probabilities", "arousal", "valence"],
                {"features": windows[first : first + _WINDOWS_AT_ONCE], "cuts": self._cuts},
            )
            for first in range(0, max(1, len(windows)), _WINDOWS_AT_ONCE)
        ]
        estimates = WindowEstimates(*(np.concatenate(values) for values in zip(*parts, strict=True)))
        if self._head is None or not len(windows):
            return estimates
        # To a head, a window is a track of one window.
        alone = (head_inputs(windows[at : at + 1], estimates.only(at)) for at in range(len(windows)))
        return replace(estimates, probabilities=self._run_head(np.stack(list(alone))))

    def estimate(self, features: FloatArray, windows: WindowEstimates) -> Estimate:
        """Of a track, from its windows' features [W, F] and what `rate` made of them: the head's, or else the mean."""
        pooled = pool(windows, sure_from=self.bundle.sure_from, model=self.model_id)
        if self._head is None:
            return pooled
        yellow, green, purple = self._run_head(head_inputs(features, windows)[None])[0].tolist()
        total = yellow + green + purple
        return replace(
            pooled,
            probabilities=(yellow / total, green / total, purple / total),
            sure=max(yellow, green, purple) >= self.bundle.sure_from,
        )

    def _run_head(self, rows: FloatArray) -> FloatArray:
        return np.asarray(self._head.run(["zone_probabilities"], {"inputs": rows})[0])

    @cached_property
    def _zones(self) -> Any:
        return load_graph(self.bundle.zone_model)

    @cached_property
    def _head(self) -> Any:
        return load_graph(self.bundle.head_model) if self.bundle.head_model else None
