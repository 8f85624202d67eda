"""``moodzone-train``: the offline trainer's command line."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moodzone_agent.errors import MoodZoneError, UsageError
from trainer.commands import finetune as cli_finetune
from trainer.commands import judging as cli_judging
from trainer.commands import learning as cli_learning
from trainer.commands.shared import (
    LABELS_HELP,
    AliasOption,
    CacheOption,
    JobsOption,
    MapOption,
    MusicOption,
    SkipMissingOption,
    WeakOption,
    feature_progress,
    figure_at,
    tell,
)
from trainer.commands.shared import wanted as labels_wanted

if TYPE_CHECKING:
    from rich.table import Table


app = typer.Typer(
    name="moodzone-train",
    help="Train the models that moodzone runs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


class Method(StrEnum):
    """What a row of extracted features stands for."""

    FRAMES = "frames"
    TRACKS = "tracks"


@app.callback()
def _train() -> None:
    """Train the models that moodzone runs."""


@app.command()
def pretrain(
    deam: Annotated[Path, typer.Option(help="DEAM in its official layout.", exists=True, file_okay=False)],
    out: Annotated[Path, typer.Option(help="Folder of the new bundle; an old bundle there is replaced.")],
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    yellow_max: Annotated[float, typer.Option(help="Arousal below this is YELLOW.")] = 4.0,
    purple_min: Annotated[float, typer.Option(help="Arousal above this can be PURPLE.")] = 6.0,
    purple_min_valence: Annotated[float, typer.Option(help="Valence that PURPLE needs.")] = 4.5,
    jobs: JobsOption = 0,
    json_: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
) -> None:
    """Pretrain on DEAM and write a bundle with its figures."""
    from rich.console import Console

    from moodzone_agent.types import Cuts
    from moodzone_agent.workers import default_jobs
    from trainer.pretraining.pretrain import pretrain as run

    console = Console(stderr=True)
    with feature_progress(console) as progress:
        manifest = run(
            deam,
            out,
            seed=seed,
            cuts=Cuts(yellow_max, purple_min, purple_min_valence),
            jobs=jobs or default_jobs(),
            say=lambda line: console.print(line, highlight=False, markup=False),
            progress=progress,
        )
    if json_:
        sys.stdout.write(json.dumps(manifest) + "\n")
    else:
        _print_figures(manifest, out)


@app.command()
def families(
    deam: Annotated[Path, typer.Option(help="DEAM in its official layout.", exists=True, file_okay=False)],
    repeats: Annotated[int, typer.Option(help="Divisions into folds to average over.", min=1)] = 3,
    jobs: JobsOption = 0,
) -> None:
    """Print what each family of features adds to the score on DEAM."""
    from rich.console import Console
    from rich.table import Table

    from moodzone_agent.workers import default_jobs
    from trainer.pretraining.families import score_families

    console = Console(stderr=True)
    table = Table(
        "left out", "features", "arousal R²", "valence R²", title="5 folds by artist, kernel machines alone"
    )
    with feature_progress(console) as progress:
        for score in score_families(
            deam,
            jobs=jobs or default_jobs(),
            repeats=repeats,
            say=lambda line: console.print(line, highlight=False, markup=False),
            progress=progress,
        ):
            if not score.left_out:
                every = score
                table.add_row("nothing", str(score.features), f"{score.arousal:.4f}", f"{score.valence:.4f}")
            else:
                table.add_row(
                    score.left_out,
                    str(score.features),
                    f"{score.arousal - every.arousal:+.4f}",
                    f"{score.valence - every.valence:+.4f}",
                )
    Console().print(table)


@app.command()
def members(
    deam: Annotated[Path, typer.Option(help="DEAM in its official layout.", exists=True, file_okay=False)],
    repeats: Annotated[int, typer.Option(help="Divisions into folds to average over.", min=1)] = 3,
    jobs: JobsOption = 0,
) -> None:
    """Print what the members of the pretrained model reach, alone and together, and those not taken."""
    from rich.console import Console
    from rich.table import Table

    from moodzone_agent.workers import default_jobs
    from trainer.pretraining.members import score_members

    console = Console(stderr=True)
    table = Table("mean of", "arousal R²", "valence R²", "zone accuracy", title="5 folds by artist")
    with feature_progress(console) as progress:
        for score in score_members(
            deam,
            jobs=jobs or default_jobs(),
            repeats=repeats,
            say=lambda line: console.print(line, highlight=False, markup=False),
            progress=progress,
        ):
            figures = (score.arousal, score.valence, score.accuracy)
            table.add_row(score.name, *("" if figure is None else f"{figure:.4f}" for figure in figures))
    Console().print(table)


@app.command()
def extract(
    source: Annotated[
        Path,
        typer.Option(
            "--input", help="A folder or file of music, or a list of them: a playlist or text file."
        ),
    ],
    output: Annotated[Path, typer.Option(help="The table, .parquet or .csv; an old one is replaced.")],
    method: Annotated[Method, typer.Option(help="A row for each track, or for each frame.")] = Method.TRACKS,
    frame_size: Annotated[float, typer.Option(help="Seconds; features are defined on frames of 0.5.")] = 0.5,
    cache: CacheOption = None,
    jobs: JobsOption = 0,
) -> None:
    """Extract features into a table. A run that was stopped goes on where it was; what is known isn't read again."""
    from rich.console import Console

    from moodzone_agent.features.spec import FRAME_SECONDS
    from moodzone_agent.workers import default_jobs
    from trainer.datasets import unified

    if frame_size != FRAME_SECONDS:
        raise UsageError(
            f"--frame-size {frame_size:g}: all features are defined on frames of {FRAME_SECONDS} s; leave it out"
        )
    console = Console(stderr=True)
    with feature_progress(console) as progress:
        into = unified.extract_frames_into if method is Method.FRAMES else unified.extract_tracks_into
        done = into(output, source, cache=cache, jobs=jobs or default_jobs(), progress=progress)
    tell(console, done.complaints)
    tell(console, [f"{done.rows:,} rows of {done.tracks:,} tracks in {output}"])
    if done.complaints:
        raise typer.Exit(1)


@app.command()
def dataset(
    output: Annotated[Path, typer.Option(help="The table, .parquet or .csv; an old one is replaced.")],
    deam: Annotated[
        Path | None, typer.Option(help="DEAM in its official layout.", exists=True, file_okay=False)
    ] = None,
    labels: Annotated[list[Path] | None, typer.Option(help=LABELS_HELP)] = None,
    weak: WeakOption = None,
    music: MusicOption = None,
    maps: MapOption = None,
    alias: AliasOption = None,
    skip_missing: SkipMissingOption = False,
    yellow_max: Annotated[float, typer.Option(help="DEAM's arousal below this is YELLOW.")] = 4.0,
    purple_min: Annotated[float, typer.Option(help="DEAM's arousal above this can be PURPLE.")] = 6.0,
    purple_min_valence: Annotated[float, typer.Option(help="Valence that DEAM's PURPLE needs.")] = 4.5,
    cache: CacheOption = None,
    jobs: JobsOption = 0,
) -> None:
    """Put DEAM and your labelled tracks into one table of features with their zones."""
    from rich.console import Console

    from moodzone_agent.types import Cuts
    from moodzone_agent.workers import default_jobs
    from trainer.datasets import unified

    console = Console(stderr=True)
    wanted = labels_wanted(
        labels, weak, music, maps, alias, skip_missing=skip_missing, deam=deam, needed=False
    )
    wanted = replace(wanted, cuts=Cuts(yellow_max, purple_min, purple_min_valence))
    with feature_progress(console) as progress:
        done = unified.unify_into(
            output,
            wanted,
            cache=cache,
            jobs=jobs or default_jobs(),
            progress=progress,
            say=lambda line: tell(console, [line]),
        )
    tell(console, [*done.complaints, f"{done.rows:,} tracks in {output}"])


@app.command()
def show(
    bundle: Annotated[
        Path | None,
        typer.Argument(help="Folder of a bundle; the one that ships if none.", show_default=False),
    ] = None,
) -> None:
    """Print the figures in a bundle's manifest."""
    from moodzone_agent.classify.bundle import PRETRAINED, load_bundle

    folder = bundle or PRETRAINED
    _print_figures(load_bundle(folder).manifest, folder)


@app.command()
def filterbanks() -> None:
    """Regenerate the mel and chroma filterbanks that the agent carries (needs librosa)."""
    from trainer.pretraining.filterbanks import FILTERBANKS, write_filterbanks

    write_filterbanks()
    sys.stdout.write(f"{FILTERBANKS}\n")


@app.command()
def tempo() -> None:
    """Fit the weights by which the agent tells tempo anew, on music made up for it (two minutes)."""
    from rich.console import Console

    from trainer.pretraining.tempo import TEMPO_WEIGHTS, examples, fit, write_weights

    with feature_progress(Console(stderr=True)) as progress:
        write_weights(fit(examples(progress=progress)))
    sys.stdout.write(f"{TEMPO_WEIGHTS}\n")


def _print_figures(manifest: dict[str, Any], out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    folds, lockbox = (manifest["metrics"][key] for key in ("cv", "lockbox"))
    table = Table(title=f"{manifest['id']}, trained on {manifest['trained_on']['songs']:,} songs of DEAM")
    table.add_column("")
    table.add_column(
        f"{manifest['metrics']['folds']} folds by artist\n{folds['zone']['songs']:,} songs", justify="right"
    )
    table.add_column(f"lockbox, once\n{lockbox['zone']['songs']:,} songs", justify="right")
    for name, *keys in (
        ("arousal R²", "arousal", "r2"),
        ("valence R²", "valence", "r2"),
        ("zone accuracy", "zone", "accuracy"),
        ("  of always answering the commonest", "zone", "majority"),
        ("zone balanced accuracy", "zone", "balanced_accuracy"),
        ("zone macro F1", "zone", "macro_f1"),
        ("zone weighted F1", "zone", "weighted_f1"),
        *((f"recall of {zone}", "zone", "recall", zone) for zone in manifest["zones"]),
        ("YELLOW taken for PURPLE or the reverse", "zone", "yellow_purple_confusions"),
    ):
        table.add_row(name, *(f"{figure_at(figures, keys):.3f}" for figures in (folds, lockbox)))
    console = Console()
    console.print(table)
    if "ribbon" in manifest["metrics"]:
        console.print(_ribbon_table(manifest["metrics"]["ribbon"]))
    console.print(
        f"sure from a confidence of {manifest['sure_from']:.2f}: "
        f"{folds['sure_coverage']:.0%} of the songs, of which 80 % are right",
        highlight=False,
    )
    console.print(out, highlight=False, style="dim")


def _ribbon_table(figures: dict[str, Any]) -> Table:
    from rich.table import Table

    names = {"cv": "folds by artist", "lockbox": "lockbox, once", "songs_2015": "of 2015"}
    parts = [part for part in names if part in figures]
    table = Table(title="Along the song: dynamic labels, -1 to 1, one per 0.5 s")
    table.add_column("", no_wrap=True)
    for part in parts:
        table.add_column(f"{names[part]}\n{figures[part]['songs']:,} songs", justify="right")
    ways = {"windows": "windows", "frames": "frame model", "combined": "combined", "mean": "mean of both"}
    for target in ("arousal", "valence"):
        for figure, title in {
            "rmse": "RMSE",
            "pearson": "Pearson",
            "ccc": "CCC",
            "within": "Pearson within songs",
        }.items():
            for way, name in ways.items():
                if figure != "within" or way == "frames":  # the others have its course, or none
                    values = (f"{figures[part][way][target][figure]:.3f}" for part in parts)
                    table.add_row(f"{target} {title}, {name}", *values)
    return table


for _command in (
    cli_finetune.finetune,
    cli_learning.experiment,
    cli_learning.suggest,
    cli_learning.benchmark,
    cli_judging.evaluate,
    cli_judging.analyze,
    cli_judging.zone_map,
):
    app.command()(_command)


def main() -> None:
    """Run; our own errors become one line and an exit code."""
    try:
        app(standalone_mode=True)
    except UsageError as error:
        sys.exit(_complain(error, 2))
    except MoodZoneError as error:
        sys.exit(_complain(error, 1))


def _complain(error: MoodZoneError, code: int) -> int:
    sys.stderr.write(f"moodzone-train: {error}\n")
    return code
