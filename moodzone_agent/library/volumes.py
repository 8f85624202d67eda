"""Drives, known by an id that outlives the place where they appear.

A file's place is its volume and the path inside it, so that the rows of a USB disk are found again when the
disk comes back under another mount point or drive letter, and are never taken for deleted while it is away.
"""

from __future__ import annotations

import ctypes
import os
import plistlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

_OCTAL: Final = re.compile(rb"\\([0-7]{3})")
_WINDOWS_DRIVES: Final = {2, 3, 4}
"""Of GetDriveTypeW: removable, fixed and remote. Asking an empty CD drive for more would open a dialogue."""


class Place(NamedTuple):
    """Where a file lies, whatever the mount point of the day."""

    volume: str
    """Id of the volume."""
    relative: bytes
    """Path from the top of the volume, in the file system's own bytes, with ``/`` between its parts."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume, or a part of one, as it appears now."""

    id: str
    """Stable over reboots and mount points."""
    mount: Path
    """The folder where it appears."""
    root: str = ""
    """The folder of the volume that appears there, as with bind mounts and subvolumes; empty for its top."""

    def relative(self, path: str) -> bytes:
        """The path inside the volume of an absolute ``path`` at or under the mount."""
        inside = path[len(str(self.mount)) :].replace(os.sep, "/").strip("/")
        return os.fsencode("/".join(part for part in (self.root, inside) if part))

    def path(self, relative: bytes) -> Path | None:
        """Where the file at ``relative`` appears, or None if that part of the volume is not shown."""
        root = os.fsencode(self.root)
        if root and relative != root and not relative.startswith(root + b"/"):
            return None
        return self.mount / os.fsdecode(relative[len(root) :].lstrip(b"/"))


class MountTable:
    """The volumes that are mounted, read once and again at each `refresh`."""

    def __init__(self, read: Callable[[], Iterable[Volume]] | None = None) -> None:
        """``read`` lists what is mounted now; by default it asks the operating system."""
        self._read = read or mounted_volumes
        self.refresh()

    def refresh(self) -> None:
        """Forget everything and look again; drives may have come and gone."""
        self._at = {
            str(volume.mount): volume for volume in self._read()
        }  # of two on one point the later shows
        self._real: dict[str, str] = {}
        self._of_folder: dict[str, Volume] = {}

    def mount_points(self) -> list[Path]:
        """Where volumes appear."""
        return [volume.mount for volume in self._at.values()]

    def volume_of(self, path: Path) -> Volume:
        """The volume that holds the file or folder at ``path``, which need not exist."""
        return self._volume_at(self._resolve(path))

    def find(self, file: Path) -> tuple[Volume, bytes]:
        """The volume that holds a file, and the path inside it. Links are followed: a file has one place."""
        resolved = self._resolve(file)
        volume = self._volume_at(os.path.dirname(resolved))  # noqa: PTH120 (strings: this runs for each file)
        return volume, volume.relative(resolved)

    def locate(self, file: Path) -> Place:
        """The place of a file."""
        volume, relative = self.find(file)
        return Place(volume.id, relative)

    def path_of(self, place: Place) -> Path | None:
        """Where the file at ``place`` appears now, or None while its volume is away."""
        for volume in list(self._at.values()):
            if volume.id == place.volume:
                path = volume.path(place.relative)
                if path is not None and self.shows(volume, path):
                    return path
        return None

    def shows(self, volume: Volume, path: Path) -> bool:
        """Whether ``path``, under the mount of ``volume``, is not covered by another mount further down."""
        return self._volume_at(str(path.parent)) == volume

    def below(self, root: Path) -> Iterator[tuple[Volume, bytes]]:
        """The volumes at or under ``root``, each with the path inside it where what ``root`` shows begins."""
        resolved = self._resolve(root)
        holder = self._volume_at(resolved)
        yield holder, holder.relative(resolved)
        for volume in list(self._at.values()):
            if volume != holder and volume.mount.is_relative_to(resolved):
                yield volume, os.fsencode(volume.root)

    def _resolve(self, path: Path) -> str:
        """Absolute and free of links. Folders are remembered, as a scan asks for many files of each."""
        folder, name = os.path.split(path)
        if name in {"", ".", ".."}:
            return os.path.realpath(path)
        if folder not in self._real:
            self._real[folder] = os.path.realpath(folder)
        resolved = os.path.join(self._real[folder], name)  # noqa: PTH118
        return os.path.realpath(resolved) if os.path.islink(resolved) else resolved  # noqa: PTH114

    def _volume_at(self, folder: str) -> Volume:
        if folder not in self._of_folder:
            start = Path(folder)
            mount = next((str(at) for at in (start, *start.parents) if str(at) in self._at), None)
            if mount is None:  # a network share named outright, such as \\server\share
                mount = start.anchor
                self._at[mount] = Volume(f"share:{mount.lower()}", Path(mount))
            self._of_folder[folder] = self._at[mount]
        return self._of_folder[folder]


def volume_of(path: Path) -> Volume:
    """The volume that holds ``path``, by a fresh look at what is mounted. For many, use a `MountTable`."""
    return MountTable().volume_of(path)


def is_player_volume(path: Path, mounts: MountTable | None = None) -> bool:
    """Whether ``path`` lies on a volume made for CDJs or Engine players, which is written only when named."""
    top = (mounts or MountTable()).volume_of(path).mount
    # rekordbox hides its folder on disks formatted by macOS
    return any(
        (top / data).is_dir() for data in ("PIONEER/rekordbox", ".PIONEER/rekordbox", "Engine Library")
    )


def mounted_volumes() -> list[Volume]:
    """What the operating system has mounted now."""
    if sys.platform == "win32":
        return _windows_volumes()
    if sys.platform == "darwin":
        return _mac_volumes()
    return linux_volumes()


def linux_volumes(
    mountinfo: Path = Path("/proc/self/mountinfo"), by_uuid: Path = Path("/dev/disk/by-uuid")
) -> list[Volume]:
    """What Linux has mounted, from the fields of proc_pid_mountinfo(5) and udev's links to the devices."""
    try:
        lines = mountinfo.read_bytes().splitlines()
    except OSError:  # other systems, and jails without /proc: all is one volume
        return [Volume("system", Path("/"))]
    uuids = _device_uuids(by_uuid)
    volumes = []
    for line in lines:
        fields = [_OCTAL.sub(lambda match: bytes([int(match[1], 8)]), field) for field in line.split(b" ")]
        number, root, point = (os.fsdecode(field) for field in fields[2:5])
        kind, source = (os.fsdecode(field) for field in fields[fields.index(b"-") + 1 :][:2])
        uuid = uuids.get(os.path.realpath(source)) or uuids.get(number)
        volumes.append(Volume(uuid or _id_without_uuid(kind, source, point), Path(point), root.strip("/")))
    return volumes


def _device_uuids(by_uuid: Path) -> dict[str, str]:
    """Id of each block device, by its path and by its ``major:minor`` number."""
    uuids: dict[str, str] = {}
    try:
        links = list(by_uuid.iterdir())
    except OSError:  # containers have no such folder
        return uuids
    for link in links:
        device = link.resolve()
        uuids[str(device)] = f"uuid:{link.name}"
        try:
            number = device.stat().st_rdev
        except OSError:
            continue
        if number:
            uuids[f"{os.major(number)}:{os.minor(number)}"] = f"uuid:{link.name}"
    return uuids


def _id_without_uuid(kind: str, source: str, point: str) -> str:
    """An id from what mountinfo tells.

    The source of a share or data set (``nas:/music``, ``tank/music``) names it wherever it is mounted; other
    sources (``tmpfs``, ``/dev/sdb1``) say too little without the mount point.
    """
    telling = re.search("[:/]", source) and not source.startswith("/dev/")
    return f"{kind}:{source}" if telling else f"{kind}:{source}:{point}"


def _mac_volumes() -> list[Volume]:
    """The system's volumes as one, since macOS joins them by firmlinks, and what is in ``/Volumes``."""
    drives = [drive for drive in Path("/Volumes").iterdir() if drive.is_mount() and not drive.is_symlink()]
    return [Volume("system", Path("/")), *(Volume(_mac_id(drive), drive) for drive in drives)]


def _mac_id(drive: Path) -> str:
    command = ["/usr/sbin/diskutil", "info", "-plist", str(drive)]
    try:
        told = plistlib.loads(subprocess.run(command, capture_output=True, check=True, timeout=10).stdout)
    except (OSError, subprocess.SubprocessError, plistlib.InvalidFileException):
        told = {}
    return f"uuid:{told['VolumeUUID']}" if told.get("VolumeUUID") else f"name:{drive.name}"  # as of a share


def _windows_volumes() -> list[Volume]:
    volumes: list[Volume] = []
    if sys.platform == "win32":
        kernel = ctypes.windll.kernel32
        letters = kernel.GetLogicalDrives()
        for drive in (f"{chr(ord('A') + bit)}:\\" for bit in range(26) if letters >> bit & 1):
            serial = ctypes.c_uint32()
            if kernel.GetDriveTypeW(drive) in _WINDOWS_DRIVES and kernel.GetVolumeInformationW(
                drive, None, 0, ctypes.byref(serial), None, None, None, 0
            ):
                volumes.append(Volume(f"serial:{serial.value:08X}", Path(drive)))
    return volumes
