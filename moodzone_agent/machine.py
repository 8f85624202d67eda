"""The collections of DJ programs on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from exporters.base import Collection, Machine, Withheld
from exporters.registry import TARGETS, target
from moodzone_agent.config import Settings
from moodzone_agent.library.records import FileStatus
from moodzone_agent.library.store import Library
from moodzone_agent.library.volumes import MountTable, is_player_volume


def this_machine(library: Library | None) -> Machine:
    """Where to look: the user's folders, what is mounted, and the files of the library, if there is one."""
    from platformdirs import PlatformDirs

    def tracks() -> Iterator[Path]:
        files = library.files() if library else ()
        return (file.path for file in files if file.mounted and file.status is FileStatus.OK)

    folders = PlatformDirs()
    return Machine(
        home=Path.home(),
        music=folders.user_music_path,
        documents=folders.user_documents_path,
        volumes=tuple(_mounts(library).mount_points()),
        tracks=tracks,
    )


def settings_of(name: str, settings: Settings) -> Any:
    """The user's settings for one target."""
    return getattr(settings, name.replace("-", "_"))


def find_collections(
    name: str, library: Library | None, settings: Settings, *, named: bool = True
) -> list[Collection]:
    """The collections of a target on this machine and, as they were ``named`` once, those written elsewhere before.

    Those on a player's stick are left out: it is written only when named. Raises UsageError for an unknown target.
    """
    kind = target(name)
    machine = this_machine(library)
    found = kind.find(machine, settings_of(name, settings))
    known = {collection.path for collection in found}
    for other, path in library.collections() if library and named else ():
        if other == name and path not in known and path.exists():
            found.append(kind.open(path, machine, settings_of(name, settings)))
    mounts = _mounts(library)
    return [one for one in found if name == "tags" or not is_player_volume(one.path, mounts)]


def find_withheld(machine: Machine, settings: Settings) -> list[tuple[str, Withheld]]:
    """The collections that wait for something of the user's, each with its target's name."""
    return [
        (name, held)
        for name, kind in TARGETS.items()
        for held in kind.withheld(machine, settings_of(name, settings))
    ]


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


def _mounts(library: Library | None) -> MountTable:
    return library.mounts if library else MountTable()
