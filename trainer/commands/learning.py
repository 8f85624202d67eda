"""The trainer's commands that compare ways to learn: experiment, suggest, benchmark."""

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
    DeamOption,
    JobsOption,
    MapOption,
    ModelOption,
    MusicOption,
    SeedOption,
    SkipMissingOption,
    UserWeightOption,
    WeakOption,
    progress_bars,
    tell,
)
from trainer.commands.shared import wanted as labels_wanted

if TYPE_CHECKING:
    from trainer.finetuning.experiment import Experiment


def experiment(
    data: DataOption = None,
    deam: DeamOption = None,
    base: ModelOption = None,
    user_weight: UserWeightOption = 3.0,
    seed: SeedOption = 0,
    json_: Annotated[bool, typer.Option("--json", help="Print every figure as JSON.")] = False,
    weak: WeakOption = None,
    music: MusicOption = None,
    maps: MapOption = None,
    alias: AliasOption = None,
    skip_missing: SkipMissingOption = False,
    cache: CacheOption = None,
    jobs: JobsOption = 0,
) -> None:
    """Compare all ways to fine-tune on your labels, by nested cross-validation, beside baselines."""
    from rich.console import Console

    from moodzone_agent.classify.registry import Registry
    from moodzone_agent.config import Places
    from moodzone_agent.workers import default_jobs
    from trainer.finetuning.experiment import experiment as run

    console = Console(stderr=True)
    in_use = Registry(Places.find().models).champion().bundle.manifest
    wanted = labels_wanted(data, weak, music, maps, alias, skip_missing=skip_missing, deam=deam)
    with progress_bars(console, "features", "strategies") as (extracting, training):
        found = run(
            wanted,
            base,
            user_weight=user_weight,
            seed=seed,
            salt=(in_use.get("holdout") or {}).get("salt"),
            cache=cache,
            jobs=jobs or default_jobs(),
            say=lambda line: tell(console, [line]),
            extracting=extracting,
            training=training,
        )
    if found.left_out:
        tell(
            console,
            [f"left out, since they train on DEAM's tracks, too: {', '.join(found.left_out)}; give --deam"],
        )
    if json_:
        sys.stdout.write(json.dumps(found.figures()) + "\n")
    else:
        _print_experiment(found)


def _print_experiment(found: Experiment) -> None:
    from rich.console import Console
    from rich.table import Table

    title = f"5 folds by artist, judged on {found.judged:,} labels; {found.held_out:,} held out took no part"
    table = Table(title=title)
    table.add_column("", no_wrap=True)
    for name in (
        "accuracy",
        "95 %",
        "balanced",
        "weighted F1",
        "macro F1",
        "PURPLE recall",
        "log loss",
        "coverage at 80 %",
        "to the first",
    ):
        table.add_column(name, justify="right")
    for row in found.rows:
        zone = row.zone
        first = row is found.rows[0]
        table.add_row(
            row.strategy,
            f"{zone.accuracy:.3f}",
            f"{zone.accuracy_low:.2f}-{zone.accuracy_high:.2f}",
            f"{zone.balanced_accuracy:.3f}",
            f"{zone.weighted_f1:.3f}",
            f"{zone.macro_f1:.3f}",
            f"{zone.recall['PURPLE']:.3f}",
            f"{row.reliability.log_loss:.3f}",
            f"{row.reliability.coverage_at_80:.0%}",
            "" if first else f"{row.difference:+.3f} ± {row.standard_error:.3f}",
        )
    console = Console()
    console.print(table)
    console.print(found.verdict(), highlight=False)


def suggest(
    data: DataOption = None,
    music: Annotated[
        list[Path] | None,
        typer.Option(help="Folders to suggest tracks from; the agent's library if none."),
    ] = None,
    count: Annotated[int, typer.Option(help="How many tracks.", min=1)] = 12,
    base: ModelOption = None,
    weak: WeakOption = None,
    maps: MapOption = None,
    alias: AliasOption = None,
    skip_missing: SkipMissingOption = False,
    cache: CacheOption = None,
    jobs: JobsOption = 0,
) -> None:
    """Print the tracks whose label would teach most, the foremost first."""
    from rich.console import Console

    from moodzone_agent.config import Places
    from moodzone_agent.console import printable
    from moodzone_agent.workers import default_jobs
    from trainer.finetuning.suggest import suggest as run

    console = Console(stderr=True)
    wanted = labels_wanted(data, weak, music, maps, alias, skip_missing=skip_missing)
    with progress_bars(console, "features") as (progress,):
        found = run(
            wanted,
            Places.find().library,
            base,
            count=count,
            cache=cache,
            jobs=jobs or default_jobs(),
            say=lambda line: tell(console, [line]),
            progress=progress,
        )
    if not found:
        tell(console, ["every track that is analysed has a label"])
    for suggestion in found:
        sys.stdout.write(f"{printable(suggestion.path)}\n")


def benchmark(
    deam: Annotated[Path, typer.Option(help="DEAM in its official layout.", exists=True, file_okay=False)],
    split: Annotated[
        Path | None,
        typer.Option(
            help="Folder with Music2Emo's train.txt, validation.txt and test.txt.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    json_: Annotated[Path | None, typer.Option("--json", help="Write every figure to this file.")] = None,
    seed: SeedOption = 0,
    repeats: Annotated[
        int, typer.Option(help="Divisions of the stand-in's songs into folds to average over.", min=1)
    ] = 3,
    cache: CacheOption = None,
    jobs: JobsOption = 0,
) -> None:
    """Print what the model and the ways to fine-tune it reach on DEAM, as tables, beside what was aimed at."""
    from rich.console import Console

    from moodzone_agent.workers import default_jobs
    from trainer.judgement.benchmark import benchmark as run
    from trainer.judgement.benchmark import markdown

    console = Console(stderr=True)
    if json_ is not None and not json_.absolute().parent.is_dir():  # better said before minutes of work
        raise UsageError(f"--json {json_} can't be written: there is no folder {json_.absolute().parent}")
    with progress_bars(console, "features", "models") as (extracting, training):
        found = run(
            deam,
            split,
            seed=seed,
            repeats=repeats,
            cache=cache,
            jobs=jobs or default_jobs(),
            say=lambda line: tell(console, [line]),
            extracting=extracting,
            training=training,
        )
    if json_ is not None:
        _write_json(json_, found.figures())
    sys.stdout.write(markdown(found))


def _write_json(path: Path, figures: dict[str, Any]) -> None:
    try:
        path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--json {path} can't be written ({error.strerror}): name another file") from error
