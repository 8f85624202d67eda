"""What the members of the pretrained model, and those that were not taken, reach alone and together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.features.spec import FEATURE_NAMES
from moodzone_agent.types import Cuts
from trainer.datasets.deam import load_deam
from trainer.datasets.splits import artist_folds, in_lockbox
from trainer.finetuning.heads import FloatArray
from trainer.judgement.evaluate import regression
from trainer.pretraining.ensemble import TREES, NormalScores, fit_kernel_machines, zone_probabilities
from trainer.pretraining.pretrain import TrainingData, deam_windows, song_ranks

Regressor = Callable[[TrainingData, TrainingData, int], FloatArray]
"""From songs to train on, songs to judge and a seed to arousal and valence of the judged, [S, 2]."""
_SEED: Final = 0


@dataclass(frozen=True, slots=True)
class MemberScore:
    """R² of an estimate in cross-validation, and how often its zone is right."""

    name: str
    arousal: float | None
    """None for what answers with a zone only."""
    valence: float | None
    accuracy: float


def score_members(
    deam: Path, *, jobs: int, repeats: int, say: Callable[[str], None], progress: Callable[[int, int], None]
) -> Iterator[MemberScore]:
    """Each candidate, then the means of two and of all, what ships, and direct classifiers.

    Five folds by artist, the mean over `repeats` divisions; the lockbox's artists take no part.
    """
    _, data = deam_windows(load_deam(deam), jobs=jobs, say=say, progress=progress)
    data = data.only(np.flatnonzero([not in_lockbox(artist) for artist in data.artists]))
    said = {name: _held_out(data, candidate, repeats) for name, candidate in CANDIDATES.items()}
    for count in (1, 2, len(said)):
        for names in combinations(said, count):
            mean = np.mean([said[name] for name in names], axis=0)
            yield _score(" + ".join(names), data, mean)
    yield _score("what ships", data, _held_out(data, _shipped, repeats))
    for name, classifier in CLASSIFIERS.items():
        yield MemberScore(f"direct: {name}", None, None, _classified(data, classifier, repeats))


def _held_out(data: TrainingData, fit: Regressor, repeats: int) -> NDArray[np.float64]:
    """[R, S, 2]."""
    result = np.empty((repeats, *data.truth.shape))
    for division in range(repeats):
        for train, judge in artist_folds(data.artists, seed=division):
            result[division, judge] = fit(data.only(train), data.only(judge), _SEED)
    return result


def _score(name: str, data: TrainingData, said: NDArray[np.float64]) -> MemberScore:
    ranks = song_ranks(data, Cuts())
    r2 = np.mean(
        [[regression(*pair).r2 for pair in zip(data.truth.T, one.T, strict=True)] for one in said], axis=0
    )
    right = [
        np.mean(zone_probabilities(one, (one - data.truth).std(axis=0), Cuts()).argmax(axis=1) == ranks)
        for one in said
    ]
    return MemberScore(name, float(r2[0]), float(r2[1]), float(np.mean(right)))


def _classified(data: TrainingData, make: Callable[[], Any], repeats: int) -> float:
    ranks, windows = song_ranks(data, Cuts()), _first_windows(data)
    right = []
    for division in range(repeats):
        for train, judge in artist_folds(data.artists, seed=division):
            scores = NormalScores.fit(windows[train])
            model = make().fit(scores.transform(windows[train]), ranks[train])
            right.extend(model.predict(scores.transform(windows[judge])) == ranks[judge])
    return float(np.mean(right))


def _first_windows(data: TrainingData) -> NDArray[np.float32]:
    return data.windows[np.unique(data.song_of, return_index=True)[1]]


def _shipped(train: TrainingData, judge: TrainingData, seed: int) -> FloatArray:
    return judge.mean_by_song(train.fit(seed=seed).predict(judge.windows))


def _on_scores(make: Callable[[], Any]) -> Regressor:
    """A regressor of scikit-learn's for each target, on normal scores."""

    def fit(train: TrainingData, judge: TrainingData, seed: int) -> FloatArray:
        del seed
        scores = NormalScores.fit(train.windows)
        rows, others = scores.transform(train.windows), scores.transform(judge.windows)
        estimates = [
            make().fit(rows, target, sample_weight=train.weights).predict(others)
            for target in train.truth[train.song_of].T
        ]
        return judge.mean_by_song(np.stack(estimates, axis=1))

    return fit


def _ridge() -> Any:
    from sklearn.linear_model import Ridge

    return Ridge(alpha=300.0)


def _svr() -> Any:
    from sklearn.svm import SVR

    return SVR(C=2.0, epsilon=0.3, gamma=0.3 / len(FEATURE_NAMES))


def _extra_trees() -> Any:
    from sklearn.ensemble import ExtraTreesRegressor

    return ExtraTreesRegressor(300, min_samples_leaf=3, max_features=0.4, random_state=_SEED)


def _boosted() -> Any:
    from xgboost import XGBRegressor

    return XGBRegressor(**TREES, random_state=_SEED)


def _weighted_svr(train: TrainingData, judge: TrainingData, seed: int) -> FloatArray:
    del seed
    scores, machines = fit_kernel_machines(train.windows, train.truth[train.song_of], train.weights)
    rows = scores.transform(judge.windows)
    return judge.mean_by_song(np.stack([machine.predict(rows) for machine in machines], axis=1))


def _boosted_classifier() -> Any:
    from xgboost import XGBClassifier

    return XGBClassifier(**{**TREES, "n_estimators": 200}, random_state=_SEED)


def _svc() -> Any:
    from sklearn.svm import SVC

    return SVC(C=2.0, gamma=0.3 / len(FEATURE_NAMES))


CANDIDATES: Final[dict[str, Regressor]] = {
    "ridge": _on_scores(_ridge),
    "SVR": _on_scores(_svr),
    "SVR, weighted families": _weighted_svr,
    "boosted trees": _on_scores(_boosted),
    "extra trees": _on_scores(_extra_trees),
}
CLASSIFIERS: Final[dict[str, Callable[[], Any]]] = {"SVC": _svc, "boosted trees": _boosted_classifier}
