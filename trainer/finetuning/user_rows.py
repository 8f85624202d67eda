"""A user's labelled tracks as rows to train on, and which of them are held out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.classify.pool import HEAD_INPUTS, head_inputs
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.features.spec import FEATURES_VERSION
from moodzone_agent.library.store import Library
from moodzone_agent.types import ZONES, LabelOrigin
from trainer.datasets.user import UserLabel, UserLabels
from trainer.finetuning.heads import FloatArray
from trainer.finetuning.strategies import Labelled

LABEL_WEIGHTS: Final = {
    LabelOrigin.ASKED: 1.0,
    LabelOrigin.CONFIRMED: 1.0,
    LabelOrigin.CORRECTED: 1.0,
    LabelOrigin.IMPORTED: 1.0,
    LabelOrigin.WEAK: 0.2,
}
"""How much a label counts in training, by how it came."""
MIN_TO_HOLD_OUT: Final = 50
"""Labels, below which all are trained on."""
_HELD_OUT_SHARE: Final = 5
"""One artist in so many is held out."""
_SALTS: Final = 200
"""Ways to draw them that are compared, so that the zones come out even."""


@dataclass(frozen=True, slots=True)
class UserData:
    """Labelled tracks, in the order of their labels."""

    labelled: Labelled
    tracks: tuple[UserLabel, ...]
    rated: FloatArray
    """[L, 3], probabilities of the zones by the model in use."""

    def only(self, chosen: NDArray[np.intp]) -> UserData:
        """Some of them, by their places."""
        tracks = tuple(self.tracks[place] for place in chosen)
        return UserData(self.labelled.only(chosen), tracks, self.rated[chosen])

    @property
    def judging(self) -> NDArray[np.bool_]:
        """[L]: which labels may judge: asked or confirmed. Corrections exist only because a model was wrong."""
        honest = {LabelOrigin.ASKED, LabelOrigin.CONFIRMED}
        return np.array([track.origin in honest for track in self.tracks], np.bool_)


def user_data(labels: UserLabels, library: Library, model: ZoneModel) -> UserData:
    """Rows of the labelled tracks, as `model`, the one in use, sees them; all must be analysed in the library."""
    rows, rated = [], []
    for track in labels.tracks:
        analysis = library.analysis(track.audio_id, FEATURES_VERSION)
        assert analysis is not None
        windows = model.rate(analysis.windows)
        rows.append(head_inputs(analysis.windows, windows))
        rated.append(model.estimate(analysis.windows, windows).probabilities)
    tracks = labels.tracks
    return UserData(
        Labelled(
            np.stack(rows) if rows else np.empty((0, len(HEAD_INPUTS)), np.float32),
            np.array([track.zone.rank for track in tracks], np.intp),
            np.array([LABEL_WEIGHTS[track.origin] for track in tracks]),
            tuple(track.artist for track in tracks),
        ),
        tracks,
        np.array(rated, np.float64).reshape(-1, len(ZONES)),
    )


def draw_salt(data: UserData) -> str | None:
    """What `is_held_out` shall mix into artists' names, so that a fifth of the tracks with even zones is held out.

    Drawn once per user and kept: from then on each artist is on one side for ever, new ones too. None where there are
    too few labels to keep some back. Weak labels are never held out.
    """
    ranks, artists = data.labelled.ranks, data.labelled.artists
    strong = np.array([track.origin is not LabelOrigin.WEAK for track in data.tracks], np.bool_)
    if np.count_nonzero(strong) < MIN_TO_HOLD_OUT:
        return None
    wanted = np.bincount(ranks[strong], minlength=len(ZONES)) / _HELD_OUT_SHARE

    def unevenness(salt: str) -> float:
        held = strong & np.array([is_held_out(artist, salt) for artist in artists])
        return float(np.abs(np.bincount(ranks[held], minlength=len(ZONES)) - wanted).sum())

    return min((f"{number:03}" for number in range(_SALTS)), key=unevenness)


def is_held_out(artist: str, salt: str) -> bool:
    """Whether an artist's tracks judge and are never trained on."""
    digest = hashlib.sha256(f"{salt}\0{artist}".encode()).digest()
    return int.from_bytes(digest[:8]) % _HELD_OUT_SHARE == 0


def split(data: UserData, salt: str | None) -> tuple[UserData, UserData]:
    """To develop on, and held out (none without a salt)."""
    held = np.array(
        [
            salt is not None and track.origin is not LabelOrigin.WEAK and is_held_out(track.artist, salt)
            for track in data.tracks
        ],
        np.bool_,
    )
    return data.only(np.flatnonzero(~held)), data.only(np.flatnonzero(held))
