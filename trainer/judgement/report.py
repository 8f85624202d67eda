"""A folder that tells how well a bundle does on labelled tracks: pictures, tables, and a page that shows them."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, Final, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.classify.bundle import PRETRAINED, Bundle, load_bundle
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.console import printable
from moodzone_agent.errors import BundleError, UsageError
from moodzone_agent.features.spec import FEATURES_VERSION
from moodzone_agent.library.store import Library
from moodzone_agent.types import ZONES, LabelOrigin
from trainer.finetuning.heads import Head
from trainer.finetuning.learning_curve import FOLDS, learning_curve, why_no_folds
from trainer.finetuning.strategies import STRATEGIES, USER_WEIGHT, Base, Labelled, held_out, load_base
from trainer.judgement import plots
from trainer.judgement.importance import Importance, measure
from trainer.judgement.judging import PARTS, Rated, bundle_cuts, evaluate, figure_rows
from trainer.judgement.mislabelled import suspects
from trainer.judgement.plots import Dots
from trainer.judgement.shift import Shift, domain_shift

EVALUATION: Final = "evaluation.json"
PAGE: Final = "report.md"
_KIND: Final = "moodzone report"
_FEWEST: Final = 12
"""Tracks, below which shuffling and folds say nothing."""
_REGRESSION: Final = ("r2", "rmse", "pearson", "ccc")
_DEAM_PARTS: Final = {"cv": "folds by artist", "lockbox": "lockbox"}
_SHOWN: Final = 15
"""Lines of a table that the page shows; the file has all."""

Say = Callable[[str], None]


@dataclass
class _Page:
    """The page while it is written, and the files beside it."""

    folder: Path
    lines: list[str] = field(default_factory=list)

    def section(self, title: str, *sentences: str) -> None:
        self.lines += [f"## {title}", ""]
        self.say(*sentences)

    def say(self, *sentences: str) -> None:
        for sentence in sentences:
            self.lines += [sentence, ""]

    def picture(self, name: str, what: str, draw: Callable[[Path], None]) -> None:
        draw(self.folder / name)
        self.say(f"![{what}]({name})")

    def table(self, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        self.lines += [_row(header), _row(["---"] * len(header)), *map(_row, rows), ""]

    def csv(self, name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        with (self.folder / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows(["" if cell is None else cell for cell in row] for row in rows)


def analyse(rated: Rated, output: Path, *, say: Say) -> dict[str, Any]:
    """Write the report; returns the evaluation. What can't be made is left out, and the page says why.

    An old report there is replaced; errors: `UsageError` for a folder that holds anything else, or without matplotlib.
    """
    plots.check_available()
    check_replaceable(output)
    evaluation = evaluate(rated)
    with new_folder(output) as folder:
        page = _Page(folder)
        _figures(page, evaluation)
        _pictures(page, rated)
        base = _base(rated.bundle)
        say("shuffling features …")
        _importance(page, rated, base)
        _shift(page, rated, base)
        say("training on ever more labels …")
        _learning(page, rated, base)
        _by_source(page, evaluation)
        _errors(page, rated)
        _mislabelled(page, rated, base)
        (folder / PAGE).write_text("\n".join(page.lines), encoding="utf-8")
        files = sorted([*(path.name for path in folder.iterdir()), EVALUATION])
        stored = {"kind": _KIND, **evaluation, "files": files}
        (folder / EVALUATION).write_text(
            json.dumps(stored, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
        )
    return evaluation


def check_replaceable(output: Path) -> None:
    """Raise `UsageError` unless there is nothing, an empty folder, or a report of ours with nothing added."""
    if not output.exists():
        return
    if not output.is_dir():
        raise UsageError(f"--output {printable(output)} is a file: name a folder")
    present = {path.name for path in output.iterdir()}
    if not present:
        return
    try:
        stored = json.loads((output / EVALUATION).read_text(encoding="utf-8"))
        ours = set(stored["files"]) if stored["kind"] == _KIND else None
    except (OSError, ValueError, KeyError, TypeError):
        ours = None
    if ours is None:
        raise UsageError(
            f"--output {printable(output)} holds something that is no report: name another folder"
        )
    if present - ours:
        added = ", ".join(printable(name) for name in sorted(present - ours))
        raise UsageError(
            f"--output {printable(output)} holds what isn't of the report ({added}): move it, or name another folder"
        )


@contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of the one at `output` once all went well."""
    output = output.absolute()
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as room:
        made, old = Path(room) / "new", Path(room) / "old"
        made.mkdir()
        yield made
        if output.exists():
            output.rename(old)
        try:
            made.rename(output)
        except OSError:
            if old.exists():
                old.rename(output)
            raise


def draw_zone_map(dots: Dots, bundle: Bundle, output: Path) -> None:
    """Write the picture; an old one is replaced in one step. Errors: `UsageError`."""
    check_picture(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.absolute().parent, prefix=f".{output.stem}-") as room:
        made = Path(room) / output.name
        plots.zone_map(dots, bundle_cuts(bundle), made, tinted=bundle.head_model is None)
        made.replace(output)


def check_picture(output: Path) -> None:
    """Raise `UsageError` unless a picture can be drawn and put there."""
    plots.check_available()
    if output.suffix.lower() != ".png":
        raise UsageError(f"--output {printable(output)}: pictures are PNG, so let its name end in .png")
    if output.is_dir():
        raise UsageError(f"--output {printable(output)} is a folder: name a file")


def dots_by_label(rated: Rated) -> Dots:
    """The labelled tracks in the plane."""
    arousal, valence = (
        np.array([getattr(estimate, name) for estimate in rated.estimates]) for name in ("arousal", "valence")
    )
    return Dots(arousal, valence, rated.ranks, "label")


def dots_of_library(path: Path, bundle: Bundle) -> Dots:
    """Every track that was analysed there, as the bundle rates it; what it rated already isn't rated again.

    Errors: `UsageError` where there is none; `LibraryError`, `BundleError`.
    """
    if not path.is_file():
        raise UsageError(f"--library {printable(path)} is no file; moodzone doctor names the library")
    model = ZoneModel(bundle, bundle_cuts(bundle))
    points = []
    with Library.open(path, read_only=True) as library:
        for track in library.tracks():
            estimate = track.estimate
            if estimate is None or estimate.model != model.model_id:
                analysis = library.analysis(track.audio_id, FEATURES_VERSION)
                if analysis is None:
                    continue
                estimate = model.estimate(analysis.windows, model.rate(analysis.windows))
            points.append((estimate.arousal, estimate.valence, estimate.zone.rank))
    if not points:
        raise UsageError(f"{printable(path)} holds no analysed track: run moodzone scan first")
    arousal, valence, ranks = (np.array(values) for values in zip(*points, strict=True))
    return Dots(arousal, valence, ranks, "rating")


def _figures(page: _Page, evaluation: Mapping[str, Any]) -> None:
    labels = evaluation["labels"]
    zones = ", ".join(f"{count:,} {zone}" for zone, count in labels["zones"].items())
    page.lines += [f"# How well {evaluation['model']} does on {labels['tracks']:,} labelled tracks", ""]
    page.say(f"Labels: {zones}.")
    page.say(*(f"**{note}**" for note in evaluation["notes"]))
    page.section("Figures")
    page.table(["", *PARTS.values()], [(name, *values) for name, values in figure_rows(evaluation)])
    for part, title in PARTS.items():
        why = evaluation["parts"][part].get("left_out")
        if why:
            page.say(f"Nothing for *{title}*: {why}.")
    page.say(
        "*Coverage at 80 % accuracy*: the share of the tracks, the most confident ones, of which 80 % are right. "
        "*Expected rank*: the probabilities as one number, 0 for YELLOW to 2 for PURPLE."
    )
    pretrained = evaluation["pretrained"]
    if pretrained:
        page.say(
            "Zones can't judge arousal and valence. These are their figures on DEAM, from when it was trained:"
        )
        page.table(
            ("", "R²", "RMSE", "Pearson", "CCC"),
            [
                (f"{target}, {_DEAM_PARTS[part]}", *(f"{of[target][key]:.3f}" for key in _REGRESSION))
                for part, of in pretrained.items()
                for target in of
            ],
        )
    page.section("Targets", "Judged on the bundle's holdout alone.")
    page.table(
        ("figure", "over", "reached", "verdict"),
        [
            (
                target["figure"],
                f"{target['over']:.2f}",
                "–" if target["reached"] is None or not evaluation["claimed"] else f"{target['reached']:.3f}",
                target["verdict"],
            )
            for target in evaluation["targets"]
        ],
    )


def _pictures(page: _Page, rated: Rated) -> None:
    # Tracks that were learned from would flatter; where others are too few, better all than none.
    fresh = ~rated.trained_on
    which = "all labelled tracks"
    chosen = np.ones(len(fresh), np.bool_)
    if rated.trained_on.any() and fresh.sum() >= _FEWEST:
        which, chosen = f"the {int(fresh.sum()):,} tracks that the model was not trained on", fresh
    truth, probabilities = rated.ranks[chosen], rated.probabilities[chosen]
    page.section("Confusions", f"Of {which}. A row is a label, a column what the model made of it.")
    answer = probabilities.argmax(axis=1)
    page.picture("confusion_matrix.png", "Confusion matrix", partial(plots.confusion_matrix, truth, answer))
    page.section(
        "Reliability",
        f"Of {which}. Points below the dashed line: the model is more confident than it is right.",
    )
    page.picture(
        "reliability.png", "Reliability diagram", partial(plots.reliability_diagram, truth, probabilities)
    )
    page.section(
        "The plane", "Each track where the model hears its valence and arousal, coloured by its label."
    )
    tinted = rated.bundle.head_model is None
    if not tinted:
        page.say("The head draws its borders by more than these two, so only DEAM's are shown.")
    draw = partial(plots.zone_map, dots_by_label(rated), bundle_cuts(rated.bundle), tinted=tinted)
    page.picture("zone_map.png", "Valence and arousal", draw)


def _base(bundle: Bundle) -> Base | None:
    """The bundle's own, or else that of the bundle that ships."""
    for folder in (bundle.folder, PRETRAINED):
        try:
            return load_base(load_bundle(folder))
        except BundleError:
            continue
    return None


def _importance(page: _Page, rated: Rated, base: Base | None) -> None:
    page.section("What the model relies on")
    why = _too_few(rated.ranks)
    if why:
        page.say(why)
        return
    items = measure(rated.bundle, rated.data.labelled.rows, rated.ranks, base.booster if base else None)
    names = [item.name for item in fields(Importance)]
    page.csv("feature_importance.csv", names, map(astuple, items))
    seen = (
        "the rows that its head sees"
        if rated.bundle.head_model is not None
        else "the mean of each track's windows, as one window"
    )
    page.say(
        "How much worse the model gets (log loss) when a feature's values are shuffled among the tracks, on "
        f"{seen}. Features that say the same share their importance, so that each may seem to have little; a family is "
        "shuffled together. [All of them](feature_importance.csv)."
    )
    if base is None:
        page.say("There are no pretrained trees in the bundle, so there is no gain.")
    else:
        page.say("The gain is of the pretrained trees (`zones.ubj`), which fine-tuning starts from.")
    page.picture("feature_importance.png", "Importance", partial(plots.importance, items))


def _shift(page: _Page, rated: Rated, base: Base | None) -> None:
    page.section("How this music differs from DEAM's")
    if base is None:
        page.say("The bundle has no `scores.npz`, which holds DEAM's quantiles.")
        return
    shifts = domain_shift(base.scores, rated.windows)
    page.csv("domain_shift.csv", [item.name for item in fields(Shift)], map(astuple, shifts))
    page.say(
        "Of windows of 10 s. The shift is in DEAM's spreads (half the distance of the quantiles at 16 and 84 %); "
        "where many lie beyond DEAM's outermost quantiles (6 % of its own do), the model guesses. "
        "[All features](domain_shift.csv)."
    )
    page.table(
        ("feature", "DEAM's mean", "yours", "DEAM's median", "yours", "ratio", "shift", "beyond"),
        [
            (
                item.feature,
                *(f"{value:.4g}" for value in (item.deam_mean, item.user_mean)),
                *(f"{value:.4g}" for value in (item.deam_median, item.user_median)),
                "–" if item.ratio is None else f"{item.ratio:.2f}",
                "–" if item.shift is None else f"{item.shift:+.2f}",
                f"{item.outside:.0%}",
            )
            for item in shifts[:_SHOWN]
        ],
    )


def _learning(page: _Page, rated: Rated, base: Base | None) -> None:
    page.section("Would more labels help?")
    strong = np.flatnonzero([track.origin is not LabelOrigin.WEAK for track in rated.data.tracks])
    labels = rated.data.labelled.only(strong)
    why = _why_no_heads(labels, base)
    if base is None or why:
        page.say(why)
        return
    points = learning_curve(labels, base)
    if not points:
        page.say("There are too few labels: four of five folds must hold 12 or more.")
        return
    page.say(
        "Heads trained on ever more of these labels, weak ones apart, judged on artists they don't know. A curve that "
        "still rises at its right end says: label more."
    )
    majority = float(np.bincount(labels.ranks).max() / len(labels))
    page.picture("learning_curve.png", "Learning curve", partial(plots.learning_curve, points, majority))


def _by_source(page: _Page, evaluation: Mapping[str, Any]) -> None:
    page.section("By where the labels come from")
    name = "accuracy" if evaluation["claimed"] else "agreement (no claim)"
    page.table(
        ("labels", "tracks", name, "95 % interval"),
        [
            (
                origin,
                f"{part['tracks']:,}",
                f"{part['accuracy']:.3f}",
                f"{part['accuracy_low']:.3f} to {part['accuracy_high']:.3f}",
            )
            for origin, part in evaluation["by_source"].items()
        ],
    )


def _errors(page: _Page, rated: Rated) -> None:
    page.section("Errors", "The most confident ones first.")
    answer = rated.probabilities.argmax(axis=1)
    for zone in ZONES:
        wrong = np.flatnonzero((rated.ranks == zone.rank) & (answer != zone.rank))
        of = int(np.sum(rated.ranks == zone.rank))
        if not wrong.size:
            page.say(f"{zone}: none of {of:,}.")
            continue
        wrong = wrong[np.argsort(rated.probabilities[wrong, zone.rank], kind="stable")]
        name = f"errors_{zone.lower()}.csv"
        page.csv(
            name,
            ("path", "label", "rated", *_PROBABILITIES, "origin", "trained_on"),
            [
                (
                    *(_path(rated, place), zone, ZONES[answer[place]], *_rounded(rated.probabilities[place])),
                    str(rated.data.tracks[place].origin),
                    "yes" if rated.trained_on[place] else "no",
                )
                for place in wrong
            ],
        )
        page.say(f"{zone}: [{wrong.size:,} of {of:,}]({name}).")
        page.table(
            ("track", "rated", "YELLOW / GREEN / PURPLE"),
            [
                (
                    _code(Path(_path(rated, place)).name),
                    str(ZONES[answer[place]]),
                    " / ".join(f"{chance:.2f}" for chance in rated.probabilities[place]),
                )
                for place in wrong[:_SHOWN]
            ],
        )


def _mislabelled(page: _Page, rated: Rated, base: Base | None) -> None:
    page.section("Likely mislabelled")
    why = _why_no_heads(rated.data.labelled, base)
    if base is None or why:
        page.say(why)
        return

    def fit(labels: Labelled) -> Head:
        return STRATEGIES["transfer"].fit(labels, base, USER_WEIGHT, 0)

    said = held_out(fit, rated.data.labelled, folds=FOLDS, seed=0)
    found = suspects(rated.ranks, said)
    page.csv(
        "mislabelled.csv",
        ("path", "label", "suggested", "margin", *_PROBABILITIES, "origin"),
        [
            (
                *(_path(rated, item.place), ZONES[rated.ranks[item.place]], ZONES[item.suggested]),
                *(round(item.margin, 4), *_rounded(said[item.place])),
                str(rated.data.tracks[item.place].origin),
            )
            for item in found
        ],
    )
    page.say(
        f"[{len(found):,} of {len(rated.ranks):,} labels](mislabelled.csv) are contradicted by heads that were "
        "trained on tracks of other artists (confident learning, Northcutt et al. 2021). Listen to them "
        "before you change one: an odd track isn't a wrong label."
    )
    if found:
        page.table(
            ("track", "label", "likelier", "margin"),
            [
                (
                    _code(Path(_path(rated, item.place)).name),
                    str(ZONES[rated.ranks[item.place]]),
                    str(ZONES[item.suggested]),
                    f"{item.margin:+.2f}",
                )
                for item in found[:_SHOWN]
            ],
        )


_PROBABILITIES: Final = tuple(str(zone).lower() for zone in ZONES)


def _too_few(ranks: NDArray[np.intp]) -> str:
    """Why nothing can be learned or shuffled; empty if it can."""
    if len(ranks) < _FEWEST:
        return f"{len(ranks)} labelled tracks are too few; {_FEWEST} are needed."
    if np.ptp(ranks) == 0:
        return "All tracks have the same label; another zone is needed."
    return ""


def _why_no_heads(labels: Labelled, base: Base | None) -> str:
    """Why none can be trained and judged by folds; empty if they can."""
    if base is None:
        return "The bundle has no parts to train heads from."
    return _too_few(labels.ranks) or why_no_folds(labels)


def _path(rated: Rated, place: SupportsIndex) -> str:
    return printable(rated.data.tracks[place].path)


def _rounded(chances: NDArray[np.float64]) -> list[float]:
    return [round(float(chance), 4) for chance in chances]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _code(name: str) -> str:
    """A file's name, whatever it holds, as one cell of a table."""
    return f"`{name.replace('`', chr(39))}`".replace("|", "\\|")
