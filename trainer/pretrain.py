"""Pretraining on DEAM: from its folder to a bundle that ships."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from moodzone_agent.classify.bundle import MANIFEST, SCHEMA, ZONE_MODEL
from moodzone_agent.classify.pool import WindowEstimates, head_inputs
from moodzone_agent.errors import DataSetError, UsageError
from moodzone_agent.features.spec import FEATURE_NAMES, FEATURES_VERSION
from moodzone_agent.library.records import Analysis
from moodzone_agent.types import ZONES, Cuts
from trainer.datasets.deam import Deam, Song, load_deam, without
from trainer.datasets.splits import FOLDS, artist_folds, in_lockbox
from trainer.ensemble import TARGETS, AffectEnsemble, zone_probabilities
from trainer.evaluate import classification, regression, rounded, sure_from
from trainer.export_onnx import check_parity, to_onnx
from trainer.extraction import extract
from trainer.heads import TreesHead
from trainer.strategies import save_base

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
        return TrainingData(
            tuple(self.songs[index] for index in np.sort(chosen)), self.windows[rows], renumbered
        )

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
    if out.exists() and not (out / MANIFEST).exists() and any(out.iterdir()):
        raise UsageError(f"{out} exists and is not a model bundle; name another folder")
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
    held_out_windows = _cross_validate(development, seed=seed)
    held_out = development.mean_by_song(held_out_windows)
    spread = (held_out - development.truth).std(axis=0)
    probabilities = zone_probabilities(held_out, spread, cuts)
    threshold, coverage = sure_from(_ranks(development, cuts), probabilities, accuracy=_SURE_ACCURACY)
    metrics = {"cv": _figures(development, held_out, spread, cuts) | {"sure_coverage": round(coverage, 4)}}

    judged = development.fit(seed=seed)
    locked_windows = judged.predict(lockbox.windows)
    metrics["lockbox"] = _figures(lockbox, lockbox.mean_by_song(locked_windows), spread, cuts)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ZONE_MODEL
        onnx.save(to_onnx(judged, spread, len(FEATURE_NAMES)), path)
        parity = check_parity(path, judged, spread, lockbox.windows)

    final = data.fit(seed=seed)
    unseen = np.empty((len(data.windows), len(TARGETS)))
    unseen[~locked[data.song_of]], unseen[locked[data.song_of]] = held_out_windows, locked_windows
    booster = TreesHead.fit(
        data.head_rows(unseen), _ranks(data, cuts), np.ones(len(data.songs)), seed=seed
    ).booster
    manifest: dict[str, Any] = {
        "schema": SCHEMA,
        "features_version": FEATURES_VERSION,
        "feature_names": FEATURE_NAMES,
        "zones": ZONES,
        "cuts": asdict(cuts),
        "accepts_cuts": True,
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
    return _write(out, manifest, final, booster, spread, data)


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
    return deam, TrainingData(deam.songs, np.concatenate(windows), np.repeat(np.arange(len(counts)), counts))


def _cross_validate(data: TrainingData, *, seed: int) -> NDArray[np.float64]:
    """Each window's arousal and valence [N, 2] by a model that knows no song of its artist."""
    held_out = np.empty((len(data.windows), len(TARGETS)))
    for train, judge in artist_folds(data.artists, seed=seed):
        held_out[np.isin(data.song_of, judge)] = (
            data.only(train).fit(seed=seed).predict(data.only(judge).windows)
        )
    return held_out


def _ranks(data: TrainingData, cuts: Cuts) -> NDArray[np.intp]:
    return np.array([cuts.zone(*affect).rank for affect in data.truth])


def _figures(
    data: TrainingData, affect: NDArray[np.float64], spread: NDArray[np.float64], cuts: Cuts
) -> dict[str, Any]:
    answers = zone_probabilities(affect, spread, cuts).argmax(axis=1)
    figures: dict[str, Any] = {
        name: rounded(regression(data.truth[:, column], affect[:, column]))
        for column, name in enumerate(TARGETS)
    }
    return figures | {"zone": rounded(classification(_ranks(data, cuts), answers))}


def _write(
    out: Path,
    manifest: dict[str, Any],
    model: AffectEnsemble,
    booster: Any,
    spread: NDArray[np.float64],
    data: TrainingData,
) -> dict[str, Any]:
    """Build the bundle beside its place, then put it there in one step."""
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-"))
    try:
        onnx.save(to_onnx(model, spread, len(FEATURE_NAMES)), folder / ZONE_MODEL)
        check_parity(folder / ZONE_MODEL, model, spread, data.windows)
        save_base(folder, model.scores, booster)
        (folder / "LICENCE.txt").write_text(_LICENCE, encoding="utf-8")
        digests = {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())
        }
        manifest = {"id": f"deam-{digests[ZONE_MODEL][:8]}", **manifest, "files": digests}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        folder.chmod(0o755)
        if out.exists():
            shutil.rmtree(out)
        folder.replace(out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return manifest
