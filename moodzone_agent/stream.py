"""Audio rated while it arrives: the loop over the same accumulators and the same model that a scan uses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.audio.rate import SAMPLE_RATE
from moodzone_agent.classify.pool import WindowEstimates
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.errors import AudioError
from moodzone_agent.features.spec import FRAME_SAMPLES, FRAME_SECONDS, N_FFT, NAMED_FEATURES
from moodzone_agent.features.track import TrackAccumulator, TrackFeatures
from moodzone_agent.types import Estimate

_TEMPO: Final = NAMED_FEATURES.index("tempo")


@dataclass(frozen=True, slots=True)
class SoFar:
    """What is known of the audio that has come."""

    seconds: float
    estimate: Estimate
    tempo: float
    """Beats a minute."""
    final: bool
    """Whether the audio has ended, and this is what a scan of it would say."""


def rate_stream(blocks: Iterable[NDArray[np.float32]], model: ZoneModel) -> Iterator[SoFar]:
    """Rate blocks of the analysis signal as they come: after every 0.5 s, and once more at the end.

    Errors: `AudioError` if there is less than 0.5 s.
    """
    accumulator = TrackAccumulator()
    rating = _Rating(model)
    samples, frames = 0, 0
    for block in blocks:
        accumulator.push(block)
        samples += block.size
        # A frame is complete once its last spectrum is, which reaches half a window beyond it.
        if (samples - N_FFT // 2) // FRAME_SAMPLES > frames:
            frames = (samples - N_FFT // 2) // FRAME_SAMPLES
            so_far = accumulator.so_far()
            if so_far is not None:
                yield rating.of(so_far, seconds=frames * FRAME_SECONDS)
    features = accumulator.result()
    if features is None:
        raise AudioError(
            f"holds only {samples / SAMPLE_RATE:.2f} s of audio; {FRAME_SECONDS} s is the least that can be rated"
        )
    yield rating.of(features, seconds=samples / SAMPLE_RATE, final=True)


class _Rating:
    """Rates windows once, although each set of features holds all of them."""

    def __init__(self, model: ZoneModel) -> None:
        self._model = model
        self._complete = WindowEstimates(*(np.empty(shape, np.float32) for shape in ((0, 3), 0, 0)))

    def of(self, features: TrackFeatures, *, seconds: float, final: bool = False) -> SoFar:
        known = len(self._complete.arousal)
        fresh = self._model.rate(features.windows[known:])
        rated = WindowEstimates(
            np.concatenate((self._complete.probabilities, fresh.probabilities)),
            np.concatenate((self._complete.arousal, fresh.arousal)),
            np.concatenate((self._complete.valence, fresh.valence)),
        )
        keep = max(known, features.complete_windows)
        self._complete = WindowEstimates(
            rated.probabilities[:keep], rated.arousal[:keep], rated.valence[:keep]
        )
        estimate = self._model.estimate(features.windows, rated)
        return SoFar(seconds, estimate, float(features.track[_TEMPO]), final)
