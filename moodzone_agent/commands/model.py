"""``moodzone model``: the models of this machine, what they would change, and which one is in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from moodzone_agent.commands.shared import Json, following, open_library, out, print_json, setting
from moodzone_agent.types import Zone

if TYPE_CHECKING:
    from moodzone_agent.classify.registry import Champion, Registry
    from moodzone_agent.rerating import Difference, Rerated

_NAMED: Final = 20

app = typer.Typer(no_args_is_help=True, help="Look at the models there are, compare them, choose one.")

Number = Annotated[int, typer.Argument(help="Number of the model; 0 is the one that ships.", min=0)]


@app.command(name="list")
def list_models(json_: Json = False) -> None:
    """List the models; the one in use is marked."""
    registry, champion = _registry()
    for entry in registry.bundles():
        in_use = entry.number == champion.number
        if json_:
            print_json(
                {
                    "number": entry.number,
                    "id": entry.bundle.model_id if entry.bundle else None,
                    "in_use": in_use,
                    "head": bool(entry.bundle and entry.bundle.head_model),
                    "error": entry.error,
                }
            )
        elif entry.bundle is None:
            out(f"  {entry.number:>4}  cannot be used: {entry.error}")
        else:
            notes = [
                "the one that ships" * (entry.number == 0),
                "with your own zones" * (entry.bundle.head_model is not None),
            ]
            note = f" ({', '.join(filter(None, notes))})" if any(notes) else ""
            out(f"{'*' if in_use else ' '} {entry.number:>4}  {entry.bundle.model_id}{note}")
    if champion.warning and not json_:
        out(champion.warning)


@app.command()
def show(
    number: Annotated[
        int | None,
        typer.Argument(help="Number of the model; the one in use if none.", min=0, show_default=False),
    ] = None,
    json_: Json = False,
) -> None:
    """Show a model's card: data, licence, figures, limits."""
    from moodzone_agent.classify.card import model_card

    registry, champion = _registry()
    bundle = champion.bundle if number is None else registry.bundle(number)
    if json_:
        print_json({"number": champion.number if number is None else number, **bundle.manifest})
    else:
        out(model_card(bundle).rstrip())


@app.command()
def diff(
    number: Number,
    all_: Annotated[bool, typer.Option("--all", help="Name all tracks, not just 20.")] = False,
    json_: Json = False,
) -> None:
    """Show which tracks would change their zone with another model. Changes nothing."""
    from moodzone_agent.classify.registry import Registry
    from moodzone_agent.classify.session import ZoneModel
    from moodzone_agent.rerating import difference, rerate

    places, settings = setting()
    model = ZoneModel(Registry(places.models).bundle(number), settings.zones)
    with open_library(places, must_exist=True) as library:
        told = difference(following("Comparing", rerate(library, model), library.count_rated()))
    if json_:
        print_json(_difference_json(told, number, model.model_id))
        return
    out(
        f"with model {number} ({model.model_id}), {len(told.changed):,} of {told.tracks:,} tracks change their zone"
    )
    _print_moves(told)
    for item in told.changed if all_ else told.changed[:_NAMED]:
        _print_change(item)
    if len(told.changed) > _NAMED and not all_:
        out(f"  and {len(told.changed) - _NAMED:,} more; --all names them")
    if told.labels:
        out(
            f"{told.labels:,} tracks keep the zone you gave them; the model agrees with {told.agreed[1]:,} of "
            f"these labels (before: {told.agreed[0]:,})"
        )


@app.command()
def promote(number: Number) -> None:
    """Use another model; the next scan rates the library by it."""
    from moodzone_agent.classify.registry import Registry

    places, _ = setting()
    registry = Registry(places.models)
    registry.promote(number, by_user=True)
    _tell(registry.champion())


@app.command()
def decline() -> None:
    """Say no to the model that waits for your yes; it is kept, and the one in use stays."""
    from moodzone_agent.classify.registry import Registry

    places, _ = setting()
    out(f"model {Registry(places.models).decline()} waits no more")


@app.command()
def rollback() -> None:
    """Go back to the model that was in use before."""
    from moodzone_agent.classify.registry import Registry

    places, _ = setting()
    registry = Registry(places.models)
    registry.rollback()
    _tell(registry.champion())


def _registry() -> tuple[Registry, Champion]:
    from moodzone_agent.classify.registry import Registry

    places, _ = setting()
    registry = Registry(places.models)
    return registry, registry.champion()


def _tell(champion: Champion) -> None:
    out(
        f"model {champion.number} ({champion.bundle.model_id}) is in use; the next `moodzone scan` rates the "
        "library by it, without reading the music"
    )


def _print_moves(told: Difference) -> None:
    from rich.table import Table
    from rich.text import Text

    from moodzone_agent.console import zone_text

    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column("now")
    for zone in Zone:
        table.add_column(Text.assemble("then ", zone_text(zone)), justify="right")
    for before in Zone:
        table.add_row(zone_text(before), *(f"{told.moves[before, after]:,}" for after in Zone))
    out(table)
    out(f"unsure of {told.unsure[1]:,} (before: {told.unsure[0]:,})")


def _print_change(item: Rerated) -> None:
    from rich.text import Text

    from moodzone_agent.console import track_name, zone_text

    before = item.track.estimate
    if before is not None:
        line = Text("  ") + zone_text(before.zone, sure=before.sure) + Text(" → ")
        out(
            line
            + zone_text(item.estimate.zone, sure=item.estimate.sure)
            + Text(f"  {track_name(item.track)}")
        )


def _difference_json(told: Difference, number: int, model_id: str) -> dict[str, Any]:
    return {
        "number": number,
        "model": model_id,
        "tracks": told.tracks,
        "zones": {before: {after: told.moves[before, after] for after in Zone} for before in Zone},
        "unsure": {"before": told.unsure[0], "after": told.unsure[1]},
        "labels": told.labels,
        "agreed": {"before": told.agreed[0], "after": told.agreed[1]},
        "changed": [
            {
                "audio_id": item.track.audio_id,
                "paths": [str(path) for path in item.track.paths or item.track.away],
                "before": item.track.estimate.zone if item.track.estimate else None,
                "after": item.estimate.zone,
                "confidence": item.estimate.confidence,
                "unsure": not item.estimate.sure,
            }
            for item in told.changed
        ],
    }
