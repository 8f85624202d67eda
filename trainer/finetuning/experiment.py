"""All ways to fine-tune, compared on one user's labels, beside baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from moodzone_agent.classify.bundle import PRETRAINED, Bundle, load_bundle
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.errors import DataSetError, UsageError
from moodzone_agent.types import ZONES, LabelOrigin
from trainer.datasets.deam import load_deam
from trainer.datasets.splits import FOLDS, label_folds
from trainer.datasets.store import Progress, open_cache
from trainer.datasets.unified import Wanted, label_tracks, read_all
from trainer.finetuning.deam_rows import cached_windows, deam_labelled
from trainer.finetuning.finetune import check_artists, check_enough
from trainer.finetuning.heads import FloatArray, Head, Ranks, Rows
from trainer.finetuning.known_tags import TagsHead, with_tags
from trainer.finetuning.strategies import STRATEGIES, Base, Labelled, Strategy, held_out, load_base
from trainer.finetuning.user_rows import UserData, draw_salt, split, user_data
from trainer.judgement.evaluate import Classification, Reliability, classification, reliability

MAJORITY: Final = "majority"
UNTUNED: Final = "pretrained"
STANDARDISED: Final = "standardised"
TAGS: Final = "tags"


@dataclass(frozen=True, slots=True)
class StandardisedHead:
    """A head on what sets a track apart within its library: each column less its mean there, by its spread there."""

    centre: FloatArray
    """[H]."""
    scale: FloatArray
    """[H], standard deviations."""
    head: Head

    def predict(self, rows: Rows) -> FloatArray:
        """Probabilities of the zones, [N, 3], of rows [N, H]."""
        return self.head.predict(_standardised(rows, self.centre, self.scale))


def fit_standardised(labels: Labelled, base: Base, user_weight: float, seed: int) -> Head:
    """As `joint`, the user's rows standardised within the labels to train on, DEAM's within DEAM.

    With one source only, nothing changes for trees, and the other heads standardise by themselves.
    """
    assert base.deam is not None
    (centre, scale), of_deam = _moments(labels.rows), _moments(base.deam.rows)
    deam = replace(base.deam, rows=_standardised(base.deam.rows, *of_deam))
    own = replace(labels, rows=_standardised(labels.rows, centre, scale))
    head = STRATEGIES["joint"].fit(own, replace(base, deam=deam), user_weight, seed)
    return StandardisedHead(centre, scale, head)


def _moments(rows: Rows) -> tuple[FloatArray, FloatArray]:
    spread = rows.std(axis=0, dtype=np.float64)
    # A column that is the same everywhere says nothing, and stays as it is.
    return rows.mean(axis=0, dtype=np.float64), np.where(spread > 0, spread, 1.0)


def _standardised(rows: Rows, centre: FloatArray, scale: FloatArray) -> Rows:
    return ((rows - centre) / scale).astype(np.float32)


EXPERIMENTS: Final[Mapping[str, Strategy]] = {
    **STRATEGIES,
    STANDARDISED: Strategy(
        "joint, each source standardised within itself", fit_standardised, needs_deam=True
    ),
}
"""What is compared: the strategies, and what is not one yet."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One way, judged on tracks by artists that it hadn't seen."""

    strategy: str
    zone: Classification
    reliability: Reliability
    difference: float
    """Of accuracy to the first in the table, on the same tracks."""
    standard_error: float
    """Of the difference; tracks by one artist stand or fall together."""

    @property
    def as_good(self) -> bool:
        """Within one standard error of the first."""
        return -self.difference <= self.standard_error


@dataclass(frozen=True, slots=True)
class Experiment:
    """The comparison."""

    labels: int
    """That the ways were trained and judged on; weak ones only trained."""
    judged: int
    held_out: int
    """Labels that took no part."""
    rows: tuple[Compared, ...]
    """The most accurate first."""
    left_out: tuple[str, ...]
    """Strategies that need DEAM's tracks."""

    def figures(self) -> dict[str, Any]:
        """Everything, for JSON."""
        figures = asdict(self)
        for row, compared in zip(figures["rows"], self.rows, strict=True):
            row["within_one_standard_error"] = compared.as_good
        return figures

    def verdict(self) -> str:
        """What the differences allow to say."""
        first, *others = self.rows
        alike = [row.strategy for row in others if row.as_good]
        if not alike:
            return f"{first.strategy} is ahead of each other by more than one standard error."
        return (
            f"Within one standard error of {first.strategy}, so that these labels don't tell which is better: "
            f"{', '.join(alike)}."
        )


def experiment(
    wanted: Wanted,
    base: Path | None,
    *,
    user_weight: float,
    seed: int,
    salt: str | None,
    cache: Path | None,
    jobs: int,
    say: Callable[[str], None],
    extracting: Progress,
    training: Progress,
) -> Experiment:
    """Compare all strategies by nested cross-validation on a user's labels; `base` is a pretrained bundle's folder.

    What is held out for the last judgement takes no part: by the `salt` of the model in use, or else as it would be
    drawn (`trainer.finetuning.user_rows`). Errors: `UsageError`, `DataSetError`,
    `LibraryError`, `BundleError`.
    """
    bundle = pretrained_bundle(base)
    model = ZoneModel(bundle)
    label_files = read_all(wanted)
    with open_cache(cache) as library:
        user = label_tracks(library, label_files, wanted, jobs=jobs, progress=extracting)
        user.report.check(skip_missing=wanted.skip_missing)
        for line in user.report.lines():
            say(line)
        every = user_data(user, library, model)
        data, kept = split(every, salt or draw_salt(every))
        check_enough(data.labelled.ranks)
        check_artists(data.labelled.artists)
        deam = None
        if wanted.deam is not None:
            songs = cached_windows(load_deam(wanted.deam), library, jobs=jobs, say=say, progress=extracting)
            say(f"rating {len(songs.songs):,} songs of DEAM by models that don't know their artists")
            deam = deam_labelled(songs, wanted.cuts, seed=seed)
    return compare(
        data,
        load_base(bundle, deam),
        with_tags(data.labelled, [track.path for track in data.tracks]),
        held_back=len(kept.tracks),
        user_weight=user_weight,
        seed=seed,
        progress=training,
    )


def pretrained_bundle(folder: Path | None) -> Bundle:
    """The bundle to start from, the one that ships if none is named. Errors: `BundleError`, `UsageError`."""
    bundle = load_bundle(folder or PRETRAINED)
    if bundle.head_model is not None:  # it has learned from the very labels that are to judge
        raise UsageError(
            f"{bundle.folder} was fine-tuned on labels: name a pretrained bundle with --base, or none"
        )
    return bundle


def compare(
    data: UserData,
    base: Base,
    tagged: Labelled | None = None,
    *,
    held_back: int = 0,
    user_weight: float,
    seed: int,
    progress: Progress,
    ways: Mapping[str, Strategy] = EXPERIMENTS,
) -> Experiment:
    """All `ways` that can be had, and the baselines, on the same folds; `tagged`: the tracks with what their tags know.

    Weak labels are trained on and judge nothing. Errors: `DataSetError` if all are weak.
    """
    labels = data.labelled
    strong = np.flatnonzero([track.origin is not LabelOrigin.WEAK for track in data.tracks])
    if not strong.size:
        raise DataSetError("all labels are weak, and weak ones judge nothing: give others with --data")
    possible = {
        name: strategy for name, strategy in ways.items() if not strategy.needs_deam or base.deam is not None
    }
    said = {MAJORITY: majority(labels, seed=seed), UNTUNED: data.rated}
    if tagged is not None:
        said[TAGS] = held_out(TagsHead.fit, tagged, folds=FOLDS, seed=seed)
    progress(0, len(possible))
    for done, (name, strategy) in enumerate(possible.items(), 1):
        said[name] = held_out(_bound(strategy, base, user_weight, seed), labels, folds=FOLDS, seed=seed)
        progress(done, len(possible))
    ranks, artists = labels.ranks[strong], [labels.artists[place] for place in strong]
    return Experiment(
        labels=len(labels),
        judged=len(strong),
        held_out=held_back,
        rows=ranked({name: values[strong] for name, values in said.items()}, ranks, artists),
        left_out=tuple(name for name in ways if name not in possible),
    )


def _bound(strategy: Strategy, base: Base, user_weight: float, seed: int) -> Callable[[Labelled], Head]:
    return lambda labels: strategy.fit(labels, base, user_weight, seed)


def majority(labels: Labelled, *, seed: int) -> FloatArray:
    """[L, 3]: the zones' shares of the labels in the other folds, the same folds as the strategies'."""
    said = np.empty((len(labels), len(ZONES)))
    for train, judge in label_folds(labels.ranks, labels.artists, folds=FOLDS, seed=seed):
        counts = np.bincount(labels.ranks[train], labels.weights[train], minlength=len(ZONES))
        said[judge] = counts / counts.sum()
    return said


def ranked(said: dict[str, FloatArray], ranks: Ranks, artists: Sequence[str]) -> tuple[Compared, ...]:
    """The most accurate first, of probabilities [N, 3] by name."""
    right = {name: (values.argmax(axis=1) == ranks).astype(np.float64) for name, values in said.items()}
    order = sorted(said, key=lambda name: -right[name].mean())
    rows = []
    for name in order:
        difference, error = paired(right[name] - right[order[0]], artists)
        zone = classification(ranks, said[name].argmax(axis=1))
        rows.append(Compared(name, zone, reliability(ranks, said[name]), difference, error))
    return tuple(rows)


def paired(differences: FloatArray, artists: Sequence[str]) -> tuple[float, float]:
    """The mean of differences [N], and its standard error, clustered by artist (Liang & Zeger 1986).

    Where each artist has one track, it is the usual one.
    """
    mean = float(differences.mean())
    _, artist_of = np.unique(np.asarray(artists), return_inverse=True)
    sums = np.bincount(artist_of, differences - mean)
    correction = len(sums) / max(1, len(sums) - 1)
    return mean, float(np.sqrt(correction * np.sum(sums**2)) / len(differences))
