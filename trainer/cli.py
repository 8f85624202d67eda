"""``moodzone-train``: the offline trainer's command line."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moodzone_agent.errors import MoodZoneError, UsageError
from trainer import cli_finetune
from trainer.cli_shared import feature_progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from moodzone_agent.classify.bundle import Bundle
    from trainer.datasets.unified import Wanted
    from trainer.judging import Rated

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


_LABELS_HELP = "Your labels, of any kind that docs/training.md names. Several may be given; the last wins."

DataOption = Annotated[list[Path] | None, typer.Option("--data", help=_LABELS_HELP)]
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
    jobs: Annotated[int, typer.Option(help="Worker processes; 0 for one per processor.", min=0)] = 0,
) -> None:
    """Print what the members of the pretrained model reach, alone and together, and those not taken."""
    from rich.console import Console
    from rich.table import Table

    from moodzone_agent.workers import default_jobs
    from trainer.members import score_members

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
    cache: Annotated[
        Path | None, typer.Option(help="Where features are kept from run to run.", show_default=False)
    ] = None,
    jobs: Annotated[int, typer.Option(help="Worker processes; 0 for one per processor.", min=0)] = 0,
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
    _tell(console, done.complaints)
    _tell(console, [f"{done.rows:,} rows of {done.tracks:,} tracks in {output}"])
    if done.complaints:
        raise typer.Exit(1)


@app.command()
def dataset(
    output: Annotated[Path, typer.Option(help="The table, .parquet or .csv; an old one is replaced.")],
    deam: Annotated[
        Path | None, typer.Option(help="DEAM in its official layout.", exists=True, file_okay=False)
    ] = None,
    labels: Annotated[list[Path] | None, typer.Option(help=_LABELS_HELP)] = None,
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
    from trainer.datasets.labels import parse_aliases
    from trainer.datasets.user import PathMap

    console = Console(stderr=True)
    wanted = unified.Wanted(
        deam=deam,
        labels=tuple(labels or ()),
        weak=tuple(weak or ()),
        music=tuple(music or ()),
        maps=tuple(map(PathMap.parse, maps or ())),
        aliases=parse_aliases(alias or ()),
        cuts=Cuts(yellow_max, purple_min, purple_min_valence),
        skip_missing=skip_missing,
    )
    with feature_progress(console) as progress:
        done = unified.unify_into(
            output,
            wanted,
            cache=cache,
            jobs=jobs or default_jobs(),
            progress=progress,
            say=lambda line: _tell(console, [line]),
        )
    _tell(console, [*done.complaints, f"{done.rows:,} tracks in {output}"])


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

    with feature_progress(Console(stderr=True)) as progress:
        write_weights(fit(examples(progress=progress)))
    sys.stdout.write(f"{TEMPO_WEIGHTS}\n")


@app.command()
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
    from trainer import judging

    wanted = _wanted(data, weak, music, maps, alias, skip_missing=skip_missing)
    figures = judging.evaluate(_rated(wanted, model, cache=cache, jobs=jobs))
    if json_:
        sys.stdout.write(json.dumps(figures, allow_nan=False) + "\n")
    else:
        _print_evaluation(figures)


@app.command()
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

    from trainer import plots, report

    plots.check_available()
    report.check_replaceable(output)
    wanted = _wanted(data, weak, music, maps, alias, skip_missing=skip_missing)
    rated = _rated(wanted, model, cache=cache, jobs=jobs)
    console = Console(stderr=True)
    figures = report.analyse(rated, output, say=lambda line: _tell(console, [line]))
    _print_evaluation(figures)
    _tell(console, [f"{output / report.PAGE}"])


@app.command()
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

    from trainer import report

    report.check_picture(output)
    wanted = _wanted(data, weak, music, maps, alias, skip_missing=skip_missing, needed=library is None)
    bundle = _bundle(model)
    if library is None:
        dots = report.dots_by_label(_rated(wanted, model, cache=cache, jobs=jobs))
    elif wanted.labels or wanted.weak:
        raise UsageError("give --data to see labels, or --library to see ratings, not both")
    else:
        dots = report.dots_of_library(library, bundle)
    report.draw_zone_map(dots, bundle, output)
    _tell(Console(stderr=True), [f"{len(dots.ranks):,} tracks in {output}"])


def _wanted(
    data: list[Path] | None,
    weak: list[Path] | None,
    music: list[Path] | None,
    maps: list[str] | None,
    alias: list[str] | None,
    *,
    skip_missing: bool,
    needed: bool = True,
) -> Wanted:
    from trainer.datasets.labels import parse_aliases
    from trainer.datasets.unified import Wanted
    from trainer.datasets.user import PathMap

    if needed and not (data or weak):
        raise UsageError("name your labels: --data FILE")
    return Wanted(
        labels=tuple(data or ()),
        weak=tuple(weak or ()),
        music=tuple(music or ()),
        maps=tuple(map(PathMap.parse, maps or ())),
        aliases=parse_aliases(alias or ()),
        skip_missing=skip_missing,
    )


def _bundle(model: Path | None) -> Bundle:
    from moodzone_agent.classify.bundle import PRETRAINED, load_bundle

    return load_bundle(model or PRETRAINED)


def _rated(wanted: Wanted, model: Path | None, *, cache: Path | None, jobs: int) -> Rated:
    """The labelled tracks with what the bundle says of them; what became of the labels is told."""
    from rich.console import Console

    from moodzone_agent.workers import default_jobs
    from trainer.datasets.store import open_cache
    from trainer.datasets.unified import label_tracks, read_all
    from trainer.judging import rate_labelled

    bundle = _bundle(model)
    label_files = read_all(wanted)
    console = Console(stderr=True)
    with open_cache(cache) as library:
        with feature_progress(console) as progress:
            labels = label_tracks(
                library, label_files, wanted, jobs=jobs or default_jobs(), progress=progress
            )
        labels.report.check(skip_missing=wanted.skip_missing)
        _tell(console, labels.report.lines())
        return rate_labelled(labels, library, bundle)


def _print_evaluation(figures: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from trainer.judging import PARTS, figure_rows

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
    _tell(console, [*lines, *figures["notes"]])


def _tell(console: Console, lines: list[str]) -> None:
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


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


def _at(figures: dict[str, Any], keys: list[str]) -> float:
    value: Any = figures
    for key in keys:
        value = value[key]
    return float(value)


app.command()(cli_finetune.finetune)


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
