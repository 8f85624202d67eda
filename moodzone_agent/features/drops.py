"""Drops: a return of low-band energy after a break."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.features.spec import FRAME_COLUMNS, FRAME_SECONDS

FloatArray = NDArray[np.float32]

_LOW_BANDS: Final = [FRAME_COLUMNS.index(name) for name in ("sub_band_1", "sub_band_2")]
_LEVEL: Final = FRAME_COLUMNS.index("level")
_RMS: Final = FRAME_COLUMNS.index("rms")

_GROOVE_QUANTILE: Final = 0.75
"""The low band's level in the groove; more than a quarter of a dance track has its kick."""
_BREAK_DB: Final = 9.0
"""A break lies this far below the groove."""
_RETURN_DB: Final = 5.0
"""The groove is back at most this far below its level."""
_MIN_BREAK: Final = 8
"""Frames a break lasts at least."""
_MIN_RETURN: Final = 8
"""Frames after a drop of which three quarters must be groove; a kick that comes back for a bar is a fake."""
_MIN_GROOVE: Final = 8
"""Frames of groove before a break, since the last drop: a track that begins without bass has no break there, and where
kick and bass are sparse, the gaps between them after a drop are none."""
_AFTER: Final = 16
"""Frames that a drop's intensity is measured over."""


@dataclass(frozen=True, slots=True)
class Drop:
    """One drop."""

    seconds: float
    """From the start of the stretch."""
    strength: float
    """Rise of the low band (20-120 Hz), dB."""
    contrast: float
    """Rise of the whole level, dB, from the 2 s before to the 4 s after."""
    intensity: float
    """RMS of the 8 s after as a share of the stretch's loudest frame, 0 to 1."""


def find_drops(columns: FloatArray) -> list[Drop]:
    """The drops in frame columns [T, C], in order of time."""
    if columns.shape[0] < _MIN_GROOVE + _MIN_BREAK + _MIN_RETURN:
        return []
    low = 10 * np.log10(np.sum(10 ** (columns[:, _LOW_BANDS].astype(np.float64) / 10), axis=1))
    groove_level = float(np.quantile(low, _GROOVE_QUANTILE))
    broken = low < groove_level - _BREAK_DB
    groove = low > groove_level - _RETURN_DB
    drops = []
    last = 0
    for start in np.flatnonzero(groove[1:] & ~groove[:-1]) + 1:
        length = _break_length(broken, groove, int(start))
        after = groove[start : start + _MIN_RETURN]
        if (
            length >= _MIN_BREAK
            and np.count_nonzero(groove[last : start - length]) >= _MIN_GROOVE
            and after.size == _MIN_RETURN
            and np.count_nonzero(after) >= 0.75 * _MIN_RETURN
        ):
            drops.append(_describe(columns, low, int(start), length))
            last = int(start)
    return drops


def _break_length(broken: NDArray[np.bool_], groove: NDArray[np.bool_], start: int) -> int:
    """Frames of the break that ends at `start`; two frames in between (a fill, a fake) don't end it."""
    last_broken, position = start, start - 1
    while position >= 0 and not (groove[position] and groove[max(0, position - 4) : position + 1].all()):
        if broken[position]:
            last_broken = position
        position -= 1
    inside = broken[last_broken:start]
    return start - last_broken if inside.size and np.count_nonzero(inside) >= 0.6 * inside.size else 0


def _describe(columns: FloatArray, low: NDArray[np.float64], start: int, length: int) -> Drop:
    level, rms = columns[:, _LEVEL], columns[:, _RMS]
    before, after = slice(max(0, start - 4), start), slice(start, start + 8)
    return Drop(
        seconds=start * FRAME_SECONDS,
        strength=float(low[after].mean() - low[start - length : start].mean()),
        contrast=float(level[after].mean() - level[before].mean()),
        intensity=float(rms[start : start + _AFTER].mean() / max(float(rms.max()), 1e-9)),
    )
