"""Regenerates the filterbanks that the agent carries as data, with librosa, which the agent doesn't load.

Importing librosa's mel filter takes a second and 166 MB (it loads Numba); the agent reads 20 kB instead.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.audio.rate import SAMPLE_RATE
from moodzone_agent.features.spec import N_FFT

FILTERBANKS = Path(__file__).resolve().parents[2] / "moodzone_agent" / "features" / "filterbanks.npz"


def filterbanks() -> dict[str, NDArray[np.float32]]:
    """``mel`` [128, 1025] (Slaney's scale and norm), their centres ``mel_hz`` [128], ``chroma`` [12, 1025]."""
    import librosa

    return {
        "mel": librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=128).astype(np.float32),
        "mel_hz": librosa.mel_frequencies(n_mels=130, fmax=SAMPLE_RATE / 2)[1:-1].astype(np.float32),
        "chroma": librosa.filters.chroma(sr=SAMPLE_RATE, n_fft=N_FFT, tuning=0.0).astype(np.float32),
    }


def write_filterbanks(path: Path = FILTERBANKS) -> None:
    """Write them where the agent looks."""
    np.savez_compressed(path, **filterbanks())  # type: ignore[arg-type]
