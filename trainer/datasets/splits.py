"""Who is trained on and who judges. Splits are by artist, so that no model is judged on an artist that it knows."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

FOLDS: Final = 5


def in_lockbox(artist: str) -> bool:
    """Whether this artist's songs, a fifth of all, are kept for one last judgement.

    By a hash of the name, so that the answer is the same whatever else is there.
    """
    return hashlib.sha256(artist.encode()).digest()[0] % 5 == 0


def artist_folds(artists: Sequence[str], *, seed: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Five pairs of indices (to train on, to judge); no artist is on both sides of one."""
    from sklearn.model_selection import GroupKFold

    rows = np.zeros(len(artists))
    yield from GroupKFold(FOLDS, shuffle=True, random_state=seed).split(rows, groups=list(artists))


def label_folds(
    ranks: NDArray[np.intp], artists: Sequence[str], *, folds: int, seed: int
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Pairs of indices (to train on, to judge), zones as even as whole artists allow; fewer for few tracks."""
    from sklearn.model_selection import StratifiedGroupKFold

    _, groups = np.unique(np.asarray(artists), return_inverse=True)
    count = min(folds, int(groups.max()) + 1, int(np.bincount(ranks).max()))
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a zone that is rarer than there are folds
        yield from splitter.split(ranks, ranks, groups)
