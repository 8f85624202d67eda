"""DEAM, the MediaEval Database for Emotional Analysis of Music, in its official layout.

Aljanaki, Yang & Soleymani (2017), "Developing a benchmark for emotional analysis of music", PLoS ONE 12(3).
For research and non-commercial use.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.errors import DataSetError
from moodzone_agent.features.spec import FRAME_SECONDS

_ANNOTATIONS: Final = Path("annotations") / "annotations averaged per song"
_STATIC: Final = (
    "static_annotations_averaged_songs_1_2000.csv",
    "static_annotations_averaged_songs_2000_2058.csv",
)
_EXCHANGED_UP_TO: Final = 1000
"""Songs up to this id are from 2013; their columns are exchanged in the released file."""
_MIN_TO_JUDGE: Final = 10
_DYNAMIC: Final = _ANNOTATIONS / "dynamic (per second annotations)"
_CLIP_SECONDS: Final = 11.0
"""Audio no longer than this is a clip of the seconds 30 to 40, as some copies of DEAM hold, not a whole item."""
_CLIP_START: Final = 30.0


@dataclass(frozen=True, slots=True)
class Song:
    """One labelled song."""

    song_id: int
    audio: Path
    artist: str
    """Lower case, blanks collapsed; the song's id in words where the metadata has none."""
    genre: str
    arousal: float
    """Mean of the annotators, 1 to 9."""
    valence: float


@dataclass(frozen=True, slots=True)
class Deam:
    """What was found in the folder."""

    songs: tuple[Song, ...]
    """In order of their ids."""
    left_out: dict[str, int]
    """Songs that could not be used, by reason."""
    exchange_undone: int
    """Songs whose arousal and valence were exchanged in the file and have been put right."""
    dynamic: Mapping[int, NDArray[np.float64]]
    """Song id to arousal and valence, [T, 2], -1 to 1, one row per 0.5 s from the start of the item; NaN where there is
    no label, as in the first 15 s. `aligned` puts them beside the frames of the audio."""


def load_deam(folder: Path, *, undo_exchange: bool = True) -> Deam:
    """Read labels and metadata, and find the audio.

    The static labels of songs 1 to 1000 were released with arousal and valence exchanged. Whether a folder
    has that fault is seen from the dynamic labels, which are right: if there the per-song means of dynamic
    arousal follow the column named valence more than the one named arousal, the two are exchanged back. Without
    `undo_exchange` labels stay as released, for comparison with those who used them so.

    Errors: `DataSetError` names the missing or malformed part.
    """
    labels = _static_labels(folder)
    exchanged = _exchanged(folder, labels) if undo_exchange else set()
    labels.update(
        {song: (valence, arousal) for song, (arousal, valence) in labels.items() if song in exchanged}
    )
    metadata = _metadata(folder)
    audio = _audio(folder)
    songs = []
    for song_id in sorted(labels):
        if song_id in audio:
            artist, genre = metadata.get(song_id, ("", ""))
            arousal, valence = labels[song_id]
            songs.append(
                Song(song_id, audio[song_id], artist or f"artist of {song_id}", genre, arousal, valence)
            )
    if not songs:
        raise DataSetError(f"{folder / 'MEMD_audio'} holds no audio for any labelled song")
    left_out = {
        "no audio": len(labels) - len(songs),
        "no label": len(audio.keys() - labels.keys()),
    }
    return Deam(
        songs=tuple(songs),
        left_out={reason: count for reason, count in left_out.items() if count},
        exchange_undone=sum(song.song_id in exchanged for song in songs),
        dynamic=_dynamic_labels(folder),
    )


def without(deam: Deam, song_ids: set[int], reason: str) -> Deam:
    """The same data without some songs, counted under the reason."""
    if not song_ids:
        return deam
    songs = tuple(song for song in deam.songs if song.song_id not in song_ids)
    return replace(deam, songs=songs, left_out={**deam.left_out, reason: len(deam.songs) - len(songs)})


def _static_labels(folder: Path) -> dict[int, tuple[float, float]]:
    """Song id to (arousal, valence), as the files name them."""
    labels: dict[int, tuple[float, float]] = {}
    for name in _STATIC:
        path = folder / _ANNOTATIONS / "song_level" / name
        for row in _rows(path, required=name == _STATIC[0]):
            try:
                labels[int(row["song_id"])] = float(row["arousal_mean"]), float(row["valence_mean"])
            except (KeyError, ValueError) as error:
                raise DataSetError(
                    f"{path}: a row is not song_id, valence_mean, arousal_mean ... ({error})"
                ) from error
    return labels


def _exchanged(folder: Path, labels: dict[int, tuple[float, float]]) -> set[int]:
    """Ids whose two labels are exchanged: all or none of the songs of 2013."""
    dynamic = _dynamic_means(folder / _DYNAMIC / "arousal.csv")
    judged = [song for song in labels if song <= _EXCHANGED_UP_TO and song in dynamic]
    if len(judged) < _MIN_TO_JUDGE:
        return set()
    reference = [dynamic[song] for song in judged]
    as_named, as_other = (np.corrcoef(reference, [labels[song][i] for song in judged])[0, 1] for i in (0, 1))
    return {song for song in labels if song <= _EXCHANGED_UP_TO} if as_other > as_named else set()


def _dynamic_means(path: Path) -> dict[int, float]:
    """Song id to the mean of its values, one per 0.5 s from second 15."""
    means = {}
    for row in _rows(path, required=False):
        values = [float(value) for key, value in row.items() if key != "song_id" and value]
        if values:
            means[int(row["song_id"])] = float(np.mean(values))
    return means


def _dynamic_labels(folder: Path) -> dict[int, NDArray[np.float64]]:
    """As `Deam.dynamic`; empty where the folder has none.

    Column ``sample_15000ms`` is of the frame that begins there.
    """
    columns = [_dynamic_rows(folder / _DYNAMIC / f"{name}.csv") for name in ("arousal", "valence")]
    labels = {}
    for song in sorted(columns[0].keys() & columns[1].keys()):
        rows = [column[song] for column in columns]
        labels[song] = np.full((max(max(row, default=-1) for row in rows) + 1, 2), np.nan)
        for column, row in enumerate(rows):
            labels[song][list(row), column] = list(row.values())
    return labels


def _dynamic_rows(path: Path) -> dict[int, dict[int, float]]:
    """Song id to the values by number of the frame."""
    songs = {}
    for row in _rows(path, required=False):
        try:
            songs[int(row["song_id"])] = {
                round(int(name.removeprefix("sample_").removesuffix("ms")) / (1000 * FRAME_SECONDS)): float(
                    value
                )
                for name, value in row.items()
                if name != "song_id" and value
            }
        except (KeyError, ValueError) as error:
            raise DataSetError(f"{path}: a row is not song_id, sample_15000ms ... ({error})") from error
    return songs


def aligned(labels: NDArray[np.float64] | None, *, duration: float, frames: int) -> NDArray[np.float64]:
    """The dynamic labels [frames, 2] of the frames of a song's audio, which lasts so many seconds; NaN where none is.

    The official audio starts with the item. Audio of at most 11 s is a clip that starts at second 30.
    """
    first = round(_CLIP_START / FRAME_SECONDS) if duration <= _CLIP_SECONDS else 0
    result = np.full((frames, 2), np.nan)
    if labels is not None:
        found = labels[first : first + frames]
        result[: len(found)] = found
    return result


def _metadata(folder: Path) -> dict[int, tuple[str, str]]:
    """Song id to (artist, genre). In metadata_2014.csv titles hold unquoted commas, but only behind the artist."""
    metadata = {}
    for path in sorted((folder / "metadata").glob("metadata_*.csv")):
        for row in _rows(path, required=False):
            song_id = row.get("song_id", "")
            if song_id.isdigit():
                metadata[int(song_id)] = _tidy(row.get("artist", "")).lower(), _tidy(row.get("genre", ""))
    return metadata


def _audio(folder: Path) -> dict[int, Path]:
    directory = folder / "MEMD_audio"
    if not directory.is_dir():
        raise DataSetError(f"{directory} is missing: DEAM's audio is expected there, named by song id")
    return {int(path.stem): path for path in sorted(directory.iterdir()) if path.stem.isdigit()}


def _rows(path: Path, *, required: bool) -> Iterator[dict[str, str]]:
    """Rows by column name, names and values stripped of the blanks that the files are full of."""
    if not path.is_file():
        if required:
            raise DataSetError(f"{path} is missing: give the folder that holds MEMD_audio and annotations")
        return
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            reader = csv.reader(file)
            header = [name.strip().lower() for name in next(reader, [])]
            for values in reader:
                yield dict(zip(header, (_tidy(value) for value in values), strict=False))
    except csv.Error as error:
        raise DataSetError(f"{path} cannot be read as CSV ({error})") from error


def _tidy(value: str) -> str:
    return " ".join(value.split())
