"""``moodzone-train``: the offline trainer's command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from moodzone_agent.errors import MoodZoneError, UsageError

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
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from moodzone_agent.types import Cuts
    from moodzone_agent.workers import default_jobs
    from trainer.pretrain import pretrain as run

    console = Console(stderr=True)
    columns = (
        TextColumn("features"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("features", total=None)
        manifest = run(
            deam,
            out,
            seed=seed,
            cuts=Cuts(yellow_max, purple_min, purple_min_valence),
            jobs=jobs or default_jobs(),
            say=lambda line: console.print(line, highlight=False, markup=False),
            progress=lambda done, of: bar.update(task, completed=done, total=of),
        )
    if json_:
        sys.stdout.write(json.dumps(manifest) + "\n")
    else:
        _print_figures(manifest, out)


@app.command()
def filterbanks() -> None:
    """Regenerate the mel and chroma filterbanks that the agent carries (needs librosa)."""
    from trainer.filterbanks import FILTERBANKS, write_filterbanks

    write_filterbanks()
    sys.stdout.write(f"{FILTERBANKS}\n")


def _print_figures(manifest: dict[str, Any], out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{manifest['id']} in {out}")
    for name in ("", "arousal R²", "valence R²", "zone accuracy", "majority", "balanced", "PURPLE recall"):
        table.add_column(name, justify="left" if not name else "right")
    names = {"cv": "5 folds by artist", "lockbox": "lockbox, once"}
    for key, name in names.items():
        figures = manifest["metrics"][key]
        zone = figures["zone"]
        values = (
            figures["arousal"]["r2"],
            figures["valence"]["r2"],
            zone["accuracy"],
            zone["majority"],
            zone["balanced_accuracy"],
            zone["recall"]["PURPLE"],
        )
        table.add_row(name, *(f"{value:.3f}" for value in values))
    Console().print(table)


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
