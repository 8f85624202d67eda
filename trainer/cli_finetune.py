"""``moodzone-train finetune``: from your labels to a model that knows your zones."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from moodzone_agent.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from moodzone_agent.types import Zone
    from trainer.finetune import Contest
    from trainer.strategies import Labelled

_TARGETS: Final = (
    ("accuracy", ("zone", "accuracy"), 0.80),
    ("weighted F1", ("zone", "weighted_f1"), 0.78),
    ("recall of PURPLE", ("zone", "recall", "PURPLE"), 0.85),
)
"""Of the project, on a user's holdout."""


def finetune(
    data: Annotated[list[Path], typer.Option(help="Your labels, of any kind that docs/training.md names.")],
    output: Annotated[Path, typer.Option(help="Folder of the new bundle; an old bundle there is replaced.")],
    base: Annotated[
        Path | None, typer.Option(help="Bundle to start from; the model in use if none.", show_default=False)
    ] = None,
    strategy: Annotated[str, typer.Option(help="How to learn; a wrong name lists them.")] = "ensemble",
    deam: Annotated[
        Path | None,
        typer.Option(help="DEAM, for strategies that train on it, too.", exists=True, file_okay=False),
    ] = None,
    user_weight: Annotated[float, typer.Option(help="Of a label beside one of DEAM's.", min=0.01)] = 3.0,
    sure_accuracy: Annotated[
        float, typer.Option(help="Share of right ones among those called sure.", min=0.34, max=1)
    ] = 0.8,
    min_recall: Annotated[
        str | None,
        typer.Option(help="ZONE=SHARE, such as PURPLE=0.85: find so many of a zone, at the others' cost."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.", min=0)] = 0,
    weak: Annotated[
        list[Path] | None, typer.Option(help="Labels that only hint at a zone; any other wins over them.")
    ] = None,
    music: Annotated[
        list[Path] | None, typer.Option(help="Folders with the music, to match artists and titles in.")
    ] = None,
    maps: Annotated[
        list[str] | None, typer.Option("--map", help="OLD=NEW: another computer's folder, and the same here.")
    ] = None,
    alias: Annotated[
        list[str] | None, typer.Option(help="WORD=ZONE: what a word in your labels means.")
    ] = None,
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="Leave out labels without audio.")
    ] = False,
    register: Annotated[
        bool, typer.Option("--register", help="Add it to your models, and use it if it is better.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="With --register: use it in any case.")] = False,
    cache: Annotated[
        Path | None, typer.Option(help="Where features are kept from run to run.", show_default=False)
    ] = None,
    jobs: Annotated[int, typer.Option(help="Worker processes; 0 for one per processor.", min=0)] = 0,
    json_: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
) -> None:
    """Teach the model your zones, judge it on artists it hasn't heard, and write it as a bundle."""
    from rich.console import Console

    from moodzone_agent.classify.bundle import load_bundle
    from moodzone_agent.classify.registry import Registry
    from moodzone_agent.classify.session import ZoneModel
    from moodzone_agent.config import Places, load_settings
    from moodzone_agent.workers import default_jobs
    from trainer import finetune as tuning
    from trainer.cli_shared import feature_progress
    from trainer.datasets import unified
    from trainer.datasets.labels import parse_aliases
    from trainer.datasets.store import open_cache
    from trainer.datasets.user import PathMap
    from trainer.strategies import load_base
    from trainer.user import draw_salt, user_data

    if force and not register:
        raise UsageError("--force goes with --register")
    console = Console(stderr=True)

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    places = Places.find()
    registry = Registry(places.models)
    bundle = load_bundle(base) if base else registry.champion().bundle
    model = ZoneModel(bundle, load_settings(places.settings).zones)
    recipe = tuning.Recipe(strategy, user_weight, seed, sure_accuracy, _recall(min_recall))
    wanted = unified.Wanted(
        labels=tuple(data),
        weak=tuple(weak or ()),
        music=tuple(music or ()),
        maps=tuple(map(PathMap.parse, maps or ())),
        aliases=parse_aliases(alias or ()),
        skip_missing=skip_missing,
    )
    label_files = unified.read_all(wanted)
    with open_cache(cache) as library, feature_progress(console) as progress:
        labels = unified.label_tracks(
            library, label_files, wanted, jobs=jobs or default_jobs(), progress=progress
        )
        labels.report.check(skip_missing=skip_missing)
        own = user_data(labels, library, model)
    for line in labels.report.lines():
        say(line)
    drawn = bundle.manifest.get("holdout")
    manifest, contest = tuning.finetune(
        own,
        model,
        load_base(bundle, _deam_rows(deam, seed, jobs or default_jobs(), console) if deam else None),
        recipe,
        output,
        salt=drawn["salt"] if drawn else draw_salt(own),
        times_used=drawn["used"] + 1 if drawn else 0,
        force=force,
    )
    if json_:
        sys.stdout.write(json.dumps(manifest) + "\n")
    else:
        _print_judgement(manifest, contest, output)
    if register:
        number = registry.add(output)
        if contest.is_won or force:
            registry.promote(number)
        say(
            f"model {number} is in use: `moodzone scan` rates again by it, `moodzone model rollback` goes back"
            if contest.is_won or force
            else f"model {number} is kept, the one in use stays; `moodzone model promote {number}` changes that"
        )


def _recall(option: str | None) -> tuple[Zone, float] | None:
    from moodzone_agent.types import Zone

    if option is None:
        return None
    name, _, share = option.partition("=")
    try:
        zone, wanted = Zone(name.strip().upper()), float(share)
    except ValueError:
        raise UsageError(f"--min-recall {option}: write a zone and a share, such as PURPLE=0.85") from None
    if not 0 < wanted < 1:
        raise UsageError(f"--min-recall {option}: the share must lie between 0 and 1")
    return zone, wanted


def _deam_rows(folder: Path, seed: int, jobs: int, console: Console) -> Labelled:
    from moodzone_agent.types import Cuts
    from trainer.cli_shared import feature_progress
    from trainer.datasets.deam import load_deam
    from trainer.pretrain import deam_labelled, deam_windows

    with feature_progress(console) as progress:
        _, songs = deam_windows(load_deam(folder), jobs=jobs, say=console.print, progress=progress)
    return deam_labelled(songs, Cuts(), seed=seed)


def _print_judgement(manifest: dict[str, Any], contest: Contest, output: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from trainer.finetune import MIN_TO_CLAIM

    console = Console()
    parts = {name: manifest["metrics"][name] for name in ("cv", "holdout") if name in manifest["metrics"]}
    table = Table(
        title=f"{manifest['id']}, trained on {manifest['trained_on']['labels']:,} labels",
        title_justify="left",
    )
    table.add_column("")
    heads = {"cv": "nested cross-validation", "holdout": "holdout"}
    for name, figures in parts.items():
        table.add_column(f"{heads[name]}\n{figures['zone']['songs']:,} tracks", justify="right")
    rows: list[tuple[str, *tuple[str, ...]]] = [
        ("accuracy", "zone", "accuracy"),
        ("  at least, with 95 % confidence", "zone", "accuracy_low"),
        ("  of always answering the commonest", "zone", "majority"),
        ("balanced accuracy", "zone", "balanced_accuracy"),
        ("macro F1", "zone", "macro_f1"),
        ("weighted F1", "zone", "weighted_f1"),
        *((f"recall of {zone}", "zone", "recall", zone) for zone in manifest["zones"]),
        ("YELLOW taken for PURPLE or the reverse", "zone", "yellow_purple_confusions"),
        ("expected calibration error", "reliability", "calibration_error"),
        ("share of which 80 % are right", "reliability", "coverage_at_80"),
    ]
    for row in rows:
        table.add_row(row[0], *(f"{_at(figures, row[1:]):.3f}" for figures in parts.values()))
    console.print(table)
    if contest.judging < MIN_TO_CLAIM:
        console.print(
            f"Only {contest.judging} of these labels were asked for or confirmed. Others are no fair sample of your "
            f"library, so take the figures as a hint: {MIN_TO_CLAIM} are needed to claim an accuracy.",
            highlight=False,
            soft_wrap=True,
        )
    if "holdout" in parts:
        used = manifest["holdout"]["used"]
        if used:
            console.print(f"This holdout has judged {used} models before, which flatters.", highlight=False)
        for name, keys, target in _TARGETS:
            reached = _at(parts["holdout"], keys)
            met = "met" if reached > target else f"missed by {target - reached:.3f}"
            console.print(f"target on the holdout: {name} over {target:.2f}: {met}", highlight=False)
    console.print(
        f"beside {contest.champion}: {contest.gain:+.3f} ± {contest.gain_error:.3f} in cross-validation"
        + (
            f", {contest.holdout_gain:+.3f} ± {contest.holdout_error:.3f} on the holdout"
            if contest.holdout_tracks
            else ""
        )
        + (": better" if contest.is_won else ": not shown to be better"),
        highlight=False,
        soft_wrap=True,
    )
    console.print(output, highlight=False, style="dim")


def _at(figures: dict[str, Any], keys: Sequence[str]) -> float:
    value: Any = figures
    for key in keys:
        value = value[key]
    return float(value)
