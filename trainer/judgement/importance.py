"""What a bundle relies on: by permutation (Breiman, Machine Learning 45, 2001), and by the gain of its trees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.classify.bundle import Bundle
from moodzone_agent.classify.pool import HEAD_INPUTS
from moodzone_agent.classify.runtime import load_graph
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.features.spec import FAMILIES, FEATURE_NAMES
from trainer.judgement.evaluate import log_loss
from trainer.judgement.judging import bundle_cuts

FloatArray = NDArray[np.float64]
Rows = NDArray[np.float32]
Predict = Callable[[Rows], FloatArray]
"""From rows [N, *] to probabilities [N, 3]."""

POOLED: Final = "estimates"
"""What the inputs of a head behind the features are called as a family."""
FAMILY_OF: Final[Mapping[str, str]] = {
    **{name: family for family, names in FAMILIES.items() for name in names},
    **dict.fromkeys(HEAD_INPUTS[len(FEATURE_NAMES) :], POOLED),
}
_MOST_ROWS: Final = 300
"""So many tracks at most are permuted: more would take minutes and change little."""


@dataclass(frozen=True, slots=True)
class Importance:
    """Of a feature or a family."""

    name: str
    family: str
    is_family: bool
    rise: float
    """Of the log loss when its values are shuffled among the tracks; 0 if the model doesn't look at it."""
    spread: float
    """Standard deviation of that over the shuffles."""
    gain: float | None
    """Its share of the whole gain of the pretrained trees, 0 to 1; None where the bundle has none."""


def measure(
    bundle: Bundle, rows: Rows, ranks: NDArray[np.intp], booster: Any, *, seed: int = 0
) -> list[Importance]:
    """Of each family, then of each feature, on rows [L, H] (`pool.HEAD_INPUTS`); each sorted, the highest first.

    A bundle without a head sees the mean of a track's windows as one window. `booster`: `zones.ubj`, or None.
    """
    if len(ranks) > _MOST_ROWS:
        chosen = np.random.default_rng(seed).permutation(len(ranks))[:_MOST_ROWS]
        rows, ranks = rows[chosen], ranks[chosen]
    predict, width = predictor(bundle)
    names = HEAD_INPUTS[:width]
    families: dict[str, list[int]] = {}
    for column, name in enumerate(names):
        families.setdefault(FAMILY_OF[name], []).append(column)
    features = {name: [column] for column, name in enumerate(names)}
    gains = shares_of_gain(booster)
    result = []
    for groups, repeats, is_family in ((families, 10, True), (features, 3, False)):
        rises = permute(predict, rows[:, :width], ranks, groups, repeats=repeats, seed=seed)
        part = [
            Importance(
                name,
                name if is_family else FAMILY_OF[name],
                is_family,
                *rises[name],
                None if gains is None else sum(gains[column] for column in columns),
            )
            for name, columns in groups.items()
        ]
        result += sorted(part, key=lambda item: -item.rise)
    return result


def predictor(bundle: Bundle) -> tuple[Predict, int]:
    """What the bundle makes of rows [N, H], and how many of their columns it looks at."""
    if bundle.head_model is not None:
        head = load_graph(bundle.head_model)
        return (
            lambda rows: np.asarray(head.run(["zone_probabilities"], {"inputs": rows})[0], np.float64)
        ), len(HEAD_INPUTS)
    model = ZoneModel(bundle, bundle_cuts(bundle))
    return (lambda rows: model.rate(rows).probabilities.astype(np.float64)), len(FEATURE_NAMES)


def permute(
    predict: Predict,
    rows: Rows,
    ranks: NDArray[np.intp],
    groups: Mapping[str, list[int]],
    *,
    repeats: int,
    seed: int,
) -> dict[str, tuple[float, float]]:
    """Mean rise of the log loss, and its standard deviation, when a group's columns are shuffled together."""
    base = log_loss(ranks, predict(rows))
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(rows)) for _ in range(repeats)]  # the same for all, so that they compare
    result = {}
    for name, columns in groups.items():
        rises = []
        for order in orders:
            shuffled = rows.copy()
            shuffled[:, columns] = rows[order][:, columns]
            rises.append(log_loss(ranks, predict(shuffled)) - base)
        result[name] = float(np.mean(rises)), float(np.std(rises))
    return result


def shares_of_gain(booster: Any) -> list[float] | None:
    """Of each of `pool.HEAD_INPUTS`, of trees that see these; None without trees."""
    if booster is None:
        return None
    gains = booster.get_score(importance_type="total_gain")
    total = sum(gains.values()) or 1.0
    return [float(gains.get(f"f{column}", 0.0)) / total for column in range(len(HEAD_INPUTS))]
