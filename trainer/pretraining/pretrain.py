"""Pretraining on DEAM: from its folder to a bundle that ships."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from moodzone_agent.classify.bundle import RIBBON_MODEL, SCHEMA, ZONE_MODEL
from moodzone_agent.classify.pool import WindowEstimates, head_inputs
from moodzone_agent.classify.ribbon import along
from moodzone_agent.errors import DataSetError
from moodzone_agent.features.spec import FEATURE_NAMES, FEATURES_VERSION
from moodzone_agent.library.records import Analysis
from moodzone_agent.types import ZONES, Cuts
from trainer.datasets.deam import Deam, Song, aligned, load_deam, without
from trainer.datasets.splits import FOLDS, artist_folds, in_lockbox
from trainer.export.bundles import check_replaceable, write_bundle
from trainer.export.ensemble import check_parity, to_onnx
from trainer.extraction import extract
from trainer.finetuning.heads import TreesHead
from trainer.finetuning.strategies import save_base
from trainer.judgement.evaluate import classification, regression, rounded, sure_from
from trainer.pretraining.ensemble import TARGETS, AffectEnsemble, zone_probabilities
from trainer.pretraining.ribbon import SONGS_2015, FrameModel, Judged, Line
from trainer.pretraining.ribbon import check_parity as check_ribbon_parity
from trainer.pretraining.ribbon import to_onnx as ribbon_to_onnx

_MIN_SONGS: Final = 50
_SURE_ACCURACY: Final = 0.80
_LICENCE: Final = """\
The weights in this folder were trained on DEAM, the MediaEval Database for Emotional Analysis of Music
(Aljanaki, Yang & Soleymani, PLoS ONE 12(3), 2017), whose annotations and audio are for research and
non-commercial use. The weights may therefore be used, copied and changed for non-commercial purposes only,
under CC BY-NC 4.0 (https://creativecommons.org/licenses/by-nc/4.0/). Neither DEAM's audio nor its labels are
part of them. The program's own licence covers its code, not these weights.
"""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """DEAM as rows: one per window, a song's windows after each other."""

    songs: tuple[Song, ...]
    windows: NDArray[np.float32]
    """[N, F]."""
    song_of: NDArray[np.intp]
    """[N] index into `songs`."""
    frames: tuple[NDArray[np.float32], ...] = ()
    """[T, K] of each song, what the frame model sees."""
    dynamic: tuple[NDArray[np.float64], ...] = ()
    """[T, 2] of each song, the dynamic labels of these frames; NaN where there are none."""

    @property
    def truth(self) -> NDArray[np.float64]:
        """Arousal and valence of the songs, [S, 2]."""
        return np.array([(song.arousal, song.valence) for song in self.songs])

    @property
    def artists(self) -> list[str]:
        """Of the songs, [S]."""
        return [song.artist for song in self.songs]

    def only(self, songs: Sequence[int] | NDArray[np.intp]) -> TrainingData:
        """The rows of some songs, by their indices."""
        chosen = np.asarray(songs)
        rows = np.flatnonzero(np.isin(self.song_of, chosen))
        renumbered = np.searchsorted(np.sort(chosen), self.song_of[rows])
        songs, frames, dynamic = (
            tuple(of_song[index] for index in np.sort(chosen)) if of_song else ()
            for of_song in (self.songs, self.frames, self.dynamic)
        )
        return TrainingData(songs, self.windows[rows], renumbered, frames, dynamic)

    @property
    def weights(self) -> NDArray[np.float64]:
        """Of the rows, [N]; a song's windows share the weight of one."""
        return np.asarray(1.0 / np.bincount(self.song_of)[self.song_of])

    def fit(self, *, seed: int) -> AffectEnsemble:
        """An ensemble trained on these rows."""
        return AffectEnsemble.fit(self.windows, self.truth[self.song_of], self.weights, seed=seed)

    def head_rows(self, affect: NDArray[np.float64]) -> NDArray[np.float32]:
        """What a user's head would see of the songs, [S, H], from estimates of the windows [N, 2]."""
        rows = []
        for song in range(len(self.songs)):
            of_song = self.song_of == song
            arousal, valence = affect[of_song].astype(np.float32).T
            no_zones = np.empty((len(arousal), len(ZONES)), np.float32)
            rows.append(head_inputs(self.windows[of_song], WindowEstimates(no_zones, arousal, valence)))
        return np.stack(rows)

    def along(self, rows: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Estimates [N, 2] of the windows, laid along the frames of each song, [T, 2]."""
        return [along(rows[self.song_of == song], len(frames)) for song, frames in enumerate(self.frames)]

    def fit_frames(self) -> FrameModel:
        """A frame model trained on the frames that have labels."""
        return FrameModel.fit(self.frames, self.dynamic)

    def judged(self, windows: list[NDArray[np.float64]], frames: list[NDArray[np.float64]]) -> Judged:
        """The songs' estimates beside their dynamic labels."""
        return Judged(tuple(song.song_id for song in self.songs), list(self.dynamic), windows, frames)

    def mean_by_song(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """[S, 2]: the mean of [N, 2] over each song's windows."""
        sums = np.stack([np.bincount(self.song_of, values) for values in rows.T], axis=1)
        return np.asarray(sums / np.bincount(self.song_of)[:, None])


def pretrain(
    deam: Path,
    out: Path,
    *,
    seed: int,
    cuts: Cuts,
    jobs: int,
    say: Callable[[str], None],
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """Train on the DEAM folder and write the bundle to `out`; returns its manifest.

    Cross-validation and every choice use the artists outside the lockbox. Then the model trained on these is
    judged once on the lockbox, and the shipped model is trained by the same recipe on all songs.

    `say` is told what happens, a line each; `progress` (done, of) how far extraction has come.
    Errors: `DataSetError`; `UsageError` if `out` exists and is no bundle; `BundleError` if the graph
    disagrees.
    """
    check_replaceable(out)
    found = load_deam(deam)
    if found.exchange_undone:
        say(
            f"arousal and valence are exchanged in the released labels of {found.exchange_undone} songs "
            "(the dynamic labels show it); exchanged them back"
        )
    found, data = deam_windows(found, jobs=jobs, say=say, progress=progress)
    for reason, count in found.left_out.items():
        say(f"left out {count} songs: {reason}")

    locked = np.array([in_lockbox(artist) for artist in data.artists])
    development, lockbox = data.only(np.flatnonzero(~locked)), data.only(np.flatnonzero(locked))
    say(f"{len(development.songs)} songs to develop on, {len(lockbox.songs)} by other artists in the lockbox")
    rows = cross_validate(development, seed=seed)
    held_out = development.mean_by_song(rows)
    spread = (held_out - development.truth).std(axis=0)
    probabilities = zone_probabilities(held_out, spread, cuts)
    threshold, coverage = sure_from(song_ranks(development, cuts), probabilities, accuracy=_SURE_ACCURACY)
    metrics = {"cv": _figures(development, held_out, spread, cuts) | {"sure_coverage": round(coverage, 4)}}

    judged = development.fit(seed=seed)
    locked_rows = judged.predict(lockbox.windows)
    metrics["lockbox"] = _figures(lockbox, lockbox.mean_by_song(locked_rows), spread, cuts)
    frame_model = None
    labelled = sum(bool(np.isfinite(labels).any()) for labels in data.dynamic)
    if labelled >= _MIN_SONGS:
        metrics["ribbon"] = _ribbon_figures(development, rows, lockbox, locked_rows, seed=seed)
        frame_model = data.fit_frames()
    else:
        say(f"only {labelled} songs have dynamic labels; there will be no frame model")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ZONE_MODEL
        onnx.save(to_onnx(judged, spread, len(FEATURE_NAMES)), path)
        parity = check_parity(path, judged, spread, lockbox.windows)

    final = data.fit(seed=seed)
    unseen = np.empty((len(data.windows), len(TARGETS)))
    unseen[~locked[data.song_of]], unseen[locked[data.song_of]] = rows, locked_rows
    booster = TreesHead.fit(
        data.head_rows(unseen), song_ranks(data, cuts), np.ones(len(data.songs)), seed=seed
    ).booster
    manifest: dict[str, Any] = {
        "schema": SCHEMA,
        "features_version": FEATURES_VERSION,
        "feature_names": FEATURE_NAMES,
        "zones": ZONES,
        "cuts": asdict(cuts),
        "accepts_cuts": True,
        "operating_point": "natural: the likeliest zone, priors as in DEAM",
        "spread": dict(zip(TARGETS, spread.round(6).tolist(), strict=True)),
        "sure_from": round(threshold, 4),
        "trained_on": {
            "data": "DEAM",
            "songs": len(data.songs),
            "artists": len(set(data.artists)),
            "left_out": found.left_out,
            "exchange_undone": found.exchange_undone,
            "licence": "non-commercial, see LICENCE.txt",
        },
        "metrics": {"folds": FOLDS, "grouped_by": "artist", **metrics},
        "parity_on_lockbox": float(f"{parity:.1e}"),
        "seed": seed,
        "packages": {name: version(name) for name in ("onnx", "onnxmltools", "scikit-learn", "skl2onnx")},
    }

    def fill(folder: Path) -> None:
        onnx.save(to_onnx(final, spread, len(FEATURE_NAMES)), folder / ZONE_MODEL)
        check_parity(folder / ZONE_MODEL, final, spread, data.windows)
        save_base(folder, final.scores, booster)
        if frame_model is not None:
            onnx.save(ribbon_to_onnx(frame_model), folder / RIBBON_MODEL)
            check_ribbon_parity(folder / RIBBON_MODEL, frame_model, data.frames)
        (folder / "LICENCE.txt").write_text(_LICENCE, encoding="utf-8")

    return write_bundle(out, manifest, fill, kind="deam", named_by=ZONE_MODEL)


def deam_windows(
    deam: Deam, *, jobs: int, say: Callable[[str], None], progress: Callable[[int, int], None]
) -> tuple[Deam, TrainingData]:
    """The features of all songs; those whose audio can't be read are told, counted and left out.

    Errors: `DataSetError` if fewer than 50 songs remain.
    """
    analyses: dict[int, Analysis] = {}
    failed: set[int] = set()
    total = len(deam.songs)
    for done, (song, result) in enumerate(
        extract({song.song_id: song.audio for song in deam.songs}, jobs=jobs), 1
    ):
        if isinstance(result, Analysis):
            analyses[song] = result
        else:
            failed.add(song)
            say(f"song {song}: {result}")
        progress(done, total)
    deam = without(deam, failed, "audio cannot be read")
    if len(deam.songs) < _MIN_SONGS:
        raise DataSetError(f"only {len(deam.songs)} songs can be used; at least {_MIN_SONGS} are needed")
    windows = [analyses[song.song_id].windows for song in deam.songs]
    counts = [len(rows) for rows in windows]
    frames = tuple(_frames(analyses[song.song_id]) for song in deam.songs)
    dynamic = tuple(
        aligned(deam.dynamic.get(song.song_id), duration=analyses[song.song_id].duration, frames=len(rows))
        for song, rows in zip(deam.songs, frames, strict=True)
    )
    song_of = np.repeat(np.arange(len(counts)), counts)
    return deam, TrainingData(deam.songs, np.concatenate(windows), song_of, frames, dynamic)


def _frames(analysis: Analysis) -> NDArray[np.float32]:
    assert analysis.frames is not None
    return analysis.frames


def cross_validate(data: TrainingData, *, seed: int) -> NDArray[np.float64]:
    """Each window's arousal and valence [N, 2] by a model that knows no song of its artist."""
    held_out = np.empty((len(data.windows), len(TARGETS)))
    for train, judge in artist_folds(data.artists, seed=seed):
        rows = np.isin(data.song_of, judge)
        held_out[rows] = data.only(train).fit(seed=seed).predict(data.windows[rows])
    return held_out


def _ribbon_figures(
    development: TrainingData,
    rows: NDArray[np.float64],
    lockbox: TrainingData,
    locked_rows: NDArray[np.float64],
    *,
    seed: int,
) -> dict[str, Any]:
    """What the ribbon is worth on the dynamic labels, by models that know no song of an artist they are judged on.

    `rows` and `locked_rows`: held-out estimates [N, 2] of the windows of either part.
    """
    windows = development.along(rows)
    frames: list[NDArray[np.float64]] = [np.empty(0)] * len(windows)
    lines: list[NDArray[np.float64]] = [np.empty(0)] * len(windows)
    for train, judge in artist_folds(development.artists, seed=seed):
        model = development.only(train).fit_frames()
        line = Line.fit([windows[song] for song in train], [development.dynamic[song] for song in train])
        for song in judge:
            frames[song] = model.predict(development.frames[song])
            lines[song] = line.map(windows[song])
    folds = development.judged(lines, frames)

    model, line = development.fit_frames(), Line.fit(windows, development.dynamic)
    locked = lockbox.judged(
        [line.map(along) for along in lockbox.along(locked_rows)],
        [model.predict(song) for song in lockbox.frames],
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / RIBBON_MODEL
        onnx.save(ribbon_to_onnx(model), path)
        parity = check_ribbon_parity(path, model, lockbox.frames)
    figures = {"cv": folds.figures(), "lockbox": locked.figures()}
    newest = (folds + locked).only(above=SONGS_2015)
    if newest.song_ids:
        figures["songs_2015"] = newest.figures()
    return figures | {"parity_on_lockbox": float(f"{parity:.1e}")}


def song_ranks(data: TrainingData, cuts: Cuts) -> NDArray[np.intp]:
    return np.array([cuts.zone(*affect).rank for affect in data.truth])


def _figures(
    data: TrainingData, affect: NDArray[np.float64], spread: NDArray[np.float64], cuts: Cuts
) -> dict[str, Any]:
    answers = zone_probabilities(affect, spread, cuts).argmax(axis=1)
    figures: dict[str, Any] = {
        name: rounded(regression(data.truth[:, column], affect[:, column]))
        for column, name in enumerate(TARGETS)
    }
    return figures | {"zone": rounded(classification(song_ranks(data, cuts), answers))}
