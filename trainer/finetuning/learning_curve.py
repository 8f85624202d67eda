"""How much more labels would help: heads trained on ever more of them, judged on artists they don't know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from trainer.datasets.splits import label_folds
from trainer.finetuning.strategies import STRATEGIES, USER_WEIGHT, Base, Labelled

SHOWN: Final = ("transfer", "logistic")
"""Strategies that are cheap enough to be trained some hundred times."""
FEWEST: Final = 12
FOLDS: Final = 5
_DRAWS: Final = 3


@dataclass(frozen=True, slots=True)
class Point:
    """What so many labels come to."""

    strategy: str
    labels: int
    accuracy: float
    error: float
    """Standard error of the accuracy, over the folds and draws."""


def learning_curve(labels: Labelled, base: Base, *, seed: int = 0) -> list[Point]:
    """For each of `SHOWN`, with 12, 25, 50, ... labels and with all that four folds of five hold.

    Empty where there are too few labels or artists.
    """
    folds = (
        list(label_folds(labels.ranks, labels.artists, folds=FOLDS, seed=seed))
        if not why_no_folds(labels)
        else []
    )
    most = min((len(train) for train, _ in folds), default=0)
    rng = np.random.default_rng(seed)
    points = []
    for count in sizes(most):
        reached: dict[str, list[float]] = {name: [] for name in SHOWN}
        for train, judge in folds:
            for _ in range(_DRAWS if count < most else 1):
                some = labels.only(np.sort(rng.permutation(train)[:count]))
                for name in SHOWN:
                    head = STRATEGIES[name].fit(some, base, USER_WEIGHT, seed)
                    answer = head.predict(labels.rows[judge]).argmax(axis=1)
                    reached[name].append(float(np.mean(answer == labels.ranks[judge])))
        points += [
            Point(name, count, float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(folds))))
            for name, values in reached.items()
        ]
    return points


def sizes(most: int) -> Iterator[int]:
    """12, 25, 50, then twice as many each time, and the most there are."""
    count = FEWEST
    while count < most:
        yield count
        count = 25 if count == FEWEST else count * 2
    if most >= FEWEST:
        yield most


def why_no_folds(labels: Labelled) -> str:
    """Why these can't be divided into folds by artist; empty if they can."""
    if len(set(labels.artists)) < 2:
        return "All tracks are by one artist; nothing can be judged on another."
    if np.bincount(labels.ranks).max() < FOLDS:
        return f"No zone has {FOLDS} tracks, one for each fold."
    return ""
