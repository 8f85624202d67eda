"""Which files of a folder are worth opening. Nothing is opened here, and cloud files are never fetched."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

AUDIO_ENDINGS: Final = frozenset(
    ".aac .aif .aifc .aiff .alac .flac .m4a .m4b .mp3 .mp4 .oga .ogg .opus .wav .wave".split()  # noqa: SIM905
)
_OTHER_ENDINGS: Final = frozenset(
    """
    .bmp .gif .heic .ico .jpeg .jpg .png .psd .svg .tif .tiff .webp
    .csv .doc .docx .htm .html .ini .json .log .lrc .md .nfo .pdf .rtf .sfv .toml .txt .url .webloc .xls .xlsx
    .xml .yaml .yml .accurip .md5 .sha256
    .asx .crate .cue .fpl .m3u .m3u8 .nml .pls .tsi .vdjfolder .wpl .xspf
    .anlz .asd .dat .db .edb .ext .itl .journal .lnk .ovw .pdb .pek .plist .reapeaks .sqlite
    .avi .flv .m2ts .m4v .mkv .mov .mpeg .mpg .webm .wmv
    .7z .bz2 .dmg .exe .gz .iso .pkg .rar .tar .torrent .xz .zip
    .als .alp .cpr .flp .logicx .mid .midi .ptx .rpp
    """.split()  # noqa: SIM905
)
_DOWNLOAD_ENDINGS: Final = frozenset({".crdownload", ".download", ".part", ".partial", ".tmp"})
_TRASH: Final = frozenset(
    {"$recycle.bin", "#recycle", "recycler", "system volume information", ".trash", ".trashes"}
)
_INDEX_FOLDERS: Final = frozenset({"@eadir", "lost+found"})
"""Of a Synology disk (previews named like the music) and of ext4."""

_SPARSE_SIZE: Final = 64 << 10
"""Bytes from which a file without a block on the disk counts as a placeholder. Some file systems keep smaller
files beside their names, where they take no block either."""
_SF_DATALESS: Final = 0x40000000
"""``st_flags`` of macOS: the content is in the cloud."""
_WINDOWS_RECALL: Final = 0x1000 | 0x40000 | 0x400000
"""FILE_ATTRIBUTE_OFFLINE, RECALL_ON_OPEN and RECALL_ON_DATA_ACCESS."""
_WINDOWS_HIDDEN: Final = 0x2
_WINDOWS_JUNCTION: Final = 0xA0000003
"""IO_REPARSE_TAG_MOUNT_POINT. Cloud folders are other reparse points, and are entered."""


class Skip(StrEnum):
    """Why something is left alone; the value is the reason in words."""

    APPLE_DOUBLE = "macOS's companion file, not music"
    HIDDEN = "hidden"
    TRASH = "trash"
    DOWNLOAD = "unfinished download"
    PLACEHOLDER = "in the cloud, not on this disk"
    SPECIAL = "pipe, socket or device"
    PLAYER_DATA = "a player's own data"
    FOLDER_LINK = "link to a folder; name that folder to include it"
    FILE_LINK = "link to a file that is found elsewhere"
    DANGLING = "link to nothing"
    LOOP = "the folder holds itself"
    NOT_MUSIC = "other kinds of file"


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file worth opening."""

    path: Path
    """Absolute and free of links."""
    stat: os.stat_result
    sniff: bool = False
    """Its ending does not say audio, so that only its content tells."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file or a whole folder left alone on purpose."""

    path: Path
    why: Skip
    count: int = 1
    """Files it stands for: 1, but for the sum of all files of other kinds under the root."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A folder that cannot be listed, or a file whose state cannot be asked."""

    path: Path
    reason: str


def walk(root: Path) -> Iterator[Found | Skipped | Unreadable]:
    """Look through ``root``, a folder or one file, in an order that depends on names only.

    What is named outright is looked at whatever it is called. Links to folders are not followed; a link to a
    file stands for its target. Files of other kinds than music come as one `Skipped` at the end.
    """
    top = Path(os.path.realpath(root))
    try:
        status = top.stat()
    except OSError as error:
        yield Unreadable(top, _reason(error))
        return
    if stat.S_ISDIR(status.st_mode):
        yield from _Walk(top).run()
    else:
        yield _regular(top, status, sniff=top.suffix.lower() not in AUDIO_ENDINGS)


def look(path: Path, root: Path) -> Found | Skipped | Unreadable | Path | None:
    """What a walk of ``root``, absolute and free of links, comes to at ``path`` below it.

    A folder to enter comes back as its path, what is of no interest or not there as None.
    """
    why = _skip_by_folders(path, root)
    return Skipped(path, why) if why else _Walk(root)._look(path)


def is_passed_over(path: Path, root: Path, *, is_folder: bool) -> bool:
    """Whether a walk of ``root`` leaves ``path`` below it alone for its name; it need not be there."""
    if not is_folder and path.suffix.lower() in _OTHER_ENDINGS:
        return True
    return bool(_skip_by_folders(path, root) or _skip_by_name(path, is_folder=is_folder))


class _Walk:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._links: set[Path] = set()
        self._other_files = 0

    def run(self) -> Iterator[Found | Skipped | Unreadable]:
        waiting: list[tuple[Path, frozenset[tuple[int, int]]]] = [(self._root, frozenset())]
        while waiting:
            folder, above = waiting.pop()
            folders = []
            try:
                status = folder.stat()
                names = sorted(os.listdir(folder), key=os.fsencode)  # noqa: PTH208 (paths of all would be slow)
            except OSError as error:
                yield Unreadable(folder, _reason(error))
                continue
            identity = (status.st_dev, status.st_ino)
            if identity in above:  # on a share whose server resolves links
                yield Skipped(folder, Skip.LOOP)
                continue
            for name in names:
                path = folder / name
                seen = self._look(path)
                if isinstance(seen, Path):
                    folders.append((seen, above | {identity}))
                elif seen is not None:
                    yield seen
            waiting += reversed(folders)
        if self._other_files:
            yield Skipped(self._root, Skip.NOT_MUSIC, self._other_files)

    def _look(self, path: Path) -> Found | Skipped | Unreadable | Path | None:
        """What one entry is: a folder to enter comes back as its path, what is of no interest as None."""
        try:
            status = path.lstat()
        except FileNotFoundError:  # vanished since the folder was listed
            return None
        except OSError as error:
            return Unreadable(path, _reason(error))
        is_folder = stat.S_ISDIR(status.st_mode)
        why = _skip_by_name(path, is_folder=is_folder) or _skip_by_status(status)
        if why:
            return Skipped(path, why)
        if stat.S_ISLNK(status.st_mode):
            return self._follow(path)
        return path if is_folder else self._file(path, status)

    def _follow(self, link: Path) -> Found | Skipped | Unreadable | None:
        target = Path(os.path.realpath(link))
        try:
            status = target.stat()
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
                return Skipped(link, Skip.DANGLING)
            return Unreadable(link, _reason(error))
        if stat.S_ISDIR(status.st_mode):
            return Skipped(link, Skip.FOLDER_LINK)
        why = _skip_by_name(target, is_folder=False) or _skip_by_status(status)
        if why:
            return Skipped(link, why)
        if target in self._links or self._comes_to(target):
            return Skipped(link, Skip.FILE_LINK)
        self._links.add(target)
        return self._file(target, status)

    def _comes_to(self, target: Path) -> bool:
        """Whether the walk finds ``target``, which is no link, under the root by itself."""
        if not target.is_relative_to(self._root):
            return False
        inside = target.relative_to(self._root).parents
        return not any(_skip_by_name(self._root / folder, is_folder=True) for folder in inside if folder.name)

    def _file(self, path: Path, status: os.stat_result) -> Found | Skipped | None:
        ending = path.suffix.lower()
        if ending in _OTHER_ENDINGS:
            self._other_files += 1
            return None
        return _regular(path, status, sniff=ending not in AUDIO_ENDINGS)


def _regular(path: Path, status: os.stat_result, *, sniff: bool) -> Found | Skipped:
    why = _skip_by_status(status)
    return Skipped(path, why) if why else Found(path, status, sniff)


def _skip_by_folders(path: Path, root: Path) -> Skip | None:
    """Why the walk of ``root`` doesn't enter one of the folders between it and ``path``."""
    for folder in path.parents:
        if folder == root:
            break
        if why := _skip_by_name(folder, is_folder=True):
            return why
    return None


def _skip_by_name(path: Path, *, is_folder: bool) -> Skip | None:
    name = path.name.lower()
    ending = path.suffix.lower()
    if name.startswith("._"):
        return Skip.APPLE_DOUBLE
    if is_folder and (name in _TRASH or name.startswith(".trash-")):
        return Skip.TRASH
    if ending == ".icloud":
        return Skip.PLACEHOLDER
    if name.startswith(".") or (is_folder and name in _INDEX_FOLDERS):
        return Skip.HIDDEN
    if ending in _DOWNLOAD_ENDINGS and (not is_folder or ending == ".download"):  # Safari's is a folder
        return Skip.DOWNLOAD
    if is_folder and _is_player_data(path):
        return Skip.PLAYER_DATA
    return None


def _is_player_data(folder: Path) -> bool:
    """Databases and analyses of CDJs and Engine players. The music beside them is music like any other."""
    if folder.name == "PIONEER":
        return any((folder / inside).is_dir() for inside in ("rekordbox", "USBANLZ"))
    return folder.parent.name == "Engine Library" and folder.name.startswith("Database")


def _skip_by_status(status: os.stat_result) -> Skip | None:
    mode = status.st_mode
    attributes = getattr(status, "st_file_attributes", 0)
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
        return Skip.SPECIAL
    if getattr(status, "st_reparse_tag", 0) == _WINDOWS_JUNCTION:
        return Skip.FOLDER_LINK
    if attributes & _WINDOWS_HIDDEN:
        return Skip.HIDDEN
    if stat.S_ISREG(mode):
        empty_on_disk = status.st_size >= _SPARSE_SIZE and getattr(status, "st_blocks", 1) == 0
        if empty_on_disk or attributes & _WINDOWS_RECALL or getattr(status, "st_flags", 0) & _SF_DATALESS:
            return Skip.PLACEHOLDER
    return None


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
