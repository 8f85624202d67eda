"""Which model may change zones that are there: the one that the user chose. Another waits for a yes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from moodzone_agent.classify.registry import SHIPPED, Champion, Registry
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.config import Places, Settings
from moodzone_agent.library.store import Library
from moodzone_agent.rerating import difference, rerate

_SHIPPED: Final = "shipped model"
_COMPARED: Final = "challenger compared"


def keeps_zones(library: Library, champion: Champion) -> bool:
    """Whether zones that are there stay as they are, since the model in use is the user's choice no more.

    Two cases: a newer bundle ships than the one that rated the library, and nobody has chosen it; or the model that
    was promoted can't be used, such as after a change of the features, and the shipped one stands in for it. New
    tracks are rated either way. Errors: `LibraryError`.
    """
    if champion.number != SHIPPED:
        return False
    chosen = champion.shipped_chosen or library.meta(_SHIPPED)
    if chosen is None:
        rated_by = library.commonest_model()
        chosen = champion.bundle.model_id if rated_by is None else rated_by.partition("@")[0]
        library.set_meta(_SHIPPED, chosen)  # later, most tracks may be by the new one
    return bool(champion.warning) or chosen != champion.bundle.model_id


@dataclass(frozen=True, slots=True)
class Challenger:
    """A model that waits for the user's yes."""

    number: int
    """0: the one that ships with a newer version of the program."""
    model_id: str
    tracks: int
    """Without a label, compared by their stored features."""
    changes: int
    """So many of them would change their zone."""


def waiting_challenger(places: Places, settings: Settings, library: Library) -> Challenger | None:
    """The model that waits for a yes, if any, with what it would change.

    The first look compares all tracks, 200 a second; what it found is kept. Errors: `BundleError`, `LibraryError`.
    """
    registry = Registry(places.models)
    champion = registry.champion()
    waiting = registry.challenger()
    if waiting is not None and waiting.bundle is not None:
        number, bundle = waiting.number, waiting.bundle
    elif champion.number == SHIPPED and not champion.warning and keeps_zones(library, champion):
        number, bundle = SHIPPED, champion.bundle
    else:
        return None
    model = ZoneModel(bundle, settings.zones)
    key = [model.model_id, champion.bundle.model_id, library.last_arrival(), library.count_rated()]
    kept = json.loads(library.meta(_COMPARED) or "{}")
    if kept.get("key") != key:
        told = difference(rerate(library, model))
        kept = {"key": key, "tracks": told.tracks, "changes": len(told.changed)}
        library.set_meta(_COMPARED, json.dumps(kept))
    return Challenger(number, model.model_id, kept["tracks"], kept["changes"])
