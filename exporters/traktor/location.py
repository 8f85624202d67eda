"""The ``LOCATION`` of a track in Traktor's collection: where its file is.

``DIR`` holds the folders from the root of the volume on, with ``/:`` in front of each and at the end
(``/:Users/:dj/:``), ``FILE`` the name, ``VOLUME`` the drive of Windows (``D:``) or the name that macOS gives to the
volume. A ``:`` in a name of macOS is spelled ``//``. Playlists name a track by ``VOLUME``, ``DIR`` and ``FILE``
strung together. Source: collections of Traktor 2 and 3.

On macOS the system's volume is the root, and every other one lies under ``/Volumes``. Which names the system's
volume has is told from outside, so that a path is the same whether a drive is plugged in or not. A file of a
network share of Windows is left out: how Traktor spells it is not known.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Final, NamedTuple

SYSTEM: Final = "Macintosh HD"
"""What macOS calls the system's volume, unless its user gave it another name."""
_VOLUMES: Final = PurePosixPath("/Volumes")
_SEPARATOR: Final = "/:"
_COLON: Final = "\0"
"""Stands for a ``:`` of a name, as no name can hold it."""
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_NO_NAMES: Final = frozenset({"", ".", ".."})
_NOT_IN_WINDOWS: Final = frozenset(':\\"*<>?|')


class Location(NamedTuple):
    """The attributes of a ``LOCATION`` that say where the file is."""

    folder: str
    file: str
    volume: str

    @property
    def key(self) -> str:
        """By which playlists name the track."""
        return f"{self.volume}{self.folder}{self.file}"


def system_volumes(volumes: Path = Path(_VOLUMES)) -> frozenset[str]:
    """The names of the system's volume: those of ``volumes`` that lead to the root, or else the usual one."""
    names: set[str] = set()
    with suppress(OSError):
        names = {entry.name for entry in volumes.iterdir() if os.path.realpath(entry) == "/"}
    return frozenset(names or {SYSTEM})


def from_location(location: Location, system: Iterable[str]) -> PurePath | None:
    """The path that a LOCATION names, given the names of the system's volume; None where it names no file."""
    names = _names(location.folder + location.file)
    if names is None or not location.folder.endswith(_SEPARATOR):
        return None
    if _DRIVE.fullmatch(location.volume):
        if any(_NOT_IN_WINDOWS & {*name} for name in names):
            return None
        return PureWindowsPath(f"{location.volume}/", *names)
    volume = _names(_SEPARATOR + location.volume)
    if volume is None or len(volume) > 1 or "\\" in volume[0]:
        return None
    return PurePosixPath("/" if volume[0] in system else _VOLUMES / volume[0], *names)


def to_location(path: PurePath, system: str = SYSTEM) -> Location:
    """The LOCATION of an absolute path. Raises ValueError for a relative one, a folder's root and a network share."""
    drive, names = path.drive, path.parts[1:]
    if isinstance(path, PureWindowsPath):
        volume = drive if _DRIVE.fullmatch(drive) else ""
    elif path.parts[:2] == _VOLUMES.parts and len(names) > 2:
        volume, names = names[1], names[2:]
    else:
        volume = system
    if not path.is_absolute() or not names or not volume:
        raise ValueError(f"not a file of a volume: {path}")
    *folders, file = (name.replace(":", "//") for name in names)
    spelled = volume if drive else volume.replace(":", "//")
    return Location(_SEPARATOR + "".join(folder + _SEPARATOR for folder in folders), file, spelled)


def _names(text: str) -> list[str] | None:
    """The names of a DIR with a FILE behind it; None where one is no name."""
    if _COLON in text:
        return None
    # What is left of a name's "//" must not be taken for the start of a separator.
    first, *names = text.replace("//", _COLON).split(_SEPARATOR)
    if first or not names or any(name in _NO_NAMES or "/" in name for name in names):
        return None
    return [name.replace(_COLON, ":") for name in names]
