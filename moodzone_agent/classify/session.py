"""Windows in, estimates out: the only place where a model runs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.classify.bundle import Bundle
from moodzone_agent.errors import BundleError
from moodzone_agent.types import Cuts

FloatArray = NDArray[np.float32]

_WINDOWS_AT_ONCE: Final = 64
"""The kernel machine holds its distances from all that it learned from; those of hours would fill 100 MB."""


@dataclass(frozen=True, slots=True)
class WindowEstimates:
    """What the model says of each window of a track."""

    probabilities: FloatArray
    """[W, 3] of YELLOW, GREEN, PURPLE."""
    arousal: FloatArray
    """[W], 1 to 9."""
    valence: FloatArray
    """[W], 1 to 9."""


class ZoneModel:
    """A bundle's graph, which ONNX Runtime runs on one thread, so as to leave the others to the workers."""

    def __init__(self, bundle: Bundle, cuts: Cuts | None = None) -> None:
        cuts = cuts or Cuts()
        self.bundle = bundle
        self.model_id = bundle.model_id
        """Of the bundle, with the cuts where they aren't the usual ones: other cuts make other estimates."""
        if cuts != Cuts():
            self.model_id += f"@{cuts.yellow_max:g}/{cuts.purple_min:g}/{cuts.purple_min_valence:g}"
        self._cuts = np.array([cuts.yellow_max, cuts.purple_min, cuts.purple_min_valence], np.float32)

    def load(self) -> None:
        """Load the graph, unless it is: it takes most of a second, and the first `rate` would have to wait.

        Errors: `BundleError` if ONNX Runtime cannot load it.
        """
        _ = self._session

    def rate(self, windows: FloatArray) -> WindowEstimates:
        """Estimates of feature vectors [W, F]. Errors: as for `load`."""
        parts = [
            self._session.run(
                ["zone_probabilities", "arousal", "valence"],
                {"features": windows[first : first + _WINDOWS_AT_ONCE], "cuts": self._cuts},
            )
            for first in range(0, max(1, len(windows)), _WINDOWS_AT_ONCE)
        ]
        return WindowEstimates(*(np.concatenate(values) for values in zip(*parts, strict=True)))

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        graph = self.bundle.zone_model
        try:
            return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common base but this
            raise BundleError(f"{graph} cannot be loaded ({error})") from error
