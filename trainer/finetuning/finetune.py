"""Fine-tuning: from a user's labels and a pretrained bundle to a head that knows this user's zones, and its figures.

labels ── split ── development ── nested cross-validation ── head, calibration, threshold ── bundle
               └── holdout ── judged once, never chosen by ───────────────── contest with the champion
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from moodzone_agent.classify.bundle import HEAD_MODEL, Bundle
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.errors import DataSetError, UsageError
from moodzone_agent.learning import MIN_LABELS, MIN_OF_A_ZONE, MIN_TO_CLAIM
from moodzone_agent.types import ZONES, Zone
from trainer.export.bundles import check_replaceable, write_bundle
from trainer.export.head import check_head_parity, head_to_onnx
from trainer.finetuning.heads import Calibration, FloatArray, Head, MeanHead, Ranks
from trainer.finetuning.strategies import STRATEGIES, USER_WEIGHT, Base, Labelled, held_out
from trainer.finetuning.user_rows import UserData, split
from trainer.judgement.evaluate import classification, reliability, rounded, sure_from

FOLDS: Final = 5
_MIN_ARTISTS: Final = 3
SURE_ACCURACY: Final = 0.80
_ODDS_STEP: Final = 1.05
_KEPT: Final = ("schema", "features_version", "feature_names", "zones", "cuts", "spread", "packages")
"""What a manifest takes over from the champion's."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train: the same recipe, labels and base give the same head. A bundle's manifest holds it."""

    strategy: str = "ensemble"
    user_weight: float = USER_WEIGHT
    """Of a label beside one of DEAM's, where both are trained on."""
    seed: int = 0
    sure_accuracy: float = SURE_ACCURACY
    """The least share of right ones among those called sure."""
    min_recall: tuple[Zone, float] | None = None
    """A zone, and the least share of its tracks to be found, at the cost of the others."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """A head with what was found out about it."""

    head: MeanHead
    held_out: FloatArray
    """[L, 3], calibrated, by heads that knew no track of the same artist."""
    sure_from: float
    seed: int
    metrics: dict[str, Any]
    """``cv``: by nested cross-validation, every choice made inside the folds but temperature and operating point."""


def tune(labels: Labelled, base: Base, recipe: Recipe) -> Tuned:
    """Train a head and judge it by nested cross-validation, stratified by zone and grouped by artist.

    Errors: `DataSetError` for too few labels; `UsageError` for an unknown strategy or one that needs DEAM.
    """
    strategy = STRATEGIES.get(recipe.strategy)
    if strategy is None:
        raise UsageError(f"there is no strategy {recipe.strategy}; there are {', '.join(STRATEGIES)}")
    if strategy.needs_deam and base.deam is None:
        raise UsageError(f"strategy {recipe.strategy} trains on DEAM's tracks, too: give --deam")
    check_enough(labels.ranks)
    check_artists(labels.artists)
    raw = held_out(lambda some: _fit(some, base, recipe), labels, folds=FOLDS, seed=recipe.seed)
    calibration = Calibration.fit(raw, labels.ranks)
    if recipe.min_recall is not None:
        calibration = favour(calibration, raw, labels.ranks, *recipe.min_recall)
    calibrated = calibration.apply(raw)
    threshold, coverage = sure_from(labels.ranks, calibrated, accuracy=recipe.sure_accuracy)
    head = _fit(labels, base, recipe)
    if not isinstance(head, MeanHead):
        head = MeanHead((head,), (1.0,), calibration)
    return Tuned(
        head=replace(head, calibration=calibration),
        held_out=calibrated,
        sure_from=threshold,
        seed=recipe.seed,
        metrics={"cv": judge(labels.ranks, calibrated) | {"sure_coverage": round(coverage, 4)}},
    )


def _fit(labels: Labelled, base: Base, recipe: Recipe) -> Head:
    return STRATEGIES[recipe.strategy].fit(labels, base, recipe.user_weight, recipe.seed)


def finetune(
    data: UserData,
    champion: ZoneModel,
    base: Base,
    recipe: Recipe,
    out: Path,
    *,
    salt: str | None,
    times_used: int = 0,
    force: bool = False,
) -> tuple[dict[str, Any], Contest]:
    """Train a head on a user's tracks and write the champion's bundle with it to `out`; returns manifest and contest.

    `salt`: of the holdout (`user.draw_salt`); `times_used`: how many promotions it has decided already.
    Errors: as of `tune`; `UsageError` if `out` holds something else; `BundleError` if the exported head disagrees.
    """
    check_replaceable(out)
    development, holdout = split(data, salt)
    tuned = tune(development.labelled, base, recipe)
    metrics = dict(tuned.metrics)
    if len(holdout.tracks):
        metrics["holdout"] = judge(holdout.labelled.ranks, tuned.head.predict(holdout.labelled.rows))
    result = contest(champion, tuned, development, holdout, base)
    bundle = champion.bundle
    manifest: dict[str, Any] = {
        **{name: bundle.manifest[name] for name in _KEPT if name in bundle.manifest},
        "accepts_cuts": False,
        "sure_from": round(tuned.sure_from, 4),
        "base": bundle.manifest.get("base", bundle.model_id),
        "recipe": asdict(recipe),
        "trained_on": {
            "data": "DEAM, then the user's labels",
            "labels": len(development.tracks),
            "origins": dict(Counter(str(track.origin) for track in development.tracks)),
            "licence": "non-commercial, see LICENCE.txt",
            "user_audio_ids": [track.audio_id for track in development.tracks],
        },
        "holdout": None if salt is None else {"salt": salt, "used": times_used},
        "metrics": {"folds": FOLDS, "grouped_by": "artist", **metrics},
        "contest": {**rounded(result), "won": result.is_won, "forced": force and not result.is_won},
    }

    def fill(folder: Path) -> None:
        for name in bundle.manifest["files"]:
            if name != HEAD_MODEL:
                shutil.copyfile(bundle.folder / name, folder / name)
        onnx.save(head_to_onnx(tuned.head), folder / HEAD_MODEL)
        check_head_parity(folder / HEAD_MODEL, tuned.head, data.labelled.rows)

    return write_bundle(out, manifest, fill, kind="user", named_by=HEAD_MODEL), result


def recipe_of(bundle: Bundle) -> Recipe | None:
    """How a bundle's head was trained; None for a pretrained one."""
    stored = bundle.manifest.get("recipe")
    if stored is None:
        return None
    recall = stored["min_recall"]
    return Recipe(**{**stored, "min_recall": (Zone(recall[0]), recall[1]) if recall else None})


def judge(ranks: Ranks, probabilities: FloatArray) -> dict[str, Any]:
    """All figures of probabilities [N, 3] beside the truth [N], for a manifest."""
    return {
        "zone": rounded(classification(ranks, probabilities.argmax(axis=1))),
        "reliability": rounded(reliability(ranks, probabilities)),
    }


def check_enough(ranks: NDArray[np.intp]) -> None:
    """Errors: `DataSetError` if there are too few labels, or too few of a zone."""
    if len(ranks) < MIN_LABELS:
        raise DataSetError(
            f"{len(ranks)} labels are too few to learn from: label at least {MIN_LABELS} tracks of different artists"
        )
    counts = np.bincount(ranks, minlength=len(ZONES))
    for zone in ZONES:
        if counts[zone.rank] < MIN_OF_A_ZONE:
            raise DataSetError(
                f"only {counts[zone.rank]} of {len(ranks)} labels are {zone}: label {MIN_OF_A_ZONE} such tracks or more"
            )


def check_artists(artists: Sequence[str]) -> None:
    """Errors: `DataSetError` if there are too few artists for folds inside folds."""
    count = len(set(artists))
    if count < _MIN_ARTISTS:
        raise DataSetError(
            f"the labels to learn from are of {count} {'artist' if count == 1 else 'artists'}: label tracks of "
            f"{_MIN_ARTISTS} or more, since a model is judged on artists that it hasn't heard"
        )


def favour(
    calibration: Calibration, held_out: FloatArray, ranks: Ranks, zone: Zone, recall: float
) -> Calibration:
    """The calibration that favours a zone just enough to find so many of its tracks in cross-validation."""
    odds = np.ones(len(ZONES))
    of_zone = ranks == zone.rank
    while np.mean(calibration.apply(held_out)[of_zone].argmax(axis=1) == zone.rank) < recall:
        odds[zone.rank] *= _ODDS_STEP
        yellow, green, purple = odds.tolist()
        calibration = replace(calibration, odds=(yellow, green, purple))
    return calibration


@dataclass(frozen=True, slots=True)
class Contest:
    """A challenger beside the champion, on tracks that neither was trained on."""

    champion: str
    tracks: int
    """In cross-validation."""
    gain: float
    """Of accuracy in cross-validation, track by track."""
    gain_error: float
    """Its standard error."""
    holdout_tracks: int
    holdout_gain: float
    holdout_error: float
    judging: int
    """Asked or confirmed labels among all these."""

    @property
    def is_won(self) -> bool:
        """Better by more than a standard error, on the holdout not worse by more than one, on labels that may judge."""
        holdout_fine = self.holdout_tracks == 0 or self.holdout_gain >= -self.holdout_error
        return self.judging >= MIN_TO_CLAIM and self.gain > self.gain_error and holdout_fine


def contest(
    champion: ZoneModel, tuned: Tuned, development: UserData, holdout: UserData, base: Base
) -> Contest:
    """Hold a challenger against the champion.

    In cross-validation, the champion's recipe is trained anew inside the challenger's own folds; the pretrained model,
    which knows no label, is taken as it is. Labels that may judge do, if there are `MIN_TO_CLAIM`; others are a biased
    sample, and can't win.
    """
    recipe = recipe_of(champion.bundle)
    if recipe is None:
        before = development.rated
    else:
        before = held_out(
            lambda some: _fit(some, base, recipe), development.labelled, folds=FOLDS, seed=tuned.seed
        )
    chosen = development.judging
    if np.count_nonzero(chosen) < MIN_TO_CLAIM:
        chosen = np.ones(len(chosen), np.bool_)
    gain, error = _paired_gain(before[chosen], tuned.held_out[chosen], development.labelled.ranks[chosen])
    ranks = holdout.labelled.ranks
    holdout_gain, holdout_error = (
        _paired_gain(holdout.rated, tuned.head.predict(holdout.labelled.rows), ranks)
        if len(ranks)
        else (0.0, 0.0)
    )
    return Contest(
        champion=champion.model_id,
        tracks=int(np.count_nonzero(chosen)),
        gain=gain,
        gain_error=error,
        holdout_tracks=len(ranks),
        holdout_gain=holdout_gain,
        holdout_error=holdout_error,
        judging=int(np.count_nonzero(development.judging) + np.count_nonzero(holdout.judging)),
    )


def _paired_gain(before: FloatArray, after: FloatArray, ranks: Ranks) -> tuple[float, float]:
    """Mean and standard error of what being right gains from one to the other, both [L, 3]."""
    right = [(answer.argmax(axis=1) == ranks).astype(np.float64) for answer in (before, after)]
    difference = right[1] - right[0]
    return float(difference.mean()), float(difference.std() / np.sqrt(len(ranks)))
