"""``moodzone calibrate``: moves the cuts between the zones to where this library divides."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from moodzone_agent.commands.shared import (
    DryRun,
    Json,
    following,
    open_library,
    out,
    print_json,
    setting,
    shown,
    zone_model,
)
from moodzone_agent.errors import UsageError
from moodzone_agent.types import Cuts, Zone

if TYPE_CHECKING:
    from moodzone_agent.calibration import Shares
    from moodzone_agent.classify.session import ZoneModel
    from moodzone_agent.config import Places, Settings
    from moodzone_agent.library.store import Library

OFFERED_FROM: Final = 20
"""Tracks in a scan; with fewer, calibration would hardly move the cuts."""

_STEPS: Final = "calibrations"
_OFFERED: Final = "calibration offered"
_TABLE: Final = "zones"


def calibrate(
    shares: Annotated[
        str, typer.Option(help="Percentages of YELLOW, GREEN and PURPLE to aim at.")
    ] = "30,40,30",
    undo: Annotated[bool, typer.Option("--undo", help="Take the last calibration back.")] = False,
    dry_run: DryRun = False,
    json_: Json = False,
) -> None:
    """Fit the zones to your library: what is YELLOW or PURPLE follows from what you play.

    The more tracks were scanned, the further the cuts move. They stay until you ask again.
    """
    from moodzone_agent.calibration import parse_shares

    places, settings = setting()
    wanted = parse_shares(shares)
    with open_library(places, must_exist=True) as library:
        if undo:
            _undo(library, places, dry_run=dry_run, json_=json_)
        else:
            _calibrate(library, places, settings, wanted, dry_run=dry_run, json_=json_)


def offer_calibration(library: Library, model: ZoneModel, settings: Settings, tracks: int) -> None:
    """Name the command, once, where it would change something."""
    if tracks < OFFERED_FROM or settings.zones != Cuts() or not model.bundle.accepts_cuts:
        return
    if library.meta(_OFFERED) is None:
        out("`moodzone calibrate` fits the zones to your library (--dry-run shows what would change)")
        library.set_meta(_OFFERED, "yes")


@dataclass(frozen=True, slots=True)
class Fit:
    """Cuts that fit a library, and how many tracks each zone has by the old and the new ones."""

    old: Cuts
    new: Cuts
    before: Counter[Zone]
    after: Counter[Zone]

    @property
    def is_new(self) -> bool:
        """Whether it would change anything."""
        return self.new != self.old

    def to_json(self, *, written: bool) -> dict[str, Any]:
        """As it is printed with ``--json``."""
        return {
            "tracks": self.before.total(),
            "before": {zone: self.before[zone] for zone in Zone},
            "after": {zone: self.after[zone] for zone in Zone},
            "zones": asdict(self.new),
            "zones_before": asdict(self.old),
            "written": written,
        }


def fit_zones(library: Library, model: ZoneModel, settings: Settings, shares: Shares) -> Fit:
    """The cuts that fit the library; nothing is written.

    Errors: `UsageError` if the model takes no cuts, or there is nothing to fit them to.
    """
    import numpy as np

    from moodzone_agent.calibration import Spread, calibrated
    from moodzone_agent.classify.session import ZoneModel
    from moodzone_agent.rerating import rerate

    if not model.bundle.accepts_cuts:
        raise UsageError(
            "the model in use has learned your zones from your labels, and takes no cuts; "
            "label more tracks to move its zones"
        )
    count = library.count_rated()
    arousal, valence, variances, before = [], [], [], Counter[Zone]()
    for item in following("Rating", rerate(library, model), count):
        arousal.append(item.estimate.arousal)
        valence.append(item.estimate.valence)
        variances.append(item.windows.arousal.var(dtype=np.float64))
        before[item.estimate.zone] += 1
    if not arousal:
        raise UsageError("there is nothing to fit the zones to: `moodzone scan FOLDER` first")
    told = model.bundle.manifest.get("spread", {})
    # The mean over windows adds the track's own ups and downs to what the model takes as its error.
    spread = Spread(
        float(np.hypot(told.get("arousal", 0.0), np.sqrt(np.mean(variances)))), told.get("valence", 0.0)
    )
    cuts = calibrated(np.array(arousal), np.array(valence), spread, shares)
    then = ZoneModel(model.bundle, cuts)
    after = Counter(item.estimate.zone for item in following("Rating", rerate(library, then), count))
    return Fit(settings.zones, cuts, before, after)


def show_fit(fit: Fit) -> None:
    """Print what the cuts are and would be, with the tracks of each zone."""
    _print_counts(fit.before, fit.after)
    _print_cuts(fit.old, fit.new)


def _calibrate(
    library: Library, places: Places, settings: Settings, wanted: Shares, *, dry_run: bool, json_: bool
) -> None:
    fit = fit_zones(library, zone_model(places, settings), settings, wanted)
    written = fit.is_new and not dry_run
    if written:
        store_fit(library, places, fit)
    if json_:
        print_json(fit.to_json(written=written))
        return
    show_fit(fit)
    if not fit.is_new:
        out("the zones are calibrated already; nothing changes")
    elif not dry_run:
        out(
            f"written to {shown(places.settings)}; the next `moodzone scan` rates the library by it, "
            "`moodzone calibrate --undo` takes it back"
        )


def store_fit(library: Library, places: Places, fit: Fit) -> None:
    """Write the cuts into the settings; what stood there is noted first, so that a kill in between loses nothing."""
    from moodzone_agent.config import change_settings, stored_table

    was = stored_table(places.settings, _TABLE)
    values: dict[str, float | None] = {
        key: value
        for key, value in asdict(fit.new).items()
        if key in was or value != getattr(fit.old, key) or key != "purple_min_valence"
    }
    step = {"before": {key: was.get(key) for key in values}, "after": values}
    library.set_meta(_STEPS, json.dumps([*_steps(library), step]))
    change_settings(places.settings, _TABLE, values)


def _undo(library: Library, places: Places, *, dry_run: bool, json_: bool) -> None:
    """Put back what stood in the settings before the last calibration."""
    from moodzone_agent.config import change_settings, stored_table

    now = stored_table(places.settings, _TABLE)
    steps = _steps(library)
    while steps and _holds(now, steps[-1]["before"]) and not _holds(now, steps[-1]["after"]):
        steps.pop()  # it was killed before it was written, or while it was taken back
    if not steps:
        library.set_meta(_STEPS, "[]")
        raise UsageError("there is no calibration to take back")
    step = steps.pop()
    if not _holds(now, step["after"]):
        raise UsageError(
            f"the zones were edited since they were calibrated; edit [{_TABLE}] in {shown(places.settings)} yourself"
        )
    if not dry_run:
        change_settings(places.settings, _TABLE, step["before"])
        library.set_meta(_STEPS, json.dumps(steps))
    if json_:
        print_json({"zones": step["before"], "written": not dry_run})
        return
    values = ", ".join(
        f"{key} as usual" if value is None else f"{key} = {value:g}" for key, value in step["before"].items()
    )
    if dry_run:
        out(f"would be put back: {values}")
    else:
        out(f"put back: {values}; the next `moodzone scan` rates the library by it")


def _steps(library: Library) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = json.loads(library.meta(_STEPS) or "[]")
    return steps


def _holds(table: dict[str, Any], values: dict[str, float | None]) -> bool:
    return all(table.get(key) == value for key, value in values.items())


def _print_counts(before: Counter[Zone], after: Counter[Zone]) -> None:
    from rich.table import Table

    from moodzone_agent.console import zone_text

    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column("")
    for name in ("now", "then"):
        table.add_column(name, justify="right")
    for zone in Zone:
        table.add_row(zone_text(zone), f"{before[zone]:,}", f"{after[zone]:,}")
    out(table)


def _print_cuts(old: Cuts, new: Cuts) -> None:
    out(f"YELLOW is below an arousal of {new.yellow_max:g} instead of {old.yellow_max:g}")
    least = f", at a valence above {new.purple_min_valence:g} instead of {old.purple_min_valence:g}"
    out(
        f"PURPLE is above an arousal of {new.purple_min:g} instead of {old.purple_min:g}"
        + (least if new.purple_min_valence != old.purple_min_valence else "")
    )
