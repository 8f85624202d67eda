"""Stored vectors change only together with FEATURES_VERSION.

After a change that is meant, raise the version and write new goldens with
``python -m tests.agent.features.test_goldens``.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from moodzone_agent.audio.rate import SAMPLE_RATE
from moodzone_agent.features.spec import FEATURE_NAMES, FEATURES_VERSION
from moodzone_agent.features.track import TrackAccumulator

GOLDENS = Path(__file__).with_name("goldens.json")


def vectors() -> dict[str, list[float]]:
    """Of signals that any NumPy makes alike: a chirp, and clicks in noise from a fixed formula."""
    seconds = np.arange(SAMPLE_RATE * 24) / SAMPLE_RATE
    chirp = 0.4 * np.sin(2 * np.pi * (40 + 120 * seconds) * seconds)
    noise = 0.05 * np.sin(12_345.678 * np.sin(98_765.4321 * seconds))
    clicks = np.where(seconds % 0.5 < 0.01, 0.8 * np.sin(2 * np.pi * 60 * seconds), 0.0)
    result = {}
    for name, signal in (("chirp", chirp), ("clicks", clicks + noise)):
        accumulator = TrackAccumulator()
        accumulator.push(signal.astype(np.float32))
        features = accumulator.result()
        assert features is not None
        result[name] = [float(f"{value:.6g}") for value in features.track]
    return result


def test_vectors_are_those_of_this_version() -> None:
    stored = json.loads(GOLDENS.read_text())
    assert stored["version"] == FEATURES_VERSION
    assert stored["names"] == list(FEATURE_NAMES)
    for name, values in vectors().items():
        np.testing.assert_allclose(values, stored["vectors"][name], rtol=2e-3, atol=2e-3, err_msg=name)


if __name__ == "__main__":
    content = {"version": FEATURES_VERSION, "names": FEATURE_NAMES, "vectors": vectors()}
    GOLDENS.write_text(json.dumps(content) + "\n")
