"""Ways to make a head from labels: each takes what there is to learn from and returns what was learned.

Stacking and the ensemble choose their weights by a cross-validation of their own, inside the tracks they are given;
whoever cross-validates them has nested cross-validation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.classify.bundle import Bundle
from moodzone_agent.errors import BundleError
from trainer.datasets.splits import label_folds
from trainer.finetuning.heads import (
    AFFECT_COLUMNS,
    Calibration,
    FloatArray,
    GaussianProcessHead,
    Head,
    LogisticHead,
    MeanHead,
    Ranks,
    Rows,
    StackedHead,
    TreesHead,
    log_odds,
)
from trainer.judgement.evaluate import log_loss
from trainer.pretraining.ensemble import NormalScores

_SCORES: Final = "scores.npz"
_BOOSTER: Final = "zones.ubj"
USER_WEIGHT: Final = 3.0
"""Of a user's label beside one of DEAM's."""
_INNER_FOLDS: Final = 3
_STEPS: Final = 5
"""An ensemble's weights are multiples of a fifth."""
_START: Final = 0.6
"""Of the first member, where the labels leave the choice open; the rest share the remainder."""
_OPEN: Final = 0.005
"""So much log loss must other weights save to be taken."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Tracks with their zones."""

    rows: Rows
    """[L, H], the columns of `pool.HEAD_INPUTS`."""
    ranks: Ranks
    """[L], 0 (YELLOW) to 2 (PURPLE)."""
    weights: FloatArray
    """[L], how much each label counts; 1 for one that is known to be the user's."""
    artists: tuple[str, ...]
    """[L], or something else that is never on both sides of a split."""

    def __len__(self) -> int:
        return len(self.ranks)

    def only(self, chosen: NDArray[np.intp]) -> Labelled:
        """Some of them, by their places."""
        artists = tuple(self.artists[place] for place in chosen)
        return Labelled(self.rows[chosen], self.ranks[chosen], self.weights[chosen], artists)


@dataclass(frozen=True, slots=True)
class Base:
    """What fine-tuning starts from: the parts of a pretrained bundle, and DEAM's own tracks where they are at hand."""

    scores: NormalScores
    booster: Any
    """Trees that tell DEAM's zones apart, an `xgboost.Booster`."""
    deam: Labelled | None = None


def save_base(folder: Path, scores: NormalScores, booster: Any) -> None:
    """Put what fine-tuning starts from into a bundle's folder."""
    with (folder / _SCORES).open("wb") as file:
        np.savez(file, knots=scores.knots, slopes=scores.slopes, start=scores.start)
    booster.save_model(folder / _BOOSTER)


def load_base(bundle: Bundle, deam: Labelled | None = None) -> Base:
    """What fine-tuning starts from, out of a checked bundle.

    Errors: `BundleError` if the bundle was made without it.
    """
    import xgboost

    if not {_SCORES, _BOOSTER} <= bundle.manifest["files"].keys():
        raise BundleError(f"{bundle.folder} has no parts to fine-tune from; use the bundle that ships")
    with np.load(bundle.folder / _SCORES, allow_pickle=False) as stored:
        scores = NormalScores(stored["knots"], stored["slopes"], stored["start"])
    return Base(scores, xgboost.Booster(model_file=bundle.folder / _BOOSTER), deam)


@dataclass(frozen=True, slots=True)
class Strategy:
    """One way, by name."""

    what: str
    fit: Callable[[Labelled, Base, float, int], Head]
    """From labels, the base, the user's weight beside DEAM, and a seed."""
    needs_deam: bool = False


def held_out(fit: Callable[[Labelled], Head], labels: Labelled, *, folds: int, seed: int) -> FloatArray:
    """What heads say of tracks whose artists they haven't seen: [L, 3]."""
    result = np.empty((len(labels), 3))
    for train, judge in label_folds(labels.ranks, labels.artists, folds=folds, seed=seed):
        result[judge] = fit(labels.only(train)).predict(labels.rows[judge])
    return result


def _user(labels: Labelled, base: Base, user_weight: float, seed: int) -> Head:
    del base, user_weight
    return TreesHead.fit(labels.rows, labels.ranks, labels.weights, seed=seed)


def _joint(labels: Labelled, base: Base, user_weight: float, seed: int) -> Head:
    deam = _deam(base)
    return _trees_of_both(labels, deam, labels.weights * user_weight, deam.weights, seed)


def _balanced(labels: Labelled, base: Base, user_weight: float, seed: int) -> Head:
    """Each zone of each source weighs the same."""
    del user_weight
    deam = _deam(base)
    return _trees_of_both(labels, deam, _evened(labels), _evened(deam), seed)


def _continued(labels: Labelled, base: Base, user_weight: float, seed: int) -> Head:
    del user_weight
    return TreesHead.fit(labels.rows, labels.ranks, labels.weights, seed=seed, base=base.booster)


def _transfer(labels: Labelled, base: Base, user_weight: float, seed: int) -> Head:
    del user_weight, seed
    return GaussianProcessHead.fit(labels.rows, labels.ranks, labels.weights, base.scores)


def _logistic(labels: Labelled, base: Base, user_weight: float, seed: int) -> Head:
    del base, user_weight, seed
    return LogisticHead.fit(labels.rows, labels.ranks, labels.weights, tuple(AFFECT_COLUMNS))


def _stacking(labels: Labelled, base: Base, user_weight: float, seed: int) -> Head:
    fits = _members(base, user_weight, seed)
    said = [held_out(fit, labels, folds=_INNER_FOLDS, seed=seed) for fit in fits]
    rows = log_odds(said)
    judge = LogisticHead.fit(rows, labels.ranks, labels.weights, tuple(range(rows.shape[1])))
    return StackedHead(tuple(fit(labels) for fit in fits), judge)


def _ensemble(labels: Labelled, base: Base, user_weight: float, seed: int) -> Head:
    fits = _members(base, user_weight, seed)
    said = [held_out(fit, labels, folds=_INNER_FOLDS, seed=seed) for fit in fits]
    weights = _best_weights(said, labels)
    chosen = [(fit(labels), weight) for fit, weight in zip(fits, weights, strict=True) if weight]
    members, shares = zip(*chosen, strict=True)
    return MeanHead(members, shares, Calibration())


def _members(base: Base, user_weight: float, seed: int) -> list[Callable[[Labelled], Head]]:
    """What is stacked and averaged: the transfer first, then trees in both the ways that are possible."""
    trees = _joint if base.deam is not None else _continued
    return [partial(way, base=base, user_weight=user_weight, seed=seed) for way in (_transfer, trees, _user)]


def _best_weights(said: list[FloatArray], labels: Labelled) -> tuple[float, ...]:
    """Those with the least log loss on held-out tracks, unless the usual ones are about as good."""
    steps = range(_STEPS + 1)
    shares = [
        tuple(step / _STEPS for step in choice)
        for choice in product(steps, repeat=len(said))
        if sum(choice) == _STEPS
    ]
    usual = (_START, *[(1 - _START) / (len(said) - 1)] * (len(said) - 1))
    best = min(shares, key=lambda weights: _loss(said, weights, labels))
    saves = _loss(said, usual, labels) - _loss(said, best, labels)
    return best if saves > _OPEN else usual


def _loss(said: list[FloatArray], weights: tuple[float, ...], labels: Labelled) -> float:
    mean = sum(weight * member for weight, member in zip(weights, said, strict=True))
    return log_loss(labels.ranks, np.asarray(mean), labels.weights)


def _deam(base: Base) -> Labelled:
    assert base.deam is not None
    return base.deam


def _trees_of_both(
    labels: Labelled, deam: Labelled, weights: FloatArray, deam_weights: FloatArray, seed: int
) -> Head:
    rows = np.concatenate((labels.rows, deam.rows))
    ranks = np.concatenate((labels.ranks, deam.ranks))
    return TreesHead.fit(rows, ranks, np.concatenate((weights, deam_weights)), seed=seed)


def _evened(labels: Labelled) -> FloatArray:
    """Weights under which each zone counts the same, as many in all as there are tracks."""
    totals = np.bincount(labels.ranks, labels.weights, minlength=3)
    present = np.count_nonzero(totals)
    return np.asarray(labels.weights * len(labels) / (present * totals[labels.ranks]))


STRATEGIES: Final[Mapping[str, Strategy]] = {
    "user": Strategy("boosted trees on the user's labels alone", _user),
    "joint": Strategy(
        "boosted trees on DEAM and the user's labels, which weigh more", _joint, needs_deam=True
    ),
    "balanced": Strategy("the same, each zone of each source weighing the same", _balanced, needs_deam=True),
    "continued": Strategy("the pretrained trees, boosted further on the user's labels", _continued),
    "transfer": Strategy("a Gaussian process on the pretrained estimates and features", _transfer),
    "stacking": Strategy("logistic regression on transfer, joint or continued, and user", _stacking),
    "ensemble": Strategy("the weighted mean of these", _ensemble),
    "logistic": Strategy("baseline: logistic regression on the pretrained estimates", _logistic),
}
"""By the name that the command line takes."""
