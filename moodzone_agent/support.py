"""A file for whoever helps: what is here and what went wrong, without saying what music it is."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from exporters.filesystem import replace_file
from moodzone_agent import __version__
from moodzone_agent.background import control
from moodzone_agent.background.control import LOG_NAME
from moodzone_agent.config import Places, load_settings
from moodzone_agent.doctor import examine
from moodzone_agent.errors import MoodZoneError, UsageError
from moodzone_agent.library.store import Library

_PACKAGES: Final = ("av", "mutagen", "numpy", "onnxruntime", "psutil", "scipy", "soxr", "watchdog")
_LINES: Final = 500
_LONGEST_ENDING: Final = 5
_START: Final = re.compile(r"(?<![\w/\\])(?:[A-Za-z]:)?[/\\]")
_LOOKS_LIKE_PATH: Final = re.compile(_START.pattern + r"(?:[^\n:;,\"'<>|()]|:(?!\s))+|~[/\\][^\n:;,]+")
"""Too much rather than too little."""


def write_report(places: Places, path: Path, *, names: bool) -> None:
    """Write findings, counts, settings and the agent's log as JSON; paths are hashed unless ``names``.

    Titles and comments aren't in it at all. Errors: `UsageError` if the file can't be written.
    """
    report = {
        "moodzone": __version__,
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "findings": [asdict(finding) for finding in examine(places)],
        "settings": _settings(places),
        "library": _library(places),
        "agent": json.loads(json.dumps(asdict(told), default=str))
        if (told := control.read_status(places))
        else None,
        "log": _log(places),
    }
    kept = report if names else _Hider(_known_paths(places)).hide(report)
    try:
        replace_file(path, json.dumps(kept, indent=1).encode("ascii"))
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}); name another file") from error


def _known_paths(places: Places) -> set[str]:
    """Files and folders of the library."""
    try:
        with Library.open(places.library, read_only=True) as library:
            paths = [file.path for file in library.files()]
    except MoodZoneError:
        return set()
    return {str(path) for path in paths} | {str(parent) for path in paths for parent in path.parents[:-1]}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _settings(places: Places) -> Any:
    try:
        return json.loads(json.dumps(asdict(load_settings(places.settings)), default=str))
    except MoodZoneError as error:
        return str(error)


def _library(places: Places) -> Any:
    if not places.library.exists():
        return None
    try:
        with Library.open(places.library, read_only=True) as library:
            files = list(library.files())
            tracks = list(library.tracks())
            runs = [asdict(run) for run in library.runs()]
    except MoodZoneError as error:
        return str(error)
    return {
        "files": Counter(str(file.status) for file in files),
        "endings": Counter(file.path.suffix.lower() for file in files),
        "reasons": Counter(file.reason for file in files if file.reason).most_common(50),
        "zones": Counter(str(track.mark.zone) for track in tracks if track.mark),
        "labels": Counter(f"{track.label.origin} by {track.label.source}" for track in tracks if track.label),
        "runs": json.loads(json.dumps(runs, default=str)),
    }


def _log(places: Places) -> list[str]:
    try:
        text = (places.agent / LOG_NAME).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.splitlines()[-_LINES:]


class _Hider:
    """Replaces paths by short hashes and the files' endings: known ones exactly, then all that looks like one."""

    def __init__(self, known: Iterable[str]) -> None:
        self._known = frozenset(known)

    def hide(self, value: Any) -> Any:
        """The same without paths."""
        match value:
            case str():
                return _LOOKS_LIKE_PATH.sub(lambda found: _hash(found[0]), self._without_known(value))
            case dict():
                return {self.hide(key): self.hide(item) for key, item in value.items()}
            case list() | tuple():
                return [self.hide(item) for item in value]
        return value

    def _without_known(self, text: str) -> str:
        """A name may hold all that ends a path elsewhere, such as a colon and a space; the longest counts."""
        parts, done = [], 0
        for found in _START.finditer(text):
            start = found.start()
            end = next((end for end in range(len(text), start, -1) if text[start:end] in self._known), None)
            if start >= done and end is not None:
                parts += [text[done:start], _hash(text[start:end])]
                done = end
        return "".join([*parts, text[done:]])


def _hash(name: str) -> str:
    digest = hashlib.sha256(name.strip().encode("utf-8", "surrogateescape")).hexdigest()[:12]
    suffix = Path(name.strip()).suffix.lower()
    return f"<{digest}{suffix if len(suffix) <= _LONGEST_ENDING else ''}>"
