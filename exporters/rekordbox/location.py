"""The ``Location`` of a track in rekordbox's XML: a path as a URL, the way rekordbox itself spells it.

``file://localhost/Users/dj/a%20b.mp3``, ``file://localhost/C:/Music/a.mp3``, and for a network share
``file://localhost//server/share/a.mp3``. Measured on exports of 5.6 to 6.6: UTF-8, lower-case hex, and
unescaped are letters, digits and ``! # $ ( ) + , - . / @ _``. Reading takes other spellings, too.
"""

from __future__ import annotations

import re
import string
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Final
from urllib.parse import unquote_to_bytes

from moodzone_agent.errors import CollectionError

_HOST: Final = "localhost"
_PREFIX: Final = f"file://{_HOST}"
_UNESCAPED: Final = frozenset((string.ascii_letters + string.digits + "!#$()+,-./@_").encode())
_SPELLING: Final = [chr(byte) if byte in _UNESCAPED else f"%{byte:02x}" for byte in range(256)]
_URL: Final = re.compile(r"file://(?P<host>[^/:]*)(?P<path>/.*)", re.IGNORECASE | re.DOTALL)
_DRIVE: Final = re.compile(r"[A-Za-z]:")


def to_location(path: PurePath) -> str:
    """The text for an absolute path; bytes of a POSIX path that are not UTF-8 are escaped one by one.

    Letters with marks stay composed or decomposed as they are. Raises ValueError for a relative path, and
    CollectionError for a Windows path with half a surrogate pair.
    """
    if not path.is_absolute():
        raise ValueError(f"not an absolute path: {path}")
    text = path.as_posix()
    if not isinstance(path, PureWindowsPath):
        return f"{_PREFIX}{_escaped('/' + text.lstrip('/'))}"
    if _DRIVE.fullmatch(path.drive):
        return f"{_PREFIX}/{path.drive}{_escaped(text[len(path.drive) :])}"
    return f"{_PREFIX}{_escaped(text)}"


def from_location(text: str) -> PurePath | None:
    """The path that a Location names; None for a streaming track, and where it names no file at all.

    A drive letter makes it a Windows path, and so does a host other than this one, which is taken for the
    server of a share.
    """
    match = _URL.fullmatch(text)
    if match is None:
        return None
    host, path = match["host"].lower(), match["path"]
    if host.startswith(_HOST) and host != _HOST:  # a streaming service, whose text follows without a slash
        return None
    # Looked for before unescaping: a POSIX folder named C: is spelled C%3a.
    has_drive = _DRIVE.fullmatch(path[1:3]) is not None and path[3:4] == "/"
    # An unpaired surrogate cannot come from XML; it is not worth an error of its own.
    path = unquote_to_bytes(path.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogateescape")
    if "\0" in path:
        return None
    if has_drive:
        return PureWindowsPath(path[1:])
    if host not in {"", _HOST}:
        path = f"//{host}{path}"
    if not path.startswith("//"):
        return PurePosixPath(path)
    share = PureWindowsPath(path)
    return share if share.is_absolute() else None  # a server alone is no place for files


def _escaped(text: str) -> str:
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise CollectionError(
            f"rekordbox's XML cannot hold the name {text!r}. Rename it and run again."
        ) from error
    return "".join(map(_SPELLING.__getitem__, data))
