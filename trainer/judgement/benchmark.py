"""The figures that can be compared with others': DEAM in folds, a published split, and a stand-in for a DJ's labels.

Nothing here trains what ships, and nothing is chosen by it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.errors import DataSetError
from moodzone_agent.types import ZONES, Cuts
from trainer.datasets.deam import load_deam
from trainer.datasets.splits import FOLDS, artist_folds, in_lockbox, label_folds
from trainer.datasets.store import Progress, open_cache
from trainer.finetuning.deam_rows import cached_windows, with_labels_of
from trainer.finetuning.heads import FloatArray, Ranks, TreesHead
from trainer.finetuning.strategies import STRATEGIES, USER_WEIGHT, Base, Labelled
from trainer.judgement.evaluate import Classification, classification, regression
from trainer.pretraining.ensemble import TARGETS, NormalScores, zone_probabilities
from trainer.pretraining.pretrain import TrainingData, song_ranks

STAND_IN_GENRE: Final = "Electronic"
STAND_IN_CUTS: Final = (4.0, 5.5)
"""Arousal at which a user who plays such music might part it."""
STAND_IN_LABELS: Final = (30, 100, None)
"""How many labels the stand-in gives; None for all that the folds leave."""
JUDGED: Final = "ensemble"
"""The strategy that stands beside the goals: what fine-tuning takes unless told otherwise, whichever comes out best."""
MAJORITY: Final = "majority"
UNTUNED: Final = "pretrained"
_SURE_SHARE: Final = 0.6
PUBLISHED: Final = {"arousal": (0.603, 0.623), "valence": (0.513, 0.518)}
"""R² of Music2Emo on its split, labels as released: a transformer plus chords on 45-s audio."""
_SPLIT_TRAIN: Final = ("train.txt", "validation.txt")
_SPLIT_TEST: Final = "test.txt"
_ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@dataclass(frozen=True, slots=True)
class FoldScore:
    """Pretraining in folds by artist, the lockbox's artists left out."""

    songs: int
    arousal_r2: float
    valence_r2: float
    natural: Classification
    """The likeliest zone."""
    balanced: Classification
    """The likeliest zone if all were equally common: probabilities divided by the zones' shares of these songs."""


@dataclass(frozen=True, slots=True)
class SplitScore:
    """R² on the songs that the split tests on."""

    as_released: bool
    trained_on: int
    songs: int
    arousal: float
    valence: float


@dataclass(frozen=True, slots=True)
class StandInScore:
    """One strategy at one number of labels, the mean over the repeats."""

    strategy: str
    labels: int | None
    """How many were given; None for all."""
    given: float
    """How many these were, the mean over the folds."""
    accuracy: float
    accuracy_of_surest: float | None
    """Of the 60 % most confident tracks; None where confidence says nothing."""
    by_repeat: tuple[float, ...]
    """Accuracy in each."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What was aimed at, and what came out."""

    what: str
    goal: float
    reached: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        """Without rounding."""
        return self.reached <= self.goal if self.at_most else self.reached >= self.goal


@dataclass(frozen=True, slots=True)
class Benchmark:
    """All figures."""

    folds: FoldScore
    splits: tuple[SplitScore, ...]
    """As released, then with the exchange undone; none without the split's files."""
    stand_in_tracks: int
    stand_in_pretraining: int
    """Songs by other artists that its model was pretrained on."""
    stand_in_repeats: int
    """Divisions into folds that its scores are the means over."""
    stand_in: tuple[StandInScore, ...]

    def score(self, strategy: str, labels: int | None) -> StandInScore:
        """The stand-in's, of one strategy at one number of labels."""
        return next(one for one in self.stand_in if (one.strategy, one.labels) == (strategy, labels))

    def goals(self) -> list[Goal]:
        """Each beside what came out."""
        balanced = self.folds.balanced
        goals = [
            Goal("folds, balanced point: balanced accuracy", 0.73, balanced.balanced_accuracy),
            Goal("folds, balanced point: PURPLE recall", 0.85, balanced.recall["PURPLE"]),
            Goal(
                "folds, natural point: YELLOW-PURPLE confusions",
                0.003,
                self.folds.natural.yellow_purple_confusions,
                at_most=True,
            ),
            Goal(
                "folds, balanced point: YELLOW-PURPLE confusions",
                0.003,
                balanced.yellow_purple_confusions,
                at_most=True,
            ),
        ]
        for split in self.splits:
            if split.as_released:
                goals.append(Goal("split as released: arousal R²", 0.62, split.arousal))
                goals.append(Goal("split as released: valence R²", 0.53, split.valence))
        for labels, accuracy, surest in zip(
            STAND_IN_LABELS, (0.71, 0.73, 0.75), (0.80, 0.83, 0.86), strict=True
        ):
            score = self.score(JUDGED, labels)
            given = f"{labels or 'all'} labels"
            goals.append(Goal(f"stand-in, {JUDGED}, {given}: accuracy", accuracy, score.accuracy))
            if score.accuracy_of_surest is not None:
                goals.append(
                    Goal(f"stand-in, {JUDGED}, {given}: surest 60 %", surest, score.accuracy_of_surest)
                )
        return goals

    def figures(self) -> dict[str, Any]:
        """Everything, unrounded, for JSON."""
        goals = [asdict(goal) | {"met": goal.met} for goal in self.goals()]
        return asdict(self) | {"published": PUBLISHED, "goals": goals}


def benchmark(
    deam: Path,
    split: Path | None,
    *,
    seed: int,
    repeats: int,
    cache: Path | None,
    jobs: int,
    say: Callable[[str], None],
    extracting: Progress,
    training: Progress,
) -> Benchmark:
    """All of it, on DEAM in its official layout; `split` is a folder with train.txt, validation.txt and test.txt.

    `say` is told what was left out; `extracting` and `training` how far either has come. Errors: `DataSetError`,
    `LibraryError`.
    """
    ids = read_split(split) if split is not None else None
    with open_cache(cache) as library:
        data = cached_windows(load_deam(deam), library, jobs=jobs, say=say, progress=extracting)
    others, users = stand_in_parts(data)
    development = data.only(np.flatnonzero([not in_lockbox(artist) for artist in data.artists]))

    fits = _Fits(seed)
    folds = fits.in_folds(development)
    splits = []
    if ids is not None:
        released = with_labels_of(data, load_deam(deam, undo_exchange=False))
        for labelled, as_released in ((released, True), (data, False)):
            train, test = split_parts(labelled, *ids)
            splits.append((as_released, train, test, fits.add(train, test.windows)))
    stand_in_folds = fits.in_folds(others)
    stand_in_fit = fits.add(others, users.windows)

    plan = [
        (repeat, fold, labels)
        for repeat in range(repeats)
        for fold in range(FOLDS)
        for labels in STAND_IN_LABELS
    ]
    done = 0
    total = len(fits.tasks) + len(plan)

    def step() -> None:
        nonlocal done
        done += 1
        training(done, total)

    training(0, total)
    with _workers(jobs) as run:
        fitted = run(fits.tasks, step)
        affect, scores = fitted[stand_in_fit]
        held_out = _gathered(others, stand_in_folds, fitted)
        stand_in = StandIn.of(others, users, held_out, affect, scores, seed=seed)
        said = run([partial(stand_in.ask, *which, seed=seed) for which in plan], step)
    return Benchmark(
        folds=fold_score(development, _gathered(development, folds, fitted)),
        splits=tuple(
            split_score(train, test, fitted[task][0], as_released=as_released)
            for as_released, train, test, task in splits
        ),
        stand_in_tracks=len(users.songs),
        stand_in_pretraining=len(others.songs),
        stand_in_repeats=repeats,
        stand_in=stand_in.scores_of(dict(zip(plan, said, strict=True))),
    )


Affect = tuple[FloatArray, NormalScores]
"""Estimates [N, 2] of windows, and the model's map to normal scores."""


def _fit_affect(train: TrainingData, windows: NDArray[np.float32], seed: int) -> Affect:
    model = train.fit(seed=seed)
    return model.predict(windows), model.scores


class _Fits:
    """Models to be trained, each for the windows that it is to rate."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.tasks: list[Callable[[], Affect]] = []

    def add(self, train: TrainingData, windows: NDArray[np.float32]) -> int:
        """The number of the task."""
        self.tasks.append(partial(_fit_affect, train, windows, self._seed))
        return len(self.tasks) - 1

    def in_folds(self, data: TrainingData) -> list[tuple[NDArray[np.bool_], int]]:
        """As `pretrain.cross_validate`: the windows [N] that each task rates, with its number."""
        folds = []
        for train, judge in artist_folds(data.artists, seed=self._seed):
            rows = np.isin(data.song_of, judge)
            folds.append((rows, self.add(data.only(train), data.windows[rows])))
        return folds


def _gathered(
    data: TrainingData, folds: list[tuple[NDArray[np.bool_], int]], fitted: Sequence[Affect]
) -> FloatArray:
    """Held-out estimates of all windows, [N, 2]."""
    rows = np.empty((len(data.windows), len(TARGETS)))
    for judged, task in folds:
        rows[judged] = fitted[task][0]
    return rows


def fold_score(data: TrainingData, rows: FloatArray) -> FoldScore:
    """Of held-out estimates [N, 2] of the windows; zones as `pretrain` judges them."""
    affect, ranks = data.mean_by_song(rows), song_ranks(data, Cuts())
    probabilities = zone_probabilities(affect, (affect - data.truth).std(axis=0), Cuts())
    shares = np.bincount(ranks, minlength=len(ZONES)) / len(ranks)
    # A zone that no song has is never answered.
    evened = np.divide(probabilities, shares, out=np.zeros_like(probabilities), where=shares > 0)
    arousal, valence = _r2(data.truth, affect)
    return FoldScore(
        len(ranks),
        arousal,
        valence,
        natural=classification(ranks, probabilities.argmax(axis=1)),
        balanced=classification(ranks, evened.argmax(axis=1)),
    )


def _r2(truth: FloatArray, affect: FloatArray) -> tuple[float, float]:
    """Of arousal and of valence."""
    arousal, valence = (regression(*pair).r2 for pair in zip(truth.T, affect.T, strict=True))
    return arousal, valence


def read_split(folder: Path) -> tuple[list[int], list[int]]:
    """Song ids to train on (train.txt and validation.txt) and to test on (test.txt), one a line.

    Errors: `DataSetError`.
    """
    train = [song for name in _SPLIT_TRAIN for song in _read_ids(folder / name)]
    test = _read_ids(folder / _SPLIT_TEST)
    if both := set(train) & set(test):
        raise DataSetError(f"{folder}: song {min(both)} is both trained on and tested on")
    return train, test


def _read_ids(path: Path) -> list[int]:
    try:
        return [int(word) for word in path.read_text(encoding="utf-8").split()]
    except OSError as error:
        raise DataSetError(
            f"{path} cannot be read ({error.strerror}): --split wants a folder with train.txt, validation.txt and "
            "test.txt"
        ) from error
    except ValueError as error:
        raise DataSetError(f"{path} should hold a song id in each line ({error})") from error


def split_parts(
    data: TrainingData, train_ids: Sequence[int], test_ids: Sequence[int]
) -> tuple[TrainingData, TrainingData]:
    """To train on, and to test on. Artists may be in both, as in the published split. Errors: `DataSetError`."""
    ids = [song.song_id for song in data.songs]
    train, test = (np.flatnonzero(np.isin(ids, chosen)) for chosen in (train_ids, test_ids))
    if not train.size or not test.size:
        raise DataSetError("--split names no song of DEAM to train on, or none to test on")
    return data.only(train), data.only(test)


def split_score(
    train: TrainingData, test: TrainingData, rows: FloatArray, *, as_released: bool
) -> SplitScore:
    """Of estimates [N, 2] of the windows that are tested on."""
    arousal, valence = _r2(test.truth, test.mean_by_song(rows))
    return SplitScore(as_released, len(train.songs), len(test.songs), arousal, valence)


def stand_in_parts(data: TrainingData) -> tuple[TrainingData, TrainingData]:
    """Songs to pretrain on, and the user's: those of one genre. No artist is in both. Errors: `DataSetError`."""
    own = np.array([STAND_IN_GENRE in song.genre for song in data.songs])
    artists = np.array(data.artists)
    others = np.flatnonzero(~np.isin(artists, artists[own]))
    if len(set(artists[own])) < FOLDS or len(set(artists[others])) < FOLDS:
        raise DataSetError(
            f"the stand-in needs {FOLDS} artists whose genre holds {STAND_IN_GENRE!r}, and {FOLDS} others: "
            "is DEAM's metadata folder whole?"
        )
    return data.only(others), data.only(np.flatnonzero(own))


@dataclass(frozen=True, slots=True)
class StandIn:
    """The songs of one genre as a user's tracks, and what was pretrained on other artists."""

    labels: Labelled
    base: Base
    pretrained: FloatArray
    """[L, 3], the zones of the pretrained model with the usual cuts."""

    @classmethod
    def of(
        cls,
        others: TrainingData,
        users: TrainingData,
        others_rows: FloatArray,
        users_rows: FloatArray,
        scores: NormalScores,
        *,
        seed: int,
    ) -> StandIn:
        """From either part's estimates [N, 2] of its windows: held-out ones of `others`, whose model has `scores`."""
        held_out = others.mean_by_song(others_rows)
        ones = np.ones(len(others.songs))
        deam = Labelled(
            others.head_rows(others_rows), song_ranks(others, Cuts()), ones, tuple(others.artists)
        )
        booster = TreesHead.fit(deam.rows, deam.ranks, deam.weights, seed=seed).booster
        return cls(
            Labelled(
                users.head_rows(users_rows),
                np.digitize(users.truth[:, 0], STAND_IN_CUTS),
                np.ones(len(users.songs)),
                tuple(users.artists),
            ),
            Base(scores, booster, deam),
            zone_probabilities(users.mean_by_song(users_rows), (held_out - others.truth).std(axis=0), Cuts()),
        )

    def given(
        self, repeat: int, fold: int, labels: int | None, *, seed: int
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Places of the labels that are given, and of the tracks that are judged; no artist is in both.

        Fewer labels are a random part of more, the same for all strategies.
        """
        folds = label_folds(self.labels.ranks, self.labels.artists, folds=FOLDS, seed=seed + repeat)
        train, judge = list(folds)[fold]
        drawn = np.random.default_rng((seed, repeat, fold)).permutation(train)
        return np.sort(drawn[:labels]), judge

    def ask(
        self, repeat: int, fold: int, labels: int | None, *, seed: int
    ) -> tuple[int, NDArray[np.intp], dict[str, FloatArray]]:
        """How many labels were given, the places judged [J], and what each strategy says of these, [J, 3]."""
        train, judge = self.given(repeat, fold, labels, seed=seed)
        some, rows = self.labels.only(train), self.labels.rows[judge]
        shares = np.bincount(some.ranks, minlength=len(ZONES)) / len(some)
        said = {MAJORITY: np.tile(shares, (len(judge), 1)), UNTUNED: self.pretrained[judge]}
        for name, strategy in STRATEGIES.items():
            said[name] = strategy.fit(some, self.base, USER_WEIGHT, seed).predict(rows)
        return len(train), judge, said

    def scores_of(
        self,
        answers: dict[tuple[int, int, int | None], tuple[int, NDArray[np.intp], dict[str, FloatArray]]],
    ) -> tuple[StandInScore, ...]:
        """From what `ask` returned, by (repeat, fold, labels). A repeat judges each track once."""
        scores = []
        for labels in STAND_IN_LABELS:
            asked = {key: answer for key, answer in answers.items() if key[2] == labels}
            repeats = sorted({repeat for repeat, _, _ in asked})
            for name in (MAJORITY, UNTUNED, *STRATEGIES):
                accuracies, surest = [], []
                for repeat in repeats:
                    probabilities = np.empty((len(self.labels), len(ZONES)))
                    for (of, _, _), (_, judge, said) in asked.items():
                        if of == repeat:
                            probabilities[judge] = said[name]
                    accuracies.append(accuracy_of_surest(self.labels.ranks, probabilities, share=1.0))
                    surest.append(accuracy_of_surest(self.labels.ranks, probabilities, share=_SURE_SHARE))
                scores.append(
                    StandInScore(
                        name,
                        labels,
                        float(np.mean([given for given, _, _ in asked.values()])),
                        float(np.mean(accuracies)),
                        None if name == MAJORITY else float(np.mean(surest)),
                        tuple(accuracies),
                    )
                )
        return tuple(scores)


def accuracy_of_surest(ranks: Ranks, probabilities: FloatArray, *, share: float) -> float:
    """Of the share of tracks with the highest probability of their zone, of probabilities [N, 3]."""
    order = np.argsort(-probabilities.max(axis=1), kind="stable")[: round(share * len(ranks))]
    return float(np.mean(probabilities[order].argmax(axis=1) == ranks[order]))


@contextmanager
def _workers(jobs: int) -> Iterator[Callable[[Sequence[Callable[[], Any]], Callable[[], None]], list[Any]]]:
    """Gives what calls functions in worker processes and returns their results in order; it tells of each."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    # Read when a worker loads its libraries; several threads in each of several processes get in each other's way.
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:

            def run(tasks: Sequence[Callable[[], Any]], done: Callable[[], None]) -> list[Any]:
                futures = [pool.submit(task) for task in tasks]
                try:
                    for future in as_completed(futures):
                        future.result()
                        done()
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
                return [future.result() for future in futures]

            yield run
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def markdown(found: Benchmark) -> str:
    """The figures as tables, beside what was aimed at."""
    natural, balanced = found.folds.natural, found.folds.balanced
    parts = [
        f"Pretraining, {FOLDS} folds by artist, {found.folds.songs:,} songs (the lockbox's artists left out):",
        _table(
            ("", "natural operating point", "balanced: class priors divided out"),
            [
                ("arousal R²", f"{found.folds.arousal_r2:.3f}", ""),
                ("valence R²", f"{found.folds.valence_r2:.3f}", ""),
                *(
                    (name, f"{getattr(natural, figure):.3f}", f"{getattr(balanced, figure):.3f}")
                    for name, figure in (
                        ("zone accuracy", "accuracy"),
                        ("of always answering the commonest zone", "majority"),
                        ("balanced accuracy", "balanced_accuracy"),
                    )
                ),
                *(
                    (f"recall of {zone}", f"{natural.recall[zone]:.3f}", f"{balanced.recall[zone]:.3f}")
                    for zone in ZONES
                ),
                (
                    "YELLOW taken for PURPLE or the reverse",
                    f"{natural.yellow_purple_confusions:.2%}",
                    f"{balanced.yellow_purple_confusions:.2%}",
                ),
            ],
        ),
    ]
    if found.splits:
        parts += [
            f"Music2Emo's split, {found.splits[0].trained_on:,} songs to train on, {found.splits[0].songs:,} to test:",
            _table(
                ("R²", "arousal", "valence"),
                [
                    *(
                        (
                            "labels as released" if split.as_released else "exchange undone",
                            f"{split.arousal:.3f}",
                            f"{split.valence:.3f}",
                        )
                        for split in found.splits
                    ),
                    (
                        "published, labels as released, 45-s audio (ours: 10 s)",
                        *(f"{low:.3f}-{high:.3f}" for low, high in PUBLISHED.values()),
                    ),
                ],
            ),
        ]
    strategies = dict.fromkeys(score.strategy for score in found.stand_in)
    yellow_max, purple_min = STAND_IN_CUTS
    about = (
        f"Stand-in for a user: {found.stand_in_tracks:,} songs whose genre holds {STAND_IN_GENRE!r}, zones cut at "
        f"arousal {yellow_max} and {purple_min}, pretrained on {found.stand_in_pretraining:,} songs by other artists, "
        f"{FOLDS} folds by artist, {found.stand_in_repeats} repeats on the same songs (standard error of an accuracy "
        f"of 0.7: {np.sqrt(0.7 * 0.3 / found.stand_in_tracks):.3f}). Accuracy / accuracy on the surest 60 %:"
    )
    parts += [
        about,
        _table(
            (
                "labels given",
                *(
                    f"{labels or 'all'} ({found.score(MAJORITY, labels).given:.0f})"
                    for labels in STAND_IN_LABELS
                ),
            ),
            [
                (strategy, *(_both(found.score(strategy, labels)) for labels in STAND_IN_LABELS))
                for strategy in strategies
            ],
        ),
        "Beside what was aimed at:",
        _table(
            ("", "goal", "reached", ""),
            [
                (
                    goal.what,
                    f"at most {goal.goal:.1%}" if goal.at_most else f"{goal.goal:.2f}",
                    f"{goal.reached:.2%}" if goal.at_most else f"{goal.reached:.3f}",
                    "met" if goal.met else "missed",
                )
                for goal in found.goals()
            ],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _both(score: StandInScore) -> str:
    surest = "–" if score.accuracy_of_surest is None else f"{score.accuracy_of_surest:.3f}"
    return f"{score.accuracy:.3f} / {surest}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
