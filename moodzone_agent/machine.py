"""The collections of DJ programs on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from exporters.base import Collection, Machine
from exporters.registry import TARGETS, target
from moodzone_agent.config import Settings
from moodzone_agent.library.records import FileStatus
from moodzone_agent.library.store import Library
from moodzone_agent.library.volumes import is_player_volume


def this_machine(library: Library) -> Machine:
    """Where to look: the user's folders, what is mounted, and the files of the library."""
    from platformdirs import PlatformDirs

    def tracks() -> Iterator[Path]:
        return (file.path for file in library.files() if file.mounted and file.status is FileStatus.OK)

    folders = PlatformDirs()
    return Machine(
        home=Path.home(),
        music=folders.user_music_path,
        documents=folders.user_documents_path,
        volumes=tuple(library.mounts.mount_points()),
        tracks=tracks,
    )


def settings_of(name: str, settings: Settings) -> Any:
    """The user's settings for one target."""
    return getattr(settings, name.replace("-", "_"))


def find_collections(
    name: str, library: Library, settings: Settings, *, named: bool = True
) -> list[Collection]:
    """The collections of a target on this machine and, as they were ``named`` once, those written elsewhere before.

    Those on a player's stick are left out: it is written only when named. Raises UsageError for an unknown target.
    """
    kind = target(name)
    machine = this_machine(library)
    found = kind.find(machine, settings_of(name, settings))
    known = {collection.path for collection in found}
    for other, path in library.collections() if named else ():
        if other == name and path not in known and path.exists():
            found.append(kind.open(path, machine, settings_of(name, settings)))
    return [one for one in found if name == "tags" or not is_player_volume(one.path, library.mounts)]


def open_collection(name: str, path: Path, library: Library, settings: Settings) -> Collection:
    """The collection of a target at a path. Raises UsageError for an unknown target, or a path it cannot have."""
    return target(name).open(path, this_machine(library), settings_of(name, settings))


def open_named(name: str, library: Library, settings: Settings) -> Collection:
    """The collection that the journal knows by this name (`Collection.name`)."""
    kind, _, path = name.partition(":")
    return open_collection(kind, Path(path), library, settings)


def target_names() -> list[str]:
    """All targets."""
    return list(TARGETS)
