"""The targets there are. Adding one means a module of its own and a line here."""

from __future__ import annotations

from typing import Any, Final

from exporters import engine_db, m3u8, mixxx_db, rekordbox_db, rekordbox_xml, traktor_nml, virtualdj
from exporters.base import Target
from exporters.serato import collection as serato
from exporters.tags import collection as tags
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
