"""What the trainer's commands share: options on labels, progress, lines on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moodzone_agent.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from trainer.datasets.unified import Wanted

LABELS_HELP = "Your labels, of any kind that docs/training.md names. Several may be given; the last wins."

DataOption = Annotated[list[Path] | None, typer.Option("--data", help=LABELS_HELP)]
WeakOption = Annotated[
    list[Path] | None,
    typer.Option(help="The same, of sources that only hint at a zone; any label wins over them."),
]
MusicOption = Annotated[
    list[Path] | None,
    typer.Option(help="Folders with the music, by whose artists and titles labels are matched."),
]
MapOption = Annotated[
    list[str] | None,
    typer.Option("--map", help="OLD=NEW: another computer's folder, and the same one here."),
]
AliasOption = Annotated[list[str] | None, typer.Option(help="WORD=ZONE: what a word in your labels means.")]
SkipMissingOption = Annotated[bool, typer.Option("--skip-missing", help="Leave out labels without audio.")]
CacheOption = Annotated[
    Path | None, typer.Option(help="Where features are kept from run to run.", show_default=False)
]
JobsOption = Annotated[int, typer.Option(help="Worker processes; 0 for one per processor.", min=0)]
ModelOption = Annotated[
    Path | None,
    typer.Option(help="Folder of a bundle; the one that ships if none.", show_default=False),
]

DeamOption = Annotated[
    Path | None,
    typer.Option(
        help="DEAM in its official layout, for strategies that train on it, too.",
        exists=True,
        file_okay=False,
    ),
]
UserWeightOption = Annotated[float, typer.Option(help="Of a label beside one of DEAM's.", min=0.01)]
SeedOption = Annotated[int, typer.Option(help="Of everything random.", min=0)]


def wanted(
    data: list[Path] | None,
    weak: list[Path] | None,
    music: list[Path] | None,
    maps: list[str] | None,
    alias: list[str] | None,
    *,
    skip_missing: bool,
    deam: Path | None = None,
    needed: bool = True,
) -> Wanted:
    """What the options on labels ask for. Errors: `UsageError` without any labels, if they are `needed`."""
    from trainer.datasets.labels import parse_aliases
    from trainer.datasets.unified import Wanted
    from trainer.datasets.user import PathMap

    if needed and not (data or weak):
        raise UsageError("name your labels: --data FILE")
    return Wanted(
        deam=deam,
        labels=tuple(data or ()),
        weak=tuple(weak or ()),
        music=tuple(music or ()),
        maps=tuple(map(PathMap.parse, maps or ())),
        aliases=parse_aliases(alias or ()),
        skip_missing=skip_missing,
    )


@contextmanager
def progress_bars(console: Console, *names: str) -> Iterator[list[Callable[[int, int], None]]]:
    """Bars on the console, one for each name; gives what each is to be told (done, of)."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )

    def teller(task: TaskID) -> Callable[[int, int], None]:
        return lambda done, of: bar.update(task, completed=done, total=of)

    with Progress(*columns, console=console) as bar:
        yield [teller(bar.add_task(name, total=None)) for name in names]


@contextmanager
def feature_progress(console: Console) -> Iterator[Callable[[int, int], None]]:
    """A bar on the console while features are extracted; gives what is to be told (done, of)."""
    with progress_bars(console, "features") as (tell_progress,):
        yield tell_progress


def tell(console: Console, lines: list[str]) -> None:
    """Print lines as they are, without breaking them."""
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def figure_at(figures: dict[str, Any], keys: Sequence[str]) -> float:
    """A number in a manifest's nested figures."""
    value: Any = figures
    for key in keys:
        value = value[key]
    return float(value)
