"""Names and order of all features, and their version.

A feature vector describes a stretch of frames: a window of 10 s, which the pretrained model sees, or a whole
track. The 22 named features come first, always; then the other families, each of which the search in `docs/features.md`
found to pay.

`FEATURES_VERSION` rises with every change of any value. Stored vectors and model bundles carry it; those of
another version are not used.
"""

from __future__ import annotations

from typing import Final

from moodzone_agent.audio.rate import SAMPLE_RATE

FEATURES_VERSION: Final = 3

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
HARMONIC_BANDS: Final = 8
"""Bands of equal mel width that tell sustained sound from struck."""
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
    *(f"sub_band_{i}" for i in range(1, len(SUB_BAND_EDGES))),
    *_MFCC,
    *(f"mfcc_change_{i}" for i in range(1, N_MFCC + 1)),
    "onset_strength",
    *(f"onset_strength_{i}" for i in range(1, len(ONSET_BAND_EDGES))),
    *(f"chroma_{name}" for name in PITCH_CLASSES),
    "tuning_cos",
    "tuning_sin",
    *(f"hpcp_{name}" for name in PITCH_CLASSES),
)
"""Columns of a frame table; `frames.FrameAccumulator` defines each."""

TRACK_COLUMNS: Final = FRAME_COLUMNS[: FRAME_COLUMNS.index("chroma_c")]
"""Those that are kept to the end of the track: the named features, the drops and the ribbon come from them."""

RIBBON_COLUMNS: Final = tuple(
    name for name in TRACK_COLUMNS if name not in {f"mfcc_{i}" for i in range(6, N_MFCC + 1)}
)
"""Those that the frame model sees. The finer MFCC raise no figure of the folds, chroma and tuning only valence's, which
the ribbon takes from the windows."""

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

CHORDS: Final[dict[str, tuple[int, ...]]] = {
    "major": (0, 4, 7),
    "minor": (0, 3, 7),
    "diminished": (0, 3, 6),
    "augmented": (0, 4, 8),
    "suspended": (0, 5, 7),
    "fifth": (0, 7),
    "major_seventh": (0, 4, 7, 11),
    "seventh": (0, 4, 7, 10),
    "minor_seventh": (0, 3, 7, 10),
}
"""Chords that a frame is likened to: semitones above the root."""

REPETITION_FRAMES: Final = (1, 2, 4, 8)
"""How far apart frames are whose harmony is compared."""

_ONSET_COLUMNS: Final = tuple(name for name in FRAME_COLUMNS if name.startswith("onset_strength"))
_SHAPE_COLUMNS: Final = FRAME_COLUMNS[3:8]


def _statistics(columns: tuple[str, ...], *statistics: str) -> tuple[tuple[str, str], ...]:
    return tuple((column, statistic) for statistic in statistics for column in columns)


STATISTICS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "level": _statistics(("level", "crest"), "mean") + _statistics(("rms", "level", "crest"), "p10", "delta"),
    "shape": _statistics(("spectral_flatness",), "mean") + _statistics(_SHAPE_COLUMNS, "p90", "delta"),
    "onset": _statistics(_ONSET_COLUMNS, "mean", "p90"),
    "mfcc_change": _statistics(tuple(f"mfcc_change_{i}" for i in range(1, N_MFCC + 1)), "mean"),
    "sub_band": _statistics(tuple(f"sub_band_{i}" for i in range(1, len(SUB_BAND_EDGES))), "p10", "p90"),
}
"""By family, which statistics of which frame columns there are. ``delta``: mean absolute change from frame to frame."""

FAMILIES: Final[dict[str, tuple[str, ...]]] = {
    "named": NAMED_FEATURES,
    **{
        family: tuple(f"{column}_{statistic}" for column, statistic in pairs)
        for family, pairs in STATISTICS.items()
    },
    "loudness": tuple(
        f"loudness_{figure}" for figure in ("spread", "range", "reach", "fall", "skew", "change")
    ),
    "pulse": (
        "pulse_clarity",
        "onset_rate",
        *(f"periodicity_{band}" for band in range(len(ONSET_BAND_EDGES))),
    ),
    "modulation": tuple(
        f"modulation_{band}_{rate}"
        for band in range(len(ONSET_BAND_EDGES))
        for rate in range(1, len(MODULATION_EDGES))
    ),
    "harmonic": tuple(f"harmonic_share_{band}" for band in range(1, HARMONIC_BANDS + 1)),
    "key": ("key_clarity", "mode_majorness", "chroma_entropy", "chroma_change"),
    "chord": tuple(f"chord_{name}" for name in CHORDS),
    "tuning": ("tuning_clarity",),
    "repetition": tuple(f"repetition_{frames}" for frames in REPETITION_FRAMES),
}
"""The features by family, in the order of the vector; `track.track_features` defines each."""

FEATURE_NAMES: Final = tuple(name for names in FAMILIES.values() for name in names)
"""All features of a vector, in order."""
