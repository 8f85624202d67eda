"""Pictures of how well a model does, as PNG. Zones differ by colour, and by shape or name, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.errors import UsageError
from moodzone_agent.types import ZONES, Cuts, Zone
from trainer.finetuning.learning_curve import Point
from trainer.judgement.evaluate import wilson
from trainer.judgement.importance import Importance

FloatArray = NDArray[np.float64]
Ranks = NDArray[np.intp]

COLOURS: Final = {Zone.YELLOW: "#e6b422", Zone.GREEN: "#2e9e6b", Zone.PURPLE: "#6a3d9a"}
"""They differ in lightness, too, so that they can be told apart in grey."""
_TINTS: Final = {Zone.YELLOW: "#fbf0cc", Zone.GREEN: "#d5efe2", Zone.PURPLE: "#e0d4ee"}
_SHAPES: Final = {Zone.YELLOW: "o", Zone.GREEN: "s", Zone.PURPLE: "^"}
_INK: Final = "#333333"
_LINES: Final = (("#1f5fa8", "-", "o"), ("#c05a1c", "--", "s"))
"""Colour, dashes and marks of curves."""
_MOST_BARS: Final = 15
_BINS: Final = 10
_LOW, _HIGH = 1.0, 9.0
"""Of arousal and valence."""


@dataclass(frozen=True, slots=True)
class Dots:
    """Tracks in the plane."""

    arousal: FloatArray
    """[N], 1 to 9."""
    valence: FloatArray
    """[N], 1 to 9."""
    ranks: Ranks
    """[N], of the zones by which they are coloured."""
    coloured_by: str
    """In words, such as ``label``."""


def check_available() -> None:
    """Raise `UsageError` where pictures can't be drawn, before time is spent."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise UsageError('pictures need matplotlib: pip install "moodzone[trainer]"') from error


def confusion_matrix(truth: Ranks, answer: Ranks, path: Path) -> None:
    """Counts and shares of each label's tracks, of ranks [N]."""
    counts = np.zeros((len(ZONES), len(ZONES)), int)
    np.add.at(counts, (truth, answer), 1)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    figure, axes = _figure(5.2, 4.6)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(counts.shape):
        axes.text(
            column,
            row,
            f"{counts[row, column]:,}\n{shares[row, column]:.0%}" if totals[row, 0] else "0",
            ha="center",
            va="center",
            fontsize=13,
            fontweight="bold" if row == column else "normal",
            color="white" if shares[row, column] > 0.55 else _INK,
        )
    axes.set_xticks(range(len(ZONES)), list(map(str, ZONES)))
    axes.set_yticks(
        range(len(ZONES)), [f"{zone}\n({total:,})" for zone, total in zip(ZONES, totals[:, 0], strict=True)]
    )
    axes.set_xlabel("rated")
    axes.set_ylabel("label")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(len(ZONES) - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(len(ZONES) - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=3)
    axes.tick_params(which="minor", length=0)
    axes.set_title("Labels and what was rated")
    _save(figure, path)


def reliability_diagram(truth: Ranks, probabilities: FloatArray, path: Path) -> None:
    """Accuracy beside confidence in ten bins, with the tracks in each, of ranks [N] and probabilities [N, 3]."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    place = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    figure, (upper, lower) = _figure(5.2, 5.6, rows=2, height_ratios=[3, 1], sharex=True)
    upper.plot([0, 1], [0, 1], color="#888888", linestyle="--", linewidth=1, label="as it should be")
    bins = np.unique(place)
    means = [float(confidence[place == bin_].mean()) for bin_ in bins]
    reached = [float(right[place == bin_].mean()) for bin_ in bins]
    low, high = np.transpose(
        [
            wilson(share, np.sum(place == bin_), deviations=1)
            for share, bin_ in zip(reached, bins, strict=True)
        ]
    )
    errors = np.maximum(0, [reached - low, high - reached])
    colour = _LINES[0][0]
    upper.errorbar(
        means, reached, yerr=errors, color=colour, marker="o", capsize=3, label="right, ±1 standard error"
    )
    upper.set_ylim(-0.03, 1.03)
    upper.set_ylabel("share that is right")
    upper.legend(loc="best", frameon=False)
    upper.set_title("Does confidence mean what it says?")
    counts = np.bincount(place, minlength=_BINS)
    bars = lower.bar((np.arange(_BINS) + 0.5) / _BINS, counts, width=0.9 / _BINS, color=colour, alpha=0.6)
    lower.bar_label(bars, [f"{count:,}" if count else "" for count in counts], fontsize=8, padding=1)
    lower.set_ylim(0, max(1, counts.max()) * 1.3)
    lower.set_xlim(0.3, 1.0)
    lower.yaxis.get_major_locator().set_params(integer=True)
    lower.set_ylabel("tracks")
    lower.set_xlabel("confidence")
    for axes in (upper, lower):
        _tidy(axes)
    _save(figure, path)


def importance(items: Sequence[Importance], path: Path) -> None:
    """Families and the foremost features, by permutation, and by gain where the bundle has trees."""
    families = [item for item in items if item.is_family]
    features = [item for item in items if not item.is_family and item.rise][:_MOST_BARS]
    with_gain = any(item.gain is not None for item in items)
    figure, grid = _figure(9.0 if with_gain else 5.6, 7.6, rows=2, columns=2 if with_gain else 1)
    cells = np.atleast_1d(grid).reshape(2, -1)
    for row, (part, title) in enumerate(
        ((families, "Families of features"), (features, f"The {len(features)} foremost features"))
    ):
        _bars(
            cells[row, 0],
            [item.name for item in part],
            [item.rise for item in part],
            [item.spread for item in part],
        )
        cells[row, 0].set_title(title, loc="left")
        cells[row, 0].set_xlabel("rise of the log loss when shuffled")
        if with_gain:
            _bars(cells[row, 1], None, [item.gain or 0.0 for item in part])
            cells[row, 1].set_xlabel("share of the pretrained trees' gain")
            cells[row, 1].xaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    _save(figure, path)


def learning_curve(points: Sequence[Point], majority: float, path: Path) -> None:
    """Accuracy by number of labels, a curve for each strategy."""
    figure, axes = _figure(6.2, 4.4)
    names = list(dict.fromkeys(point.strategy for point in points))
    for name, (colour, dashes, mark) in zip(names, _LINES, strict=False):
        own = [point for point in points if point.strategy == name]
        counts = [point.labels for point in own]
        low, high = (np.array([point.accuracy + sign * point.error for point in own]) for sign in (-1, 1))
        axes.fill_between(counts, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(
            counts, [point.accuracy for point in own], color=colour, linestyle=dashes, marker=mark, label=name
        )
    axes.axhline(majority, color="#888888", linestyle=":", label="always the commonest zone")
    axes.set_xscale("log")
    ticks = sorted({point.labels for point in points})
    if len(ticks) > 1 and ticks[-1] < ticks[-2] * 1.25:  # their numbers would overlap
        del ticks[-2]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("labels to learn from")
    axes.set_ylabel("accuracy on artists not known")
    axes.set_title("Would more labels help? (band: ±1 standard error)")
    axes.legend(loc="best", frameon=False)
    _tidy(axes)
    _save(figure, path)


def zone_map(dots: Dots, cuts: Cuts, path: Path, *, tinted: bool) -> None:
    """Valence, arousal and zones; `tinted`: the cuts are the model's own, else they are drawn dashed as DEAM's."""
    figure, axes = _figure(6.4, 6.2)
    if tinted:
        _tint(axes, cuts)
    else:
        dashed = {"color": "#888888", "linestyle": "--", "linewidth": 1}
        axes.plot([_LOW, _HIGH], [cuts.yellow_max] * 2, **dashed, label="DEAM's cuts")
        axes.plot(
            [cuts.purple_min_valence, cuts.purple_min_valence, _HIGH],
            [_HIGH, *[cuts.purple_min] * 2],
            **dashed,
        )
    few = len(dots.ranks) <= 400
    for zone in ZONES:
        chosen = dots.ranks == zone.rank
        axes.scatter(
            dots.valence[chosen],
            dots.arousal[chosen],
            s=34 if few else 12,
            marker=_SHAPES[zone],
            color=COLOURS[zone],
            edgecolor=_INK,
            linewidth=0.6 if few else 0.3,
            alpha=0.9 if few else 0.6,
            label=f"{zone} ({int(chosen.sum()):,})",
            zorder=3,
        )
    axes.set_xlim(_LOW, _HIGH)
    axes.set_ylim(_LOW, _HIGH)
    axes.set_aspect("equal")
    axes.set_xlabel("valence: from negative to positive")
    axes.set_ylabel("arousal: from calm to excited")
    axes.set_title(f"{len(dots.ranks):,} tracks by {dots.coloured_by}")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=4, frameon=False)
    _tidy(axes, grid=False)
    _save(figure, path)


def _tint(axes: Any, cuts: Cuts) -> None:
    """The zones as regions, each with its name, hatched so that they differ without colour."""
    corner = max(cuts.purple_min, cuts.yellow_max)
    left = min(max(cuts.purple_min_valence, _LOW), _HIGH)
    regions = (
        (Zone.GREEN, (_LOW, _LOW), (_HIGH - _LOW, _HIGH - _LOW)),
        (Zone.YELLOW, (_LOW, _LOW), (_HIGH - _LOW, cuts.yellow_max - _LOW)),
        (Zone.PURPLE, (left, corner), (_HIGH - left, _HIGH - corner)),
    )
    from matplotlib.patches import Rectangle

    for zone, place, (width, height) in regions:
        axes.add_patch(Rectangle(place, width, height, facecolor=_TINTS[zone], edgecolor="none", zorder=0))
    names = (
        (Zone.YELLOW, _LOW + 0.15, _LOW + 0.15, "left", "bottom"),
        (Zone.GREEN, _LOW + 0.15, cuts.yellow_max + 0.15, "left", "bottom"),
        (Zone.PURPLE, _HIGH - 0.15, _HIGH - 0.15, "right", "top"),
    )
    for zone, x, y, across, along in names:
        axes.text(x, y, str(zone), ha=across, va=along, color=_INK, fontsize=9, fontweight="bold", alpha=0.7)


def _bars(
    axes: Any, names: Sequence[str] | None, values: Sequence[float], errors: Sequence[float] | None = None
) -> None:
    """Horizontal ones, the first on top."""
    places = np.arange(len(values))
    axes.barh(
        places, values, xerr=errors, color=_LINES[0][0], alpha=0.75, error_kw={"ecolor": _INK, "capsize": 2}
    )
    axes.set_yticks(places, names if names is not None else [""] * len(values))
    axes.set_ylim(len(values) - 0.4, -0.6)
    axes.axvline(0, color=_INK, linewidth=0.8)
    axes.tick_params(axis="y", length=0)
    _tidy(axes, grid=False)


def _figure(
    width: float, height: float, *, rows: int = 1, columns: int = 1, **options: Any
) -> tuple[Any, Any]:
    """Inches. Without pyplot, so that there is no window and no state."""
    check_available()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, **options)


def _tidy(axes: Any, *, grid: bool = True) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    if grid:
        axes.grid(color="#e5e5e5", linewidth=0.8)
        axes.set_axisbelow(True)


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, format="png", metadata={"Software": None})
