"""Where MoodZone keeps its things, and the user's settings."""

from __future__ import annotations

import math
import os
import tomllib
from dataclasses import dataclass, field, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

from exporters.atomic import Times
from exporters.tags.entries import TagField
from moodzone_agent.errors import UsageError
from moodzone_agent.types import Cuts

HOME_VARIABLE: Final = "MOODZONE_HOME"


@dataclass(frozen=True, slots=True)
class Places:
    """Folders and files of ours on this machine."""

    settings: Path
    library: Path
    journal: Path

    @classmethod
    def find(cls) -> Self:
        """Under ``MOODZONE_HOME`` if that is set, else where the platform wants such things."""
        home = os.environ.get(HOME_VARIABLE)
        if home:
            root = Path(home).expanduser().absolute()
            return cls(root / "settings.toml", root / "library.sqlite", root / "journal")
        from platformdirs import PlatformDirs

        folders = PlatformDirs("moodzone", appauthor=False)
        data = folders.user_data_path
        return cls(folders.user_config_path / "settings.toml", data / "library.sqlite", data / "journal")


@dataclass(frozen=True, slots=True)
class TagSettings:
    """How zones are written into files."""

    field: TagField = TagField.COMMENT
    """Where the visible token goes: comment, grouping, genre or none."""
    times: Times = Times.NUDGE
    """What becomes of the modification time: nudge (two seconds later), keep or now."""


@dataclass(frozen=True, slots=True)
class JournalSettings:
    """How long writes can be undone."""

    keep_days: int = 365
    max_megabytes: int = 2000


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings; `load_settings` reads them from TOML."""

    zones: Cuts = field(default_factory=Cuts)
    tags: TagSettings = field(default_factory=TagSettings)
    journal: JournalSettings = field(default_factory=JournalSettings)


def load_settings(path: Path) -> Settings:
    """The settings file, or the defaults where there is none.

    Errors: `UsageError` names the file, the key and what is allowed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read ({error})") from error
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error
    settings: Settings = _filled(Settings, tables, path, "")
    cuts = settings.zones
    if not 1 <= cuts.yellow_max <= cuts.purple_min <= 9:
        raise UsageError(f"{path}: zones.yellow_max must not exceed zones.purple_min, both within 1 to 9")
    return settings


def _filled(kind: type[Any], table: dict[str, Any], path: Path, prefix: str) -> Any:
    known = {item.name: getattr(kind(), item.name) for item in fields(kind)}
    values = {}
    for name, value in table.items():
        key = f"{prefix}{name}"
        if name not in known:
            where = f"[{prefix.removesuffix('.')}]" if prefix else "the file"
            raise UsageError(f"{path}: there is no setting {key}; {where} may hold {', '.join(known)}")
        values[name] = _checked(known[name], value, path, key)
    return kind(**values)


def _checked(default: Any, value: Any, path: Path, key: str) -> Any:
    if is_dataclass(default):
        if not isinstance(value, dict):
            raise UsageError(f"{path}: {key} is a table; write [{key}]")
        return _filled(type(default), value, path, f"{key}.")
    if isinstance(default, StrEnum):
        choices = [str(choice) for choice in type(default)]
        if value not in choices:
            raise UsageError(f"{path}: {key} must be one of {', '.join(choices)}, not {value!r}")
        return type(default)(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise UsageError(f"{path}: {key} must be a number, not {value!r}")
    if isinstance(default, int):
        if int(value) != value or value < 0:
            raise UsageError(f"{path}: {key} must be a whole number, 0 or more, not {value!r}")
        return int(value)
    return float(value)
