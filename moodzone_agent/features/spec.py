"""Names and order of all features, and their version.

A feature vector describes a stretch of frames: a window of 10 s, which the pretrained model sees, or a whole
track. The 22 named features come first, always; then the frame columns' statistics, rhythm, tonality.

`FEATURES_VERSION` rises with every change of any value. Stored vectors and model bundles carry it; those of
another version are not used.
"""

from __future__ import annotations

from typing import Final

from moodzone_agent.audio.decode import SAMPLE_RATE

FEATURES_VERSION: Final = 1

N_FFT: Final = 2048
HOP_LENGTH: Final = 512
FRAME_SAMPLES: Final = SAMPLE_RATE // 2
FRAME_SECONDS: Final = 0.5
WINDOW_FRAMES: Final = 20
WINDOW_STEP: Final = 10

SUB_BAND_EDGES: Final = (20.0, 60.0, 120.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 11025.0)
"""Hertz; nine bands. The first two hold kick and bass."""
ONSET_BAND_EDGES: Final = (0.0, 200.0, 800.0, 3200.0, 11025.0)
"""Hertz; four bands of onset strength."""
MODULATION_EDGES: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Hertz; five bands of the modulation spectrum."""
PITCH_CLASSES: Final = ("c", "cs", "d", "ds", "e", "f", "fs", "g", "gs", "a", "as", "b")

N_MFCC: Final = 14
_MFCC: Final = tuple(f"mfcc_{i}" for i in range(1, N_MFCC + 1))

FRAME_COLUMNS: Final = (
    "rms",
    "level",
    "crest",
    "zero_crossing_rate",
    "spectral_centroid",
    "spectral_rolloff",
    "brightness",
    "spectral_flatness",
    "onset_strength",
    *(f"onset_strength_{i}" for i in range(1, len(ONSET_BAND_EDGES))),
    *_MFCC,
    *(f"sub_band_{i}" for i in range(1, len(SUB_BAND_EDGES))),
    *(f"spectral_contrast_{i}" for i in range(1, 8)),
    *(f"chroma_{name}" for name in PITCH_CLASSES),
)
"""Columns of a frame table; `frames.FrameAccumulator` defines each."""

NAMED_FEATURES: Final = (
    "tempo",
    "zero_crossing_rate",
    "low_energy",
    "rms_energy",
    "spectral_rolloff",
    "brightness",
    "spectral_centroid",
    *(f"mfcc_{i}_mean" for i in range(1, 6)),
    *(f"mfcc_{i}_std" for i in range(1, 6)),
    "energy_variance",
    "drop_strength",
    "drop_contrast_mean",
    "drop_count",
    "drop_intensity",
)

STATISTICS: Final = ("mean", "std", "p10", "p90", "delta")
"""Over the frames of the stretch; ``delta`` is the mean absolute change from frame to frame."""
STATISTICS_COLUMNS: Final = tuple(name for name in FRAME_COLUMNS if not name.startswith("chroma_"))
_ALREADY_NAMED: Final = frozenset(
    {
        "rms_mean",
        "zero_crossing_rate_mean",
        "spectral_centroid_mean",
        "spectral_rolloff_mean",
        "brightness_mean",
    }
    | set(NAMED_FEATURES)
)
STATISTICS_FEATURES: Final = tuple(
    name
    for name in (f"{column}_{statistic}" for statistic in STATISTICS for column in STATISTICS_COLUMNS)
    if name not in _ALREADY_NAMED
)

RHYTHM_FEATURES: Final = (
    "pulse_clarity",
    "onset_rate",
    *(
        f"modulation_{band}_{rate}"
        for band in range(len(ONSET_BAND_EDGES))
        for rate in range(1, len(MODULATION_EDGES))
    ),
)
TONAL_FEATURES: Final = ("key_clarity", "mode_majorness", "chroma_entropy", "chroma_change")

FEATURE_NAMES: Final = (*NAMED_FEATURES, *STATISTICS_FEATURES, *RHYTHM_FEATURES, *TONAL_FEATURES)
"""All features of a vector, in order."""
