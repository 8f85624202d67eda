"""Active learning: the tracks whose label would teach most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.stats import entropy

from moodzone_agent.classify.pool import head_inputs
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.errors import UsageError
from moodzone_agent.features.spec import FEATURE_NAMES, FEATURES_VERSION
from moodzone_agent.library.store import Library
from trainer.datasets.store import Progress, analyse_into, open_cache
from trainer.datasets.unified import Wanted, label_tracks, read_all
from trainer.finetuning.experiment import pretrained_bundle
from trainer.finetuning.heads import GAMMA, KERNEL_VARIANCE, NOISE, FloatArray, GaussianProcessHead, Rows
from trainer.finetuning.strategies import load_base
from trainer.finetuning.user_rows import user_data

_NOISE: Final = NOISE / KERNEL_VARIANCE
"""Variance of a label, in units of the kernel's: what the head takes it for."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A track to label."""

    path: Path
    entropy: float
    """Of the zones' probabilities, nats, 0 to ln 3."""
    variance: float
    """Of the Gaussian process once the suggestions before this one are labelled, 0 (known) to 1 (like no track)."""


def suggest(
    wanted: Wanted,
    library: Path,
    base: Path | None,
    *,
    count: int,
    cache: Path | None,
    jobs: int,
    say: Callable[[str], None],
    progress: Progress,
) -> list[Suggestion]:
    """Tracks without a label, the one that teaches most first, so that no two teach the same.

    Among those in the folders `wanted.music`, or if it names none, those of the agent's `library`. Errors:
    `UsageError`, `DataSetError`, `LibraryError`, `BundleError`.
    """
    bundle = pretrained_bundle(base)
    model = ZoneModel(bundle)
    label_files = read_all(wanted)
    with open_cache(cache) as cached:
        user = label_tracks(cached, label_files, wanted, jobs=jobs, progress=progress)
        user.report.check(skip_missing=wanted.skip_missing)
        for line in user.report.lines():
            say(line)
        labelled = user_data(user, cached, model).labelled
        known = {track.audio_id for track in user.tracks}
        if wanted.music:
            found = analyse_into(cached, wanted.music, jobs=jobs, progress=progress).recordings
            paths, rows = _candidates(cached, found, known, model)
        elif library.exists():
            with Library.open(library, read_only=True) as agents:
                found = {
                    track.audio_id: track.paths[0] for track in agents.tracks(labelled=False) if track.paths
                }
                paths, rows = _candidates(agents, found, known, model)
        else:
            raise UsageError(
                "there is no library yet: run `moodzone scan FOLDER`, or name folders with --music"
            )
    if not paths:
        return []
    head = GaussianProcessHead.fit(labelled.rows, labelled.ranks, labelled.weights, load_base(bundle).scores)
    uncertainty = entropy(head.predict(rows), axis=1)
    return [
        Suggestion(paths[place], float(uncertainty[place]), variance)
        for place, variance in spread_out(
            scaled(head, rows), scaled(head, labelled.rows), labelled.weights, uncertainty, count=count
        )
    ]


def _candidates(
    library: Library, found: dict[str, Path], known: set[str], model: ZoneModel
) -> tuple[list[Path], Rows]:
    """Paths, and rows [N, H], of the recordings that have features and no label."""
    paths, rows = [], []
    for audio_id, path in found.items():
        analysis = library.analysis(audio_id, FEATURES_VERSION) if audio_id not in known else None
        if analysis is not None:
            paths.append(path)
            rows.append(head_inputs(analysis.windows, model.rate(analysis.windows)))
    return paths, np.stack(rows) if rows else np.empty((0, 0), np.float32)


def scaled(head: GaussianProcessHead, rows: Rows) -> FloatArray:
    """[N, F] of rows [N, H]: what the head's kernel measures distances in."""
    return np.asarray(head.scores.transform(rows[:, : len(FEATURE_NAMES)]) * head.scale, np.float64)


def spread_out(
    candidates: FloatArray,
    labelled: FloatArray,
    weights: FloatArray,
    uncertainty: FloatArray,
    *,
    count: int,
) -> list[tuple[int, float]]:
    """Places of the candidates [N, F] to label, each with its variance when it was chosen.

    Greedily the one with the largest uncertainty [N] times variance of the Gaussian process; the variance, which needs
    no label to be known, shrinks around each that is chosen (Seo, Wallat, Graepel & Obermayer 2000). Tracks that were
    `labelled` [L, F], with weights [L], have shrunk it before.
    """
    from sklearn.metrics.pairwise import rbf_kernel

    factor = cholesky(rbf_kernel(labelled, gamma=GAMMA) + np.diag(_NOISE / weights), lower=True)
    # Rows of what is known so far: the squares of a column add up to what the candidate's variance lost.
    known: NDArray[np.float64] = solve_triangular(
        factor, rbf_kernel(labelled, candidates, gamma=GAMMA), lower=True
    )
    variance = 1 - np.sum(known**2, axis=0)
    left = np.ones(len(candidates), np.bool_)
    chosen: list[tuple[int, float]] = []
    for _ in range(min(count, len(candidates))):
        place = int(np.argmax(np.where(left, uncertainty * variance, -1.0)))
        left[place] = False
        chosen.append((place, float(variance[place])))
        covariance = rbf_kernel(candidates[place][None], candidates, gamma=GAMMA)[0] - known[:, place] @ known
        learned = covariance / np.sqrt(variance[place] + _NOISE)
        known = np.vstack((known, learned))
        variance = variance - learned**2
    return chosen
