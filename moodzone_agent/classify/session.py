"""Windows in, estimates out: the only place where a model runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.classify.bundle import Bundle
from moodzone_agent.errors import BundleError
from moodzone_agent.types import Cuts

FloatArray = NDArray[np.float32]


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
    """A bundle's graph, loaded into ONNX Runtime on one thread."""

    def __init__(self, bundle: Bundle, cuts: Cuts | None = None) -> None:
        import onnxruntime

        cuts = cuts or Cuts()
        self.bundle = bundle
        self.model_id = bundle.model_id
        """Of the bundle, with the cuts where they aren't the usual ones: other cuts make other estimates."""
        if cuts != Cuts():
            self.model_id += f"@{cuts.yellow_max:g}/{cuts.purple_min:g}/{cuts.purple_min_valence:g}"
        self._cuts = np.array([cuts.yellow_max, cuts.purple_min, cuts.purple_min_valence], np.float32)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(bundle.zone_model), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors have no common base but this
            raise BundleError(f"{bundle.zone_model} cannot be loaded ({error})") from error

    def rate(self, windows: FloatArray) -> WindowEstimates:
        """Estimates of feature vectors [W, F]."""
        probabilities, arousal, valence = self._session.run(
            ["zone_probabilities", "arousal", "valence"], {"features": windows, "cuts": self._cuts}
        )
        return WindowEstimates(probabilities, arousal, valence)
