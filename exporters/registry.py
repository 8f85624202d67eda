"""The targets there are. Adding one means a module of its own and a line here."""

from __future__ import annotations

from typing import Any, Final

from exporters import engine_db, m3u8, mixxx_db
from exporters.base import Target
from exporters.rekordbox import db as rekordbox_db
from exporters.rekordbox import xml as rekordbox_xml
from exporters.serato import collection as serato
from exporters.tags import collection as tags
from exporters.traktor import nml as traktor_nml
from exporters.virtualdj import collection as virtualdj
from moodzone_agent.errors import UsageError

TARGETS: Final[dict[str, Target[Any]]] = {
    target.name: target
    for target in (
        tags.TARGET,
        rekordbox_xml.TARGET,
        rekordbox_db.TARGET,
        serato.TARGET,
        traktor_nml.TARGET,
        mixxx_db.TARGET,
        engine_db.TARGET,
        virtualdj.TARGET,
        m3u8.TARGET,
    )
}
"""By name, in the order in which they are found and shown."""


def target(name: str) -> Target[Any]:
    """The target of this name. Raises UsageError, which lists the names there are."""
    try:
        return TARGETS[name]
    except KeyError:
        raise UsageError(f"there is no target {name!r}; the targets are {', '.join(TARGETS)}") from None
