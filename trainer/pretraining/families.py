"""What each family of features is worth: the score without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.features.spec import FAMILIES, FEATURE_NAMES
from trainer.datasets.deam import load_deam
from trainer.datasets.splits import artist_folds, in_lockbox
from trainer.judgement.evaluate import regression
from trainer.pretraining.ensemble import fit_kernel_machines
from trainer.pretraining.pretrain import TrainingData, deam_windows


@dataclass(frozen=True, slots=True)
class FamilyScore:
    """R² in cross-validation on DEAM, with or without some features."""

    left_out: str
    """A family; empty for none."""
    features: int
    """How many were left out, or how many there are."""
    arousal: float
    valence: float


def score_families(
    deam: Path,
    *,
    jobs: int,
    repeats: int,
    say: Callable[[str], None],
    progress: Callable[[int, int], None],
) -> Iterator[FamilyScore]:
    """First with all features, then without one family after the other.

    By the kernel machines alone, five folds by artist, the mean over `repeats` divisions; the lockbox's artists take no
    part. The named features stay.
    """
    _, data = deam_windows(load_deam(deam), jobs=jobs, say=say, progress=progress)
    data = data.only(np.flatnonzero([not in_lockbox(artist) for artist in data.artists]))
    yield FamilyScore("", len(FEATURE_NAMES), *_r2(data, (), repeats))
    for family, names in FAMILIES.items():
        if family != "named":
            yield FamilyScore(family, len(names), *_r2(data, names, repeats))


def _r2(data: TrainingData, left_out: Sequence[str], repeats: int) -> NDArray[np.float64]:
    """Of arousal and valence, [2], where some features are the same everywhere and so say nothing."""
    windows = data.windows.copy()
    windows[:, [FEATURE_NAMES.index(name) for name in left_out]] = 0
    blind = TrainingData(data.songs, windows, data.song_of)
    scores = []
    for seed in range(repeats):
        held_out = np.empty_like(data.truth)
        for train, judge in artist_folds(data.artists, seed=seed):
            held_out[judge] = _predict(blind.only(train), blind.only(judge))
        scores.append([regression(*pair).r2 for pair in zip(data.truth.T, held_out.T, strict=True)])
    return np.asarray(np.mean(scores, axis=0))


def _predict(train: TrainingData, judge: TrainingData) -> NDArray[np.float64]:
    scores, machines = fit_kernel_machines(train.windows, train.truth[train.song_of], train.weights)
    rows = scores.transform(judge.windows)
    return judge.mean_by_song(np.stack([machine.predict(rows) for machine in machines], axis=1))
