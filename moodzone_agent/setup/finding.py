"""Which DJ programs are on this machine, and where the music is."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from exporters.base import Collection, Machine
from exporters.programs import ENGINE, MIXXX, PROGRAMS, REKORDBOX, SERATO, TRAKTOR, VIRTUALDJ
from moodzone_agent.errors import CollectionError, FileError
from moodzone_agent.walk import AUDIO_ENDINGS

_TRACES: Final = {
    REKORDBOX.name: (
        "home/Library/Pioneer/rekordbox",
        "home/AppData/Roaming/Pioneer/rekordbox",
        "documents/rekordbox",
    ),
    SERATO.name: ("music/_Serato_",),
    TRAKTOR.name: ("documents/Native Instruments/Traktor*",),
    MIXXX.name: (
        "home/.mixxx",
        "home/Library/Containers/org.mixxx.mixxx",
        "home/Library/Application Support/Mixxx",
        "home/AppData/Local/Mixxx",
    ),
    ENGINE.name: ("music/Engine Library",),
    VIRTUALDJ.name: (
        "documents/VirtualDJ",
        "home/Library/Application Support/VirtualDJ",
        "home/AppData/Local/VirtualDJ",
    ),
}
"""What each program leaves behind."""
_DRIVES: Final = ("/media", "/run/media", "/mnt", "/Volumes")
"""Where Linux and macOS show drives."""
_TOP_FOLDERS: Final = frozenset({"music", "musik", "musique", "música", "musica", "contents", "dj"})


@dataclass(frozen=True, slots=True)
class FoundProgram:
    """A DJ program that is, or was, on this machine."""

    name: str
    is_running: bool
    where: Path | None
    """What it left behind."""


def find_programs(machine: Machine, processes: Iterable[str]) -> list[FoundProgram]:
    """The programs that run or have left something behind."""
    running = list(processes)
    found = []
    for program in PROGRAMS:
        where = next(_traces(program.name, machine), None)
        is_running = program.is_running(running)
        if is_running or where is not None:
            found.append(FoundProgram(program.name, is_running, where))
    return found


def _traces(name: str, machine: Machine) -> Iterator[Path]:
    bases = {"home": machine.home, "music": machine.music, "documents": machine.documents}
    for trace in _TRACES[name]:
        base, _, pattern = trace.partition("/")
        with suppress(OSError):
            yield from bases[base].glob(pattern)


def music_folders(machine: Machine, collections: Iterable[Collection]) -> list[Path]:
    """Folders that seem to hold the user's music, none inside another.

    The system's folder for music, those that hold what the collections name, and drives with music at their top.
    """
    found = [machine.music] if _has_music(machine.music) else []
    for collection in collections:
        with suppress(CollectionError, FileError):  # the census tells what is wrong with it
            tracks = [path for path in collection.tracks() if path.is_file()]
            found += common_folders(tracks, machine)
    found += [drive for drive in machine.volumes if _is_drive(drive) and _has_music(drive)]
    return without_nested(found)


def common_folders(tracks: Iterable[Path], machine: Machine) -> list[Path]:
    """The lowest folders that together hold the tracks, none of them so high that it holds other things too."""
    too_high = {machine.home, *machine.home.parents, machine.documents}
    groups: dict[Path, list[Path]] = {}
    for track in tracks:
        groups.setdefault(Path(track.anchor), []).append(track.parent)
    found = []
    while groups:
        _, folders = groups.popitem()
        common = Path(os.path.commonpath(folders))
        if common not in too_high and common != Path(common.anchor):
            found.append(common)
            continue
        inside: defaultdict[Path, list[Path]] = defaultdict(list)
        for folder in folders:
            if folder != common:  # what lies in it loosely is left to the user
                inside[common / folder.relative_to(common).parts[0]].append(folder)
        groups |= inside
    return sorted(found)


def without_nested(folders: Iterable[Path]) -> list[Path]:
    """The folders in their order, each once, without those that lie in another."""
    unique = list(dict.fromkeys(folders))
    return [
        folder
        for folder in unique
        if not any(folder != other and folder.is_relative_to(other) for other in unique)
    ]


def _is_drive(volume: Path) -> bool:
    if os.name == "nt":
        return volume.drive.upper() != Path.home().drive.upper()
    return any(volume != Path(top) and volume.is_relative_to(top) for top in _DRIVES)


def _has_music(folder: Path) -> bool:
    """Whether music lies in a folder, or in a folder of it; for a drive, only in those that are called so."""
    with suppress(OSError):
        entries = sorted(folder.iterdir())
        if any(_is_audio(entry) for entry in entries):
            return True
        inside = [entry for entry in entries if entry.is_dir() and not entry.name.startswith((".", "_"))]
        if _is_drive(folder):
            inside = [entry for entry in inside if entry.name.lower() in _TOP_FOLDERS]
        return any(_holds_audio(entry) for entry in inside)
    return False


def _holds_audio(folder: Path, depth: int = 2) -> bool:
    with suppress(OSError):
        entries = sorted(folder.iterdir())
        if any(_is_audio(entry) for entry in entries):
            return True
        return depth > 0 and any(
            _holds_audio(entry, depth - 1)
            for entry in entries
            if entry.is_dir() and not entry.is_symlink() and not entry.name.startswith(".")
        )
    return False


def _is_audio(path: Path) -> bool:
    return path.suffix.lower() in AUDIO_ENDINGS and not path.name.startswith(".")
