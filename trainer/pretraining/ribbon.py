"""The frame model: arousal and valence of a frame from it and the 5 s before, learned from DEAM's dynamic labels.

Ridge regression (Hoerl & Kennard 1970) on the normal scores of short means. It sees nothing of the future, so that it
serves a stream; `docs/model.md` has what else was tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import onnx
from numpy.typing import NDArray

from moodzone_agent.classify.ribbon import CONTEXT_FRAMES
from moodzone_agent.errors import BundleError
from moodzone_agent.features.spec import RIBBON_COLUMNS
from trainer.export.ensemble import PARITY
from trainer.export.graphs import joined, normal_scores, parsed
from trainer.judgement.evaluate import regression, rounded
from trainer.pretraining.ensemble import TARGETS, NormalScores

FloatArray = NDArray[np.float64]
Frames = NDArray[np.float32]

_SHORT: Final = 2
"""Frames of the short mean: 1 s."""
_LONG: Final = CONTEXT_FRAMES
"""Of the long ones: 5 s. Over 10 s, the folds gain 0.002 in RMSE, and breaks are told less well."""
_RIDGE: Final = 0.1
"""Of the variance of a score."""
_SCALE: Final = (-1.0, 1.0)
SONGS_2015: Final = 2000
"""Songs above this id are the test set of MediaEval 2015."""


@dataclass(frozen=True, slots=True)
class FrameModel:
    """Fitted; made by `fit`."""

    scores: NormalScores
    weights: Frames
    """[3 K, 2] of the scores, for arousal and valence."""
    constant: Frames
    """[2]."""

    @classmethod
    def fit(cls, tracks: Sequence[Frames], labels: Sequence[FloatArray]) -> Self:
        """From the frames [T, K] of tracks and their labels [T, 2]; frames without one, NaN, are left out."""
        inputs = np.concatenate([causal_inputs(frames) for frames in tracks])
        targets = np.concatenate(labels)
        labelled = np.isfinite(targets).all(axis=1)
        inputs, targets = inputs[labelled], targets[labelled]
        scores = NormalScores.fit(inputs)
        rows = scores.transform(inputs).astype(np.float64)
        means, middle = rows.mean(axis=0), targets.mean(axis=0)
        spread = np.maximum(rows.std(axis=0), 1e-3)
        rows = (rows - means) / spread
        penalty = _RIDGE * len(rows) * np.eye(rows.shape[1])
        weights = np.linalg.solve(rows.T @ rows + penalty, rows.T @ (targets - middle)) / spread[:, None]
        return cls(scores, weights.astype(np.float32), (middle - means @ weights).astype(np.float32))

    def predict(self, frames: Frames) -> FloatArray:
        """Arousal and valence [T, 2] of the frames [T, K] of a track, -1 to 1."""
        rows = self.scores.transform(causal_inputs(frames)).astype(np.float64)
        return np.asarray(np.clip(rows @ self.weights + self.constant, *_SCALE))


def causal_inputs(frames: Frames) -> Frames:
    """What the model sees of the frames [T, K] of a track, [T, 3 K]: means of the columns over 1 s and over 5 s that
    end with the frame, and of their absolute changes over 5 s; at the start over what there is.
    """
    changes = np.abs(np.diff(frames, axis=0, prepend=frames[:1]))
    parts = (_trailing_mean(frames, _SHORT), _trailing_mean(frames, _LONG), _trailing_mean(changes, _LONG))
    return np.concatenate(parts, axis=1)


def _trailing_mean(values: Frames, count: int) -> Frames:
    padded = np.concatenate((np.zeros((count - 1, values.shape[1])), values))
    sums = sum(padded[shift : shift + len(values)] for shift in range(count))
    return np.asarray(sums / np.minimum(np.arange(1, len(values) + 1), count)[:, None], np.float32)


def to_onnx(model: FrameModel) -> onnx.ModelProto:
    """The graph: input ``frames`` [T, K]; outputs ``arousal`` [T] and ``valence`` [T], -1 to 1; all float32."""
    columns = len(RIBBON_COLUMNS)
    inputs = parsed(
        f"""
        inputs (float[T, {columns}] frames) => (float[T, {3 * columns}] inputs) {{
            first = Slice (frames, zero, one, zero)
            before = Slice (frames, zero, minus_one, zero)
            shifted = Concat <axis = 0> (first, before)
            rises = Sub (frames, shifted)
            changes = Abs (rises)
            frames_across = Transpose <perm = [1, 0]> (frames)
            changes_across = Transpose <perm = [1, 0]> (changes)
            frames_line = Unsqueeze (frames_across, zero)
            changes_line = Unsqueeze (changes_across, zero)
            short_mean = {_pool(_SHORT)} (frames_line)
            long_mean = {_pool(_LONG)} (frames_line)
            changes_mean = {_pool(_LONG)} (changes_line)
            joined_line = Concat <axis = 1> (short_mean, long_mean, changes_mean)
            joined_across = Squeeze (joined_line, zero)
            inputs = Transpose <perm = [1, 0]> (joined_across)
        }}
        """,
        {
            "zero": np.array([0], np.int64),
            "one": np.array([1], np.int64),
            "minus_one": np.array([-1], np.int64),
        },
    )
    ridge = parsed(
        f"""
        ridge (float[T, {3 * columns}] scores) => (float[T] arousal, float[T] valence) {{
            product = MatMul (scores, weights)
            sum = Add (product, constant)
            affect = Clip (sum, low, high)
            a, v = Split <axis = 1> (affect)
            arousal = Squeeze (a, last_axis)
            valence = Squeeze (v, last_axis)
        }}
        """,
        {
            "weights": model.weights,
            "constant": model.constant,
            "low": np.array(_SCALE[0], np.float32),
            "high": np.array(_SCALE[1], np.float32),
            "last_axis": np.array([1], np.int64),
        },
    )
    return joined(
        [inputs, normal_scores(model.scores, "inputs"), ridge],
        inputs={"frames": ["T", columns]},
        outputs={"arousal": ["T"], "valence": ["T"]},
    )


def _pool(count: int) -> str:
    """The mean over so many values that end with each; padding, at the start only, does not count."""
    return f"AveragePool <kernel_shape = [{count}], pads = [{count - 1}, 0], count_include_pad = 0>"


def check_parity(path: Path, model: FrameModel, tracks: Sequence[Frames]) -> float:
    """The largest difference between the graph in ONNX Runtime and the trained model over tracks, [T, K] each.

    Errors: `BundleError` if it exceeds `PARITY`.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst = 0.0
    for frames in tracks:
        got = np.stack(session.run(["arousal", "valence"], {"frames": frames}), axis=1)
        worst = max(worst, float(np.abs(got - model.predict(frames)).max()))
    if not worst <= PARITY:
        raise BundleError(
            f"the exported frame model differs from the trained one by {worst:.1e}, more than {PARITY:.0e}"
        )
    return worst


@dataclass(frozen=True, slots=True)
class Judged:
    """Estimates of songs by models that know no song of their artists, beside the dynamic labels: [T, 2] a song."""

    song_ids: tuple[int, ...]
    truth: list[FloatArray]
    """-1 to 1; NaN where a frame has no label."""
    windows: list[FloatArray]
    """The windows' estimates along the song, on the same scale."""
    frames: list[FloatArray]
    """The frame model's."""

    def __add__(self, other: Judged) -> Judged:
        """The songs of both."""
        return Judged(
            self.song_ids + other.song_ids,
            self.truth + other.truth,
            self.windows + other.windows,
            self.frames + other.frames,
        )

    def only(self, *, above: int) -> Judged:
        """The songs with an id above this."""
        chosen = [at for at, song_id in enumerate(self.song_ids) if song_id > above]
        return Judged(
            tuple(self.song_ids[at] for at in chosen),
            *([values[at] for at in chosen] for values in (self.truth, self.windows, self.frames)),
        )

    def figures(self) -> dict[str, Any]:
        """For a manifest: of the windows alone, of the frame model alone, of the two as in a ribbon, and of their mean.

        ``within``: Pearson's correlation of the deviations from each song's mean, which no level can help.
        """
        combined = [
            frames - frames.mean(axis=0) + windows.mean(axis=0)
            for frames, windows in zip(self.frames, self.windows, strict=True)
        ]
        mean = [(frames + windows) / 2 for frames, windows in zip(self.frames, self.windows, strict=True)]
        ways = {"windows": self.windows, "frames": self.frames, "combined": combined, "mean": mean}
        labelled = [np.isfinite(values).all(axis=1) for values in self.truth]
        truth = [values[rows] for values, rows in zip(self.truth, labelled, strict=True)]
        figures: dict[str, Any] = {"songs": len(self.song_ids), "labels": sum(map(len, truth))}
        for way, songs in ways.items():
            said = [values[rows] for values, rows in zip(songs, labelled, strict=True)]
            figures[way] = {name: _figures(truth, said, column) for column, name in enumerate(TARGETS)}
        return figures


def _figures(truth: list[FloatArray], said: list[FloatArray], column: int) -> dict[str, float]:
    figures = rounded(regression(*(np.concatenate(songs)[:, column] for songs in (truth, said))))
    moved, heard = (
        np.concatenate([values[:, column] - values[:, column].mean() for values in songs])
        for songs in (truth, said)
    )
    varies = np.sqrt(np.mean(moved**2) * np.mean(heard**2))
    return figures | {"within": round(float(np.mean(moved * heard) / varies), 4) if varies > 1e-9 else 0.0}


@dataclass(frozen=True, slots=True)
class Line:
    """From the windows' scale of 1 to 9, which static labels have, to the dynamic labels' -1 to 1.

    People use the two scales differently: the middle of the one isn't the middle of the other.
    """

    slopes: FloatArray
    """[2]."""
    starts: FloatArray
    """[2]."""

    @classmethod
    def fit(cls, windows: Sequence[FloatArray], labels: Sequence[FloatArray]) -> Self:
        """From the windows' estimates along songs and the labels, [T, 2] each."""
        x, y = np.concatenate(windows), np.concatenate(labels)
        labelled = np.isfinite(y).all(axis=1)
        x, y = x[labelled], y[labelled]
        slopes = ((x - x.mean(axis=0)) * (y - y.mean(axis=0))).sum(axis=0) / ((x - x.mean(axis=0)) ** 2).sum(
            axis=0
        )
        return cls(slopes, y.mean(axis=0) - slopes * x.mean(axis=0))

    def map(self, windows: FloatArray) -> FloatArray:
        """[T, 2] of [T, 2]."""
        return np.asarray(self.slopes * windows + self.starts)
