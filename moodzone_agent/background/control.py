"""How commands and a running agent talk: by small files in a folder beside the library.

::

    agent.json           what the agent does; replaced whole (`AgentStatus`)
    paused               the user paused it, and since when; outlasts the agent and the computer's sleep
    requests/000003-flush    what commands ask of the agent, in order of their numbers; it deletes them

The lock beside them is that of `moodzone_agent.background.single`. Numbers give the order, because clocks are set back.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from exporters.filesystem import replace_file
from exporters.journal import TEMP_NAME
from moodzone_agent.config import Places
from moodzone_agent.errors import UsageError

LOG_NAME: Final = "agent.log"
_LOG: Final = re.compile(rf"{re.escape(LOG_NAME)}(\.\d+)?")
_STATUS: Final = "agent.json"
_PAUSED: Final = "paused"
_REQUESTS: Final = "requests"
_REQUEST_NAME: Final = re.compile(r"(?P<number>\d{6,})-(?P<what>[a-z]+)")
_NEVER: Final = datetime.fromtimestamp(0, UTC)

_log = logging.getLogger(__name__)


class Request(StrEnum):
    """What a command can ask of the agent."""

    PAUSE = "pause"
    RESUME = "resume"
    FLUSH = "flush"
    """Write now what waits, if it may be written at all."""
    RETRAIN = "retrain"
    STOP = "stop"
    RELOAD = "reload"
    """Read the settings again."""


@dataclass(frozen=True, slots=True)
class WatchedFolder:
    """A folder of music, and how it is watched."""

    path: str
    mode: str
    """In words, such as ``events`` or ``looked through every 15 minutes``."""


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """What the agent tells about itself. It may be out of date: `single.holder` says whether ``pid`` still runs."""

    pid: int = 0
    started: datetime = _NEVER
    """In UTC."""
    state: str = ""
    """In words: ``watching``, ``analysing``, ``paused``, ``waiting for Serato DJ``."""
    queue: int = 0
    """Files still to be analysed."""
    rate: float = 0.0
    """Files analysed per hour, of late."""
    waiting: int = 0
    """Zones that are to be written and may not be yet."""
    waiting_for: str = ""
    """Why."""
    errors: tuple[str, ...] = ()
    """The last few, newest first."""
    champion: str = ""
    """Id of the model in use."""
    labels: int = 0
    """Given since the last training."""
    retraining: str = ""
    """When it learns next, in words."""
    folders: tuple[WatchedFolder, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of the program and what it depends on, by name."""


def write_status(places: Places, status: AgentStatus) -> bool:
    """Tell what the agent does; False where it can't be told, which is no reason to stop."""
    record = asdict(status) | {"started": status.started.isoformat()}
    try:
        places.agent.mkdir(parents=True, exist_ok=True)
        replace_file(places.agent / _STATUS, json.dumps(record, indent=1).encode("ascii"))
    except OSError as error:  # full, or open in a command on Windows
        _log.warning("what the agent does cannot be told in %s: %s", places.agent, error)
        return False
    return True


def read_status(places: Places) -> AgentStatus | None:
    """What the agent told last; None where it never did, or the file is damaged. Unknown keys are ignored."""
    try:
        return _status(json.loads((places.agent / _STATUS).read_bytes()))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def clear_status(places: Places) -> None:
    """Forget what was told, for an agent that ends."""
    with contextlib.suppress(OSError):
        (places.agent / _STATUS).unlink()


def request(places: Places, what: Request) -> None:
    """Ask something of the agent. Errors: `UsageError` if it can't be asked."""
    folder = places.agent / _REQUESTS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        number = max((number for number, _, _ in _requests(folder)), default=0) + 1
        while not _make(folder / f"{number:06}-{what}"):
            number += 1
    except OSError as error:
        raise UsageError(
            f"the agent cannot be asked: {folder} cannot be written ({error.strerror}); "
            "make it writable, or free some space there"
        ) from error


def take_requests(places: Places, *, starting: bool = False) -> list[Request]:
    """What was asked of the agent since the last call, in order, each told once; what is unknown is dropped.

    `starting`: this agent has just started. A request to stop was then meant for an earlier one, and is dropped.
    """
    taken: list[Request] = []
    try:
        waiting = sorted(_requests(places.agent / _REQUESTS))
    except OSError as error:
        _log.warning("requests cannot be read: %s", error)
        return taken
    for _, what, path in waiting:
        try:
            path.unlink()
        except OSError as error:  # else it would be told for ever
            _log.warning("%s cannot be deleted: %s", path, error)
            continue
        if what in set(Request) and not (starting and what == Request.STOP):
            taken.append(Request(what))
    return taken


def pause(places: Places) -> None:
    """Note that the user paused the agent; what was noted before stays. Errors: `UsageError`."""
    marker = places.agent / _PAUSED
    try:
        places.agent.mkdir(parents=True, exist_ok=True)
        if not marker.exists():
            replace_file(marker, datetime.now(UTC).isoformat().encode("ascii"))
    except OSError as error:
        raise UsageError(
            f"{marker} cannot be written ({error.strerror}), so the agent would not stay paused; "
            "make its folder writable, or free some space there"
        ) from error


def resume(places: Places) -> None:
    """Note that the agent may go on. Errors: `UsageError`."""
    marker = places.agent / _PAUSED
    try:
        marker.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            f"{marker} cannot be deleted ({error.strerror}), so the agent stays paused; delete it yourself"
        ) from error


def paused_since(places: Places) -> datetime | None:
    """Since when the user has paused the agent, in UTC; None if it isn't paused."""
    marker = places.agent / _PAUSED
    try:
        changed = marker.stat().st_mtime
        with contextlib.suppress(ValueError, OSError):  # its being there is what counts
            since = datetime.fromisoformat(marker.read_bytes().decode("ascii"))
            return since if since.tzinfo else since.replace(tzinfo=UTC)
    except OSError:
        return None
    return datetime.fromtimestamp(changed, UTC)


def erase(places: Places) -> None:
    """Delete all of these files, the log, and what one who was killed while writing them left. Errors: `OSError`."""
    requests = places.agent / _REQUESTS
    for _, _, path in _requests(requests):
        path.unlink(missing_ok=True)
    for name in (_STATUS, _PAUSED):
        (places.agent / name).unlink(missing_ok=True)
    if places.agent.is_dir():
        for path in list(places.agent.iterdir()):
            if TEMP_NAME.fullmatch(path.name) or _LOG.fullmatch(path.name):
                path.unlink()
    with contextlib.suppress(OSError):  # never made, or it holds something else
        requests.rmdir()


def _make(path: Path) -> bool:
    """Make an empty file; False where there is one. Its name says all, so it is whole at every instant."""
    try:
        path.open("xb").close()
    except FileExistsError:
        return False
    return True


def _requests(folder: Path) -> Iterator[tuple[int, str, Path]]:
    try:
        paths = list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    for path in paths:
        if match := _REQUEST_NAME.fullmatch(path.name):
            yield int(match["number"]), match["what"], path


def _status(record: Any) -> AgentStatus:
    """Errors: `TypeError`, `ValueError`, `KeyError` where something is not what it should be."""
    if not isinstance(record, dict):
        raise TypeError
    default = AgentStatus()
    values = {
        item.name: _read(getattr(default, item.name), item.name, record[item.name])
        for item in fields(AgentStatus)
        if item.name in record
    }
    return AgentStatus(**values)


def _read(default: Any, name: str, value: Any) -> Any:
    match default, value:
        case datetime(), str():
            return datetime.fromisoformat(value)
        case float(), int() | float():
            return float(value)
        case tuple(), list() if name == "folders":
            return tuple(WatchedFolder(str(told["path"]), str(told["mode"])) for told in value)
        case tuple(), list():
            return tuple(map(str, value))
        case dict(), dict():
            return {str(key): str(told) for key, told in value.items()}
        case _ if type(value) is type(default):
            return value
    raise TypeError
