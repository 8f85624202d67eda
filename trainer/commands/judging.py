"""The trainer's commands that judge a bundle on labelled tracks: evaluate, analyze, zone-map."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moodzone_agent.errors import UsageError
from trainer.commands.shared import (
    AliasOption,
    CacheOption,
    DataOption,
    JobsOption,
    MapOption,
    ModelOption,
    MusicOption,
    SkipMissingOption,
    WeakOption,
    feature_progress,
    tell,
)
from trainer.commands.shared import wanted as labels_wanted

if TYPE_CHECKING:
    from moodzone_agent.classify.bundle import Bundle
    from trainer.datasets.unified import Wanted
    from trainer.judgement.judging import Rated


def evaluate(
    data: DataOption = None,
    model: ModelOption = None,
    weak: WeakOption = None,
    music: MusicOption = None,
    maps: MapOption = None,
    alias: AliasOption = None,
    skip_missing: SkipMissingOption = False,
    cache: CacheOption = None,
    jobs: JobsOption = 0,
    json_: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Rate your labelled tracks with a bundle, and print how well it does."""
    from trainer.judgement import judging

    wanted = labels_wanted(data, weak, music, maps, alias, skip_missing=skip_missing)
    figures = judging.evaluate(_rated(wanted, model, cache=cache, jobs=jobs))
    if json_:
        sys.stdout.write(json.dumps(figures, allow_nan=False) + "\n")
    else:
        _print_evaluation(figures)


def analyze(
    output: Annotated[Path, typer.Option(help="Folder of the report; an old report there is replaced.")],
    data: DataOption = None,
    model: ModelOption = None,
    weak: WeakOption = None,
    music: MusicOption = None,
    maps: MapOption = None,
    alias: AliasOption = None,
    skip_missing: SkipMissingOption = False,
    cache: CacheOption = None,
    jobs: JobsOption = 0,
) -> None:
    """Write a report with pictures on how well a bundle does on your labelled tracks, and where it errs."""
    from rich.console import Console

    from trainer.judgement import plots, report

    plots.check_available()
    report.check_replaceable(output)
    wanted = labels_wanted(data, weak, music, maps, alias, skip_missing=skip_missing)
    rated = _rated(wanted, model, cache=cache, jobs=jobs)
    console = Console(stderr=True)
    figures = report.analyse(rated, output, say=lambda line: tell(console, [line]))
    _print_evaluation(figures)
    tell(console, [f"{output / report.PAGE}"])


def zone_map(
    output: Annotated[Path, typer.Option(help="The picture, .png; an old one is replaced.")],
    data: DataOption = None,
    library: Annotated[
        Path | None,
        typer.Option(
            help="The agent's library, whose tracks are all shown, coloured by rating; moodzone doctor names it.",
            show_default=False,
        ),
    ] = None,
    model: ModelOption = None,
    weak: WeakOption = None,
    music: MusicOption = None,
    maps: MapOption = None,
    alias: AliasOption = None,
    skip_missing: SkipMissingOption = False,
    cache: CacheOption = None,
    jobs: JobsOption = 0,
) -> None:
    """Draw the plane of valence and arousal with the zones and your tracks."""
    from rich.console import Console

    from trainer.judgement import report

    report.check_picture(output)
    wanted = labels_wanted(data, weak, music, maps, alias, skip_missing=skip_missing, needed=library is None)
    bundle = _bundle(model)
    if library is None:
        dots = report.dots_by_label(_rated(wanted, model, cache=cache, jobs=jobs))
    elif wanted.labels or wanted.weak:
        raise UsageError("give --data to see labels, or --library to see ratings, not both")
    else:
        dots = report.dots_of_library(library, bundle)
    report.draw_zone_map(dots, bundle, output)
    tell(Console(stderr=True), [f"{len(dots.ranks):,} tracks in {output}"])


def _bundle(model: Path | None) -> Bundle:
    from moodzone_agent.classify.bundle import PRETRAINED, load_bundle

    return load_bundle(model or PRETRAINED)


def _rated(wanted: Wanted, model: Path | None, *, cache: Path | None, jobs: int) -> Rated:
    """The labelled tracks with what the bundle says of them; what became of the labels is told."""
    from rich.console import Console

    from moodzone_agent.workers import default_jobs
    from trainer.datasets.store import open_cache
    from trainer.datasets.unified import label_tracks, read_all
    from trainer.judgement.judging import rate_labelled

    bundle = _bundle(model)
    label_files = read_all(wanted)
    console = Console(stderr=True)
    with open_cache(cache) as library:
        with feature_progress(console) as progress:
            labels = label_tracks(
                library, label_files, wanted, jobs=jobs or default_jobs(), progress=progress
            )
        labels.report.check(skip_missing=wanted.skip_missing)
        tell(console, labels.report.lines())
        return rate_labelled(labels, library, bundle)


def _print_evaluation(figures: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from trainer.judgement.judging import PARTS, figure_rows

    table = Table(title=f"{figures['model']} on {figures['labels']['tracks']:,} labelled tracks")
    table.add_column("", no_wrap=True)
    for title in PARTS.values():
        table.add_column(title.replace(" or ", " or\n"), justify="right", no_wrap=True)
    for name, values in figure_rows(figures):
        table.add_row(name, *values)
    console = Console()
    console.print(table)
    lines = [
        f"{PARTS[part]}: {why}"
        for part, held in figures["parts"].items()
        if (why := held.get("left_out")) is not None
    ]
    word = "accuracy" if figures["claimed"] else "agreement (no claim)"
    for origin, part in figures["by_source"].items():
        interval = f"{part['accuracy_low']:.3f} to {part['accuracy_high']:.3f}"
        lines.append(f"{origin}: {word} {part['accuracy']:.3f} ({interval}) of {part['tracks']:,}")
    for part, of_part in figures["pretrained"].items():
        lines += [
            f"DEAM, {part}: {target} R² {held['r2']:.3f}, RMSE {held['rmse']:.3f}, Pearson {held['pearson']:.3f}, "
            f"CCC {held['ccc']:.3f}"
            for target, held in of_part.items()
        ]
    for target in figures["targets"]:
        lines.append(
            f"target, {target['figure']} over {target['over']:.2f} on the holdout: {target['verdict']}"
        )
    tell(console, [*lines, *figures["notes"]])
