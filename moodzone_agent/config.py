"""Where MoodZone keeps its things, and the user's settings."""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

from exporters.filesystem import replace_file
from exporters.m3u8 import M3u8Settings
from exporters.rekordbox_xml import RekordboxXmlSettings
from exporters.serato.collection import SeratoSettings
from exporters.tags.collection import TagSettings
from moodzone_agent.errors import UsageError
from moodzone_agent.types import Cuts

HOME_VARIABLE: Final = "MOODZONE_HOME"


@dataclass(frozen=True, slots=True)
class Places:
    """Folders and files of ours on this machine."""

    settings: Path
    library: Path
    journal: Path
    models: Path
    backups: Path
    """Copies of other programs' collections, made before each write."""

    @classmethod
    def under(cls, folder: Path) -> Self:
        """All of them under one folder."""
        names = ("settings.toml", "library.sqlite", "journal", "models", "backups")
        return cls(*(folder / name for name in names))

    @classmethod
    def find(cls) -> Self:
        """Under ``MOODZONE_HOME`` if that is set, else where the platform wants such things."""
        home = os.environ.get(HOME_VARIABLE)
        if home:
            return cls.under(Path(home).expanduser().absolute())
        from platformdirs import PlatformDirs

        folders = PlatformDirs("moodzone", appauthor=False)
        return replace(cls.under(folders.user_data_path), settings=folders.user_config_path / "settings.toml")


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
    rekordbox_xml: RekordboxXmlSettings = field(default_factory=RekordboxXmlSettings)
    serato: SeratoSettings = field(default_factory=SeratoSettings)
    m3u8: M3u8Settings = field(default_factory=M3u8Settings)
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


def stored_table(path: Path, table: str) -> dict[str, Any]:
    """What one table of the settings file holds, without the defaults. Errors: as of `load_settings`."""
    load_settings(path)
    try:
        return dict(tomllib.loads(path.read_text(encoding="utf-8")).get(table, {}))
    except FileNotFoundError:
        return {}


def change_settings(path: Path, table: str, values: Mapping[str, float | None]) -> None:
    """Set keys of one table of the settings file, or take out those that are None; all else stays as it is written.

    Errors: `UsageError` if the file can't be read or written.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    wanted = {
        key: value for key, value in (stored_table(path, table) | dict(values)).items() if value is not None
    }
    try:
        text = path.read_bytes().decode() if path.exists() else ""
        document = tomlkit.parse(text)
        if table not in document:
            document[table] = tomlkit.table()
        for key, value in values.items():
            if value is not None:
                document[table][key] = value
            elif key in document[table]:
                del document[table][key]
        emptied = not wanted and not document[table].as_string().strip()
        if emptied:
            del document[table]
        changed = tomlkit.dumps(document)
        if emptied:  # the blank line that set the table off stays behind
            changed = re.sub(r"(\r?\n)\s+\Z", r"\1", changed)
        others = {name: told for name, told in tomllib.loads(text).items() if name != table}
        if {table: {}} | tomllib.loads(changed) != {table: wanted} | others:
            raise UsageError(
                f"{path} is written in a way that cannot be changed safely; edit [{table}] yourself"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, changed.encode())
    except TOMLKitError as error:
        raise UsageError(f"{path} cannot be changed ({error}); edit [{table}] yourself") from error
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written ({error.strerror}); see to its disk and permissions"
        ) from error


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
    if isinstance(default, (bool, str)):
        if type(value) is not type(default):
            what = "true or false" if isinstance(default, bool) else "a text in quotes"
            raise UsageError(f"{path}: {key} must be {what}, not {value!r}")
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise UsageError(f"{path}: {key} must be a number, not {value!r}")
    if isinstance(default, int):
        if int(value) != value or value < 0:
            raise UsageError(f"{path}: {key} must be a whole number, 0 or more, not {value!r}")
        return int(value)
    return float(value)
