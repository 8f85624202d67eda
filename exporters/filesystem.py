"""What careful writing needs of the operating system, and what differs between systems."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
import sys
from pathlib import Path
from typing import Final

from moodzone_agent.errors import FileError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

BLOCK: Final = 1 << 20
"""Bytes read at once: large enough for speed, small enough for any machine."""

ABSENT: Final = "absent"
"""In the place of a SHA-256: there is no such file."""
IN_PLACE: Final = "in place"
"""In the place of a SHA-256: the file is a database that was changed in place."""

_IMMUTABLE: Final = stat.UF_IMMUTABLE | stat.SF_IMMUTABLE | stat.UF_APPEND | stat.SF_APPEND
_GONE: Final = {errno.ENOENT, errno.ENOTDIR}
_FULL: Final = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN: Final = {errno.EACCES, errno.EPERM}
_UNPLUGGED: Final = {errno.EIO, errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN}
_BUSY: Final = {errno.EBUSY, errno.ETXTBSY, errno.EAGAIN}
_WINDOWS_BUSY: Final = {32, 33}  # ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION


def explain(error: OSError) -> str:
    """The reason an operation on a user's file failed, in plain words, with what cures it."""
    if getattr(error, "winerror", None) in _WINDOWS_BUSY or error.errno in _BUSY:
        return "locked by another program: close it there and run again"
    if error.errno in _FULL:
        return "disk full: free some space on its drive and run again"
    if error.errno == errno.EFBIG:
        return "larger than its drive or a quota allows: raise the limit or move the file"
    if error.errno == errno.EROFS:
        return "its drive is read-only: mount it for writing and run again"
    if error.errno in _FORBIDDEN:
        return "not writable: allow writing to the file and its folder, close it elsewhere, and run again"
    if error.errno in _GONE:
        return "vanished: it was moved or deleted, or its drive was unplugged"
    if error.errno in _UNPLUGGED:
        return "its drive failed or was unplugged: check the drive and run again"
    if error.errno == errno.ELOOP:
        return "a symbolic link that leads back to itself: remove the link"
    return f"could not be written: {error.strerror or error}"


def is_gone(path: Path) -> bool:
    """Whether the file system itself says that nothing has this name; not where it cannot tell."""
    try:
        path.lstat()
    except OSError as error:
        return error.errno in _GONE
    return False


def hash_file(path: Path) -> str:
    """SHA-256 of a regular file's bytes, as 64 hexadecimal digits."""
    # A named pipe would block until somebody writes to it.
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    with os.fdopen(os.open(path, flags), "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(descriptor: int) -> None:
    """Put an open file's bytes on the medium; on macOS through the drive's own cache too."""
    if sys.platform == "darwin":
        with contextlib.suppress(OSError):  # network drives only know fsync
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def sync_file(path: Path) -> None:
    """Put a closed file's bytes and attributes on the medium."""
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))  # Windows syncs only what it may write
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Put a folder's names on the medium, where the system can: Windows and some network drives cannot."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                sync(descriptor)
            finally:
                os.close(descriptor)


def replace_file(path: Path, content: bytes) -> None:
    """Write a small file of ours so that it is whole at every instant: as it was, or with this content.

    A link stays, and the file it leads to is replaced. The mode of a file that is there is kept. Errors: `OSError`.
    """
    target = Path(os.path.realpath(path))
    temp = target.with_name(f".mz-{secrets.token_hex(4)}.tmp")
    try:
        with temp.open("xb") as file:
            file.write(content)
            file.flush()
            with contextlib.suppress(FileNotFoundError):
                temp.chmod(stat.S_IMODE(target.stat().st_mode))
            sync(file.fileno())
        temp.replace(target)
    finally:
        temp.unlink(missing_ok=True)
    sync_folder(target.parent)


def try_lock(descriptor: int) -> bool:
    """Lock an open file until it is closed or the process ends; False where another holder has it."""
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, 1 << 30, os.SEEK_SET)  # far behind the text, which stays readable
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _BUSY | _FORBIDDEN | {errno.EDEADLK, errno.EWOULDBLOCK}:
            return False
        raise
    return True


def is_read_only(path: Path, status: os.stat_result) -> bool:
    """Whether a file is marked read-only or may not be written by us.

    The mark counts for root too, who may write everything, and counts although ``os.replace`` would not
    look at it.
    """
    flags: int = getattr(status, "st_flags", 0)
    return bool(flags & _IMMUTABLE) or not status.st_mode & 0o222 or not os.access(path, os.W_OK)


def copy_attributes(source: Path, target: Path, status: os.stat_result) -> None:
    """Give ``target`` the owner, mode, extended attributes, access list and creation time of ``source``.

    ``status`` is that of ``source``. What the system or the drive does not let us keep is skipped, save the
    user's own attributes, whose loss raises OSError, and the owner, whose loss raises FileError. Linux cannot
    set a creation time; on Windows the access list comes from the folder.
    """
    if sys.platform == "win32":
        _set_creation_time(target, status.st_ctime_ns)
    else:
        _copy_owner_and_mode(target, status)
    if sys.platform == "linux":
        _copy_xattrs(source, target)
    if sys.platform == "darwin":
        _copy_access_list_and_xattrs(source, target)
        # A modification time before the creation time takes the creation time with it.
        born = int(status.st_birthtime * 1e9)
        os.utime(target, ns=(born, born))


if sys.platform != "win32":

    def _copy_owner_and_mode(target: Path, status: os.stat_result) -> None:
        """Owner first: changing it clears bits of the mode. Only root may give files away, FAT has neither"""
        for user, group in ((-1, status.st_gid), (status.st_uid, -1)):
            with contextlib.suppress(OSError):
                os.chown(target, user, group)
        if target.stat().st_uid != status.st_uid:
            raise FileError("belongs to another user, and would not any more: run as its owner")
        with contextlib.suppress(PermissionError):
            target.chmod(stat.S_IMODE(status.st_mode))


if sys.platform == "linux":

    def _copy_xattrs(source: Path, target: Path) -> None:
        """Copy extended attributes; POSIX access lists are among them."""
        try:
            wanted, inherited = os.listxattr(source), os.listxattr(target)
        except OSError as error:
            if error.errno == errno.ENOTSUP:
                return
            raise
        for name in set(inherited) - set(wanted):  # an access list that the folder gives to new files
            with contextlib.suppress(OSError):
                os.removexattr(target, name)
        for name in wanted:
            try:
                os.setxattr(target, name, os.getxattr(source, name))
            except OSError:
                if name.startswith("user."):
                    raise


if sys.platform == "darwin":
    import ctypes

    def _copy_access_list_and_xattrs(source: Path, target: Path) -> None:
        """Copy access list and extended attributes (Finder tags among them) by copyfile(3)."""
        access_list_and_xattrs = 1 << 0 | 1 << 2
        copyfile = ctypes.CDLL(None, use_errno=True).copyfile
        copyfile.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_uint32]
        if copyfile(os.fsencode(source), os.fsencode(target), None, access_list_and_xattrs) < 0:
            code = ctypes.get_errno()
            if code != errno.ENOTSUP:
                raise OSError(code, os.strerror(code), str(target))


if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    def _set_creation_time(path: Path, time_ns: int) -> None:
        """Set when the file was made, as Windows' SetFileTime does."""
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.CreateFileW.restype = wintypes.HANDLE
        kernel.SetFileTime.argtypes = [wintypes.HANDLE, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
        kernel.CloseHandle.argtypes = [wintypes.HANDLE]
        write_attributes, share_all, open_existing = 0x100, 7, 3
        handle = kernel.CreateFileW(str(path), write_attributes, share_all, None, open_existing, 0, None)
        if handle == wintypes.HANDLE(-1).value:
            raise ctypes.WinError(ctypes.get_last_error())
        try:
            ticks = time_ns // 100 + 116_444_736_000_000_000  # of 100 ns since 1601
            time = wintypes.FILETIME(ticks & 0xFFFF_FFFF, ticks >> 32)
            kernel.SetFileTime(handle, ctypes.byref(time), None, None)
        finally:
            kernel.CloseHandle(handle)
