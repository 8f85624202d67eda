"""``moodzone-train finetune``: from your labels to a model that knows your zones."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from moodzone_agent.errors import UsageError
from trainer.commands.shared import (
    AliasOption,
    CacheOption,
    DataOption,
    DeamOption,
    JobsOption,
    MapOption,
    MusicOption,
    SeedOption,
    SkipMissingOption,
    UserWeightOption,
    WeakOption,
    figure_at,
    progress_bars,
    tell,
)
from trainer.commands.shared import wanted as labels_wanted

if TYPE_CHECKING:
    from moodzone_agent.types import Zone
    from trainer.finetuning.finetune import Contest

_TARGETS: Final = (
    ("accuracy", ("zone", "accuracy"), 0.80),
    ("weighted F1", ("zone", "weighted_f1"), 0.78),
    ("recall of PURPLE", ("zone", "recall", "PURPLE"), 0.85),
)
"""Of the project, on a user's holdout."""


def finetune(
    output: Annotated[Path, typer.Option(help="Folder of the new bundle; an old bundle there is replaced.")],
    data: DataOption = None,
    base: Annotated[
        Path | None, typer.Option(help="Bundle to start from; the model in use if none.", show_default=False)
    ] = None,
    strategy: Annotated[str, typer.Option(help="How to learn; a wrong name lists them.")] = "ensemble",
    deam: DeamOption = None,
    user_weight: UserWeightOption = 3.0,
    sure_accuracy: Annotated[
        float, typer.Option(help="Share of right ones among those called sure.", min=0.34, max=1)
    ] = 0.8,
    min_recall: Annotated[
        str | None,
        typer.Option(help="ZONE=SHARE, such as PURPLE=0.85: find so many of a zone, at the others' cost."),
    ] = None,
    seed: SeedOption = 0,
    weak: WeakOption = None,
    music: MusicOption = None,
    maps: MapOption = None,
    alias: AliasOption = None,
    skip_missing: SkipMissingOption = False,
    register: Annotated[
        bool, typer.Option("--register", help="Add it to your models, and use it if it is better.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="With --register: use it in any case.")] = False,
    cache: CacheOption = None,
    jobs: JobsOption = 0,
    json_: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
) -> None:
    """Teach the model your zones, judge it on artists it hasn't heard, and write it as a bundle."""
    from rich.console import Console

    from moodzone_agent.classify.bundle import load_bundle
    from moodzone_agent.classify.registry import Registry
    from moodzone_agent.classify.session import ZoneModel
    from moodzone_agent.config import Places, load_settings
    from moodzone_agent.types import Cuts
    from moodzone_agent.workers import default_jobs
    from trainer.datasets import unified
    from trainer.datasets.deam import load_deam
    from trainer.datasets.store import open_cache
    from trainer.finetuning import finetune as tuning
    from trainer.finetuning.deam_rows import cached_windows, deam_labelled
    from trainer.finetuning.strategies import load_base
    from trainer.finetuning.user_rows import draw_salt, user_data

    if force and not register:
        raise UsageError("--force goes with --register")
    console = Console(stderr=True)

    places = Places.find()
    registry = Registry(places.models)
    bundle = load_bundle(base) if base else registry.champion().bundle
    model = ZoneModel(bundle, load_settings(places.settings).zones)
    recipe = tuning.Recipe(strategy, user_weight, seed, sure_accuracy, _recall(min_recall))
    wanted = labels_wanted(data, weak, music, maps, alias, skip_missing=skip_missing)
    label_files = unified.read_all(wanted)
    bars = ("your music", *(["DEAM"] if deam else []))
    with open_cache(cache) as library, progress_bars(console, *bars) as progress:
        labels = unified.label_tracks(
            library, label_files, wanted, jobs=jobs or default_jobs(), progress=progress[0]
        )
        labels.report.check(skip_missing=skip_missing)
        own = user_data(labels, library, model)
        songs = None
        if deam is not None:
            windows = cached_windows(
                load_deam(deam),
                library,
                jobs=jobs or default_jobs(),
                say=lambda line: tell(console, [line]),
                progress=progress[-1],
            )
            songs = deam_labelled(windows, Cuts(), seed=seed)
    tell(console, labels.report.lines())
    drawn = bundle.manifest.get("holdout")
    manifest, contest = tuning.finetune(
        own,
        model,
        load_base(bundle, songs),
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
        line = (
            f"model {number} is in use: `moodzone scan` rates again by it, `moodzone model rollback` goes back"
            if contest.is_won or force
            else f"model {number} is kept, the one in use stays; `moodzone model promote {number}` changes that"
        )
        tell(console, [line])


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


def _print_judgement(manifest: dict[str, Any], contest: Contest, output: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from moodzone_agent.learning import MIN_TO_CLAIM

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
        table.add_row(row[0], *(f"{figure_at(figures, row[1:]):.3f}" for figures in parts.values()))
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
            reached = figure_at(parts["holdout"], keys)
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
