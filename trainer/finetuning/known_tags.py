"""What tags know of a track beside its sound: tempo, mode of the key, genre. An experiment, not part of any bundle.

Everything is learned inside the folds: which genres are frequent enough to count, and what stands for a missing value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import mutagen
import numpy as np
from mutagen.id3 import ID3
from mutagen.mp4 import MP4Tags
from numpy.typing import NDArray

from trainer.finetuning.heads import AFFECT_COLUMNS, FloatArray, LogisticHead, Rows
from trainer.finetuning.strategies import Labelled

COLUMNS: Final = 3
"""That follow a row's own: BPM, 1 for a minor key and 0 for a major one, the genre's number; NaN if unknown."""
_MIN_OF_A_GENRE: Final = 5
_NAMES: Final[dict[type, tuple[str, str, str]]] = {
    ID3: ("TBPM", "TKEY", "TCON"),
    MP4Tags: ("tmpo", "----:com.apple.iTunes:initialkey", "\xa9gen"),
}
_VORBIS: Final = ("bpm", "initialkey", "genre")
_CAMELOT: Final = re.compile(r"\d{1,2}([AB])", re.IGNORECASE)
_KEY: Final = re.compile(r"[A-G][#b♯♭]?\s*(m|min|minor|maj|major)?", re.IGNORECASE)


def known_of(path: Path) -> tuple[float, float, str]:
    """BPM, 1 or 0 for minor or major, and genre of a file's tags; NaN and "" where they say nothing."""
    try:
        tags = getattr(mutagen.File(path), "tags", None)
    except (mutagen.MutagenError, OSError):
        tags = None
    if tags is None:
        return np.nan, np.nan, ""
    names = next((names for kind, names in _NAMES.items() if isinstance(tags, kind)), _VORBIS)
    bpm, key, genre = (_text(tags.get(name)) for name in names)
    try:
        tempo = float(bpm.replace(",", "."))
    except ValueError:
        tempo = np.nan
    return tempo if tempo > 0 else np.nan, is_minor(key), " ".join(genre.casefold().split())


def is_minor(key: str) -> float:
    """1 for a minor key, 0 for a major one, in Camelot's or the musicians' way of writing; else NaN."""
    camelot = _CAMELOT.fullmatch(key.strip())
    if camelot:
        return float(camelot[1].upper() == "A")
    named = _KEY.fullmatch(key.strip())
    return float((named[1] or "").lower() in {"m", "min", "minor"}) if named else np.nan


def _text(value: Any) -> str:
    """Of a frame or a list of values, the first."""
    values = getattr(value, "text", value)
    first = values[0] if isinstance(values, list) and values else values
    return first.decode("utf-8", "replace") if isinstance(first, bytes) else str(first or "")


def with_tags(labels: Labelled, paths: list[Path]) -> Labelled:
    """The same tracks with `COLUMNS` more columns, from the tags of their files."""
    known = [known_of(path) for path in paths]
    number = {genre: place for place, genre in enumerate(sorted({genre for *_, genre in known if genre}))}
    columns = [[bpm, minor, number.get(genre, np.nan)] for bpm, minor, genre in known]
    rows = np.column_stack((labels.rows, np.array(columns, np.float32).reshape(-1, COLUMNS)))
    return Labelled(rows.astype(np.float32), labels.ranks, labels.weights, labels.artists)


@dataclass(frozen=True, slots=True)
class TagsHead:
    """Logistic regression on the pretrained estimates and what the tags know."""

    usual: FloatArray
    """[2], BPM and mode where they are unknown."""
    genres: tuple[float, ...]
    """Numbers of those that count."""
    head: LogisticHead

    @classmethod
    def fit(cls, labels: Labelled) -> Self:
        """Train on tracks of `with_tags`."""
        bpm_and_mode = labels.rows[:, -COLUMNS:-1].astype(np.float64)
        known = np.isfinite(bpm_and_mode)
        counts = np.maximum(known.sum(axis=0), 1)
        usual = np.where(known, bpm_and_mode, 0).sum(axis=0) / counts
        numbers, frequency = np.unique(labels.rows[:, -1], return_counts=True)
        frequent = numbers[(frequency >= _MIN_OF_A_GENRE) & np.isfinite(numbers)]
        genres = tuple(frequent.tolist())
        inputs = _inputs(labels.rows, usual, genres)
        columns = tuple(range(inputs.shape[1]))
        return cls(usual, genres, LogisticHead.fit(inputs, labels.ranks, labels.weights, columns))

    def predict(self, rows: Rows) -> FloatArray:
        """Probabilities of the zones, [N, 3], of rows of `with_tags`."""
        return self.head.predict(_inputs(rows, self.usual, self.genres))


def _inputs(rows: Rows, usual: FloatArray, genres: tuple[float, ...]) -> NDArray[np.float64]:
    given = rows[:, -COLUMNS:-1].astype(np.float64)
    of_genre = [(rows[:, -1] == genre).astype(np.float64) for genre in genres]
    return np.column_stack((rows[:, AFFECT_COLUMNS], np.where(np.isfinite(given), given, usual), *of_genre))
