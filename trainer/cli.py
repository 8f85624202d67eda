"""``moodzone-train``: the offline trainer's command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moodzone_agent.errors import MoodZoneError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(
    name="moodzone-train",
    help="Train the models that moodzone runs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


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
    jobs: Annotated[int, typer.Option(help="Worker processes; 0 for one per processor.", min=0)] = 0,
    json_: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
) -> None:
    """Pretrain on DEAM and write a bundle with its figures."""
    from rich.console import Console

    from moodzone_agent.types import Cuts
    from moodzone_agent.workers import default_jobs
    from trainer.pretrain import pretrain as run

    console = Console(stderr=True)
    with _feature_progress(console) as progress:
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
    jobs: Annotated[int, typer.Option(help="Worker processes; 0 for one per processor.", min=0)] = 0,
) -> None:
    """Print what each family of features adds to the score on DEAM."""
    from rich.console import Console
    from rich.table import Table

    from moodzone_agent.workers import default_jobs
    from trainer.families import score_families

    console = Console(stderr=True)
    table = Table(
        "left out", "features", "arousal R²", "valence R²", title="5 folds by artist, kernel machines alone"
    )
    with _feature_progress(console) as progress:
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
    from trainer.filterbanks import FILTERBANKS, write_filterbanks

    write_filterbanks()
    sys.stdout.write(f"{FILTERBANKS}\n")


@app.command()
def tempo() -> None:
    """Fit the weights by which the agent tells tempo anew, on music made up for it (two minutes)."""
    from rich.console import Console

    from trainer.tempo import TEMPO_WEIGHTS, examples, fit, write_weights

    with _feature_progress(Console(stderr=True)) as progress:
        write_weights(fit(examples(progress=progress)))
    sys.stdout.write(f"{TEMPO_WEIGHTS}\n")


@contextmanager
def _feature_progress(console: Console) -> Iterator[Callable[[int, int], None]]:
    """A bar on the console while features are extracted; gives what is to be told (done, of)."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("features"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("features", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


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
        table.add_row(name, *(f"{_at(figures, keys):.3f}" for figures in (folds, lockbox)))
    console = Console()
    console.print(table)
    console.print(
        f"sure from a confidence of {manifest['sure_from']:.2f}: "
        f"{folds['sure_coverage']:.0%} of the songs, of which 80 % are right",
        highlight=False,
    )
    console.print(out, highlight=False, style="dim")


def _at(figures: dict[str, Any], keys: list[str]) -> float:
    value: Any = figures
    for key in keys:
        value = value[key]
    return float(value)


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
