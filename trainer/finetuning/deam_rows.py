"""DEAM's songs as rows to train on, their features out of the trainer's cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from moodzone_agent.errors import DataSetError
from moodzone_agent.features.spec import FEATURES_VERSION
from moodzone_agent.library.store import Library
from moodzone_agent.types import Cuts
from trainer.datasets.deam import Deam, without
from trainer.datasets.store import Progress, analyse_into
from trainer.finetuning.strategies import Labelled
from trainer.pretraining.pretrain import TrainingData, cross_validate, song_ranks


def cached_windows(
    deam: Deam, library: Library, *, jobs: int, say: Callable[[str], None], progress: Progress
) -> TrainingData:
    """The windows' features of all songs that can be read, without frames; the cache is brought up to date first.

    `say` is told what was left out. Errors: `DataSetError` if no song can be read; `LibraryError`.
    """
    analysed = analyse_into(library, [song.audio for song in deam.songs], jobs=jobs, progress=progress)
    for line in analysed.complaints():
        say(line)
    windows = {}
    for song in deam.songs:
        track = library.track_of(song.audio.resolve())
        analysis = library.analysis(track.audio_id, FEATURES_VERSION) if track is not None else None
        if analysis is not None:
            windows[song.song_id] = analysis.windows
    deam = without(deam, {song.song_id for song in deam.songs} - windows.keys(), "audio cannot be read")
    if not deam.songs:
        raise DataSetError("no song of DEAM can be read: is its folder MEMD_audio whole?")
    for reason, count in deam.left_out.items():
        say(f"left out {count} songs of DEAM: {reason}")
    counts = [len(windows[song.song_id]) for song in deam.songs]
    rows = np.concatenate([windows[song.song_id] for song in deam.songs])
    return TrainingData(deam.songs, rows, np.repeat(np.arange(len(counts)), counts))


def with_labels_of(data: TrainingData, deam: Deam) -> TrainingData:
    """The same rows with the labels that `deam` has."""
    songs = {song.song_id: song for song in deam.songs}
    return replace(data, songs=tuple(songs[song.song_id] for song in data.songs))


def deam_labelled(data: TrainingData, cuts: Cuts, *, seed: int) -> Labelled:
    """DEAM's songs as tracks to train on beside a user's: estimates are of models that don't know the artist."""
    rows = data.head_rows(cross_validate(data, seed=seed))
    return Labelled(rows, song_ranks(data, cuts), np.ones(len(rows)), tuple(data.artists))
