"""``moodzone retrain`` and ``weak-labels``: learn from your labels now, and from what only hints at zones."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moodzone_agent.commands.shared import (
    DONE,
    SOME_FAILED,
    Json,
    console,
    open_library,
    out,
    print_json,
    setting,
    zone_model,
)
from moodzone_agent.errors import UsageError
from moodzone_agent.types import Zone

if TYPE_CHECKING:
    from pathlib import Path

    from moodzone_agent.challenger import Challenger
    from moodzone_agent.learning import Trained


def retrain(
    force: Annotated[bool, typer.Option("--force", help="Use the new model in any case.")] = False,
    json_: Json = False,
) -> None:
    """Learn from your labels now, and use the new model if it is better."""
    from moodzone_agent.challenger import waiting_challenger
    from moodzone_agent.learning import Outcome, Retraining, standing
    from moodzone_agent.rerating import rerate_library

    places, settings = setting()
    challenger: Challenger | None = None
    changed: list[Path] = []
    with open_library(places, must_exist=True) as library:
        labels = sum(standing(library).zones.values())
        with Retraining(library, places, settings, force=force) as training:
            terminal = console(stderr=True)
            with terminal.status(f"Learning from {labels:,} labels; Ctrl-C stops it and changes nothing"):
                trained = training.wait()
        if trained.outcome is Outcome.PROMOTED:
            changed = rerate_library(library, zone_model(places, settings))
        elif trained.outcome is Outcome.WAITING:
            challenger = waiting_challenger(places, settings, library)
    if json_:
        print_json(_trained_json(trained, changed, challenger))
    else:
        _report(trained, changed, challenger)
    raise typer.Exit(SOME_FAILED if trained.outcome is Outcome.FAILED else DONE)


def weak_labels(
    from_: Annotated[
        str, typer.Option("--from", help="What hints at zones: mixed-in-key or stars.")
    ] = "mixed-in-key",
    yellow_max: Annotated[int, typer.Option(help="Energies up to this hint at YELLOW.", min=0, max=9)] = 4,
    purple_min: Annotated[int, typer.Option(help="Energies from this hint at PURPLE.", min=1, max=11)] = 7,
    stars: Annotated[
        str | None, typer.Option(help="With --from stars: what they mean to you, such as 1=yellow,5=purple.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what was found; store nothing.")] = False,
    json_: Json = False,
) -> None:
    """Take Mixed In Key's energy, or your stars, as hints to learn from. They are never your word."""
    from moodzone_agent.console import track_name
    from moodzone_agent.hints import (
        MIXED_IN_KEY,
        STARS,
        EnergyMap,
        add,
        mixed_in_key,
        parse_stars,
        star_ratings,
    )

    if from_ not in {MIXED_IN_KEY, STARS}:
        raise UsageError(f"--from {from_}: hints are taken from {MIXED_IN_KEY} or {STARS}")
    if (from_ == STARS) is (stars is None):
        raise UsageError("--from stars and --stars go together: only you know what your stars mean")
    if yellow_max >= purple_min:
        raise UsageError("--yellow-max must be below --purple-min")
    places, _ = setting()
    with open_library(places, must_exist=True) as library:
        if stars is None:
            hints = list(mixed_in_key(library, EnergyMap(yellow_max, purple_min)))
        else:
            hints = list(star_ratings(library, parse_stars(stars)))
        added = 0 if dry_run else add(library, hints)
    if json_:
        for hint in hints:
            audio_id, path = hint.track.audio_id, str(hint.track.paths[0])
            print_json(
                {
                    "audio_id": audio_id,
                    "path": path,
                    "from": hint.source,
                    "value": hint.value,
                    "zone": hint.zone,
                }
            )
        return
    if dry_run:
        for hint in hints:
            out(f"  {hint.zone}  {hint.source} {hint.value}  {track_name(hint.track)}")
    counts = Counter(hint.zone for hint in hints)
    zones = ", ".join(f"{counts[zone]:,} {zone}" for zone in Zone)
    out(f"{len(hints):,} tracks without a label tell it: {zones}")
    out(
        "nothing was stored"
        if dry_run
        else f"{added:,} stored as weak labels; a training takes them for a fifth of yours, and zones don't follow them"
    )


def _report(trained: Trained, changed: list[Path], challenger: Challenger | None) -> None:
    from moodzone_agent.learning import Outcome

    if trained.outcome is Outcome.FAILED:
        sys.stderr.write(f"moodzone: nothing was changed: {trained.words}\n")
        return
    out(trained.judgement.rstrip())
    match trained.outcome:
        case Outcome.NO_BETTER:
            out(f"the model in use stays: {trained.words}")
        case Outcome.WAITING:
            out(trained.words)
            if challenger is not None:
                out(f"{challenger.changes:,} of {challenger.tracks:,} tracks would change their zone")
        case Outcome.PROMOTED:
            out(trained.words)
            out(
                f"the mark of {len(changed):,} files changes"
                + ("; `moodzone write --all` writes it" * bool(changed))
            )


def _trained_json(trained: Trained, changed: list[Path], challenger: Challenger | None) -> dict[str, Any]:
    manifest = trained.manifest
    return {
        "outcome": trained.outcome,
        "words": trained.words,
        "number": trained.number,
        "model": manifest.get("id"),
        "labels": manifest["trained_on"]["labels"] if manifest else None,
        "contest": manifest.get("contest"),
        "metrics": manifest.get("metrics"),
        "changed": [str(path) for path in changed],
        "would_change": challenger.changes if challenger is not None else None,
    }
