"""Where MoodZone keeps its things, and the user's settings."""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

from exporters.engine_db import EngineSettings
from exporters.filesystem import replace_file
from exporters.m3u8 import M3u8Settings
from exporters.mixxx_db import MixxxSettings
from exporters.rekordbox.db import RekordboxDbSettings
from exporters.rekordbox.xml import RekordboxXmlSettings
from exporters.serato.collection import SeratoSettings
from exporters.tags.collection import TagSettings
from exporters.traktor.nml import TraktorSettings
from exporters.virtualdj.collection import VirtualDjSettings
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

    @property
    def library_backups(self) -> Path:
        """Daily copies of the library."""
        return self.backups / "library"

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

    @property
    def agent(self) -> Path:
        """The folder of the background agent: its lock, its state, and what it is asked to do."""
        return self.library.parent / "agent"


@dataclass(frozen=True, slots=True)
class JournalSettings:
    """How long writes can be undone."""

    keep_days: int = 365
    max_megabytes: int = 2000


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """What the background agent watches, and what it may do by itself.

    - ``folders``: of music, watched with all that is in them; absolute, or from ``~``.
    - ``write``: put zones into files by itself. Else it only rates, and ``moodzone write`` writes.
    - ``targets``: where it writes them, as in ``moodzone write --to``.
    - ``settle_seconds``: for which a file must rest before it is read; it may still be copied.
    - ``sweep_minutes``: after which all folders are looked through again; some drives tell of no change.
    - ``poll_seconds``: after which the collections of DJ programs are looked at again.
    - ``quiet_minutes``: for which a correction must rest before it is taken over.
    - ``on_battery``: work on battery, too.
    - ``jobs``: worker processes; 0 for half the processors.
    - ``retrain_after``: that many new labels, it learns from them; 0 for never by itself.
    - ``retrain_days``: after which fewer new labels will do; 0 for never.
    - ``confirm``: ask before a better model is used, until you have promoted two yourself.
    - ``most_rewrites_a_day``: files that hold a zone and may get another one in a day.
    """

    folders: tuple[str, ...] = ()
    write: bool = False
    targets: tuple[str, ...] = ("tags",)
    settle_seconds: float = 2.0
    sweep_minutes: float = 15.0
    poll_seconds: float = 30.0
    quiet_minutes: float = 10.0
    on_battery: bool = False
    jobs: int = 0
    retrain_after: int = 20
    retrain_days: int = 7
    confirm: bool = True
    most_rewrites_a_day: int = 200

    @property
    def watched(self) -> tuple[Path, ...]:
        """The folders, absolute."""
        return tuple(Path(os.path.expanduser(folder)) for folder in self.folders)  # noqa: PTH111 - never raises


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings; `load_settings` reads them from TOML."""

    zones: Cuts = field(default_factory=Cuts)
    tags: TagSettings = field(default_factory=TagSettings)
    rekordbox_xml: RekordboxXmlSettings = field(default_factory=RekordboxXmlSettings)
    rekordbox_db: RekordboxDbSettings = field(default_factory=RekordboxDbSettings)
    serato: SeratoSettings = field(default_factory=SeratoSettings)
    mixxx: MixxxSettings = field(default_factory=MixxxSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    traktor: TraktorSettings = field(default_factory=TraktorSettings)
    virtualdj: VirtualDjSettings = field(default_factory=VirtualDjSettings)
    m3u8: M3u8Settings = field(default_factory=M3u8Settings)
    journal: JournalSettings = field(default_factory=JournalSettings)
    agent: AgentSettings = field(default_factory=AgentSettings)


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
    source = _Source(path, text)
    settings: Settings = _filled(Settings, tables, source, ())
    for is_right, keys, cure in (*_zones_rules(settings.zones), *_agent_rules(settings.agent)):
        if not is_right:
            raise UsageError(f"{source.at(*keys)}: {cure}")
    return settings


def stored_table(path: Path, table: str) -> dict[str, Any]:
    """What one table of the settings file holds, without the defaults. Errors: as of `load_settings`."""
    load_settings(path)
    try:
        return dict(tomllib.loads(path.read_text(encoding="utf-8")).get(table, {}))
    except FileNotFoundError:
        return {}


def change_settings(path: Path, table: str, values: Mapping[str, float | list[str] | None]) -> None:
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


_Keys = tuple[str, ...]
_Rule = tuple[bool, tuple[_Keys, ...], str]
"""Whether it is kept, the keys it is about, and what would be right."""


def _zones_rules(cuts: Cuts) -> Iterator[_Rule]:
    yield (
        1 <= cuts.yellow_max <= cuts.purple_min <= 9,
        (("zones", "yellow_max"), ("zones", "purple_min")),
        "zones.yellow_max must not exceed zones.purple_min, both within 1 to 9",
    )


def _agent_rules(agent: AgentSettings) -> Iterator[_Rule]:
    for key in ("sweep_minutes", "poll_seconds"):
        value = getattr(agent, key)
        yield value > 0, (("agent", key),), f"agent.{key} must be more than 0, not {value:g}"
    for key in ("settle_seconds", "quiet_minutes"):
        value = getattr(agent, key)
        yield value >= 0, (("agent", key),), f"agent.{key} must be 0 or more, not {value:g}"
    for told, folder in zip(agent.folders, agent.watched, strict=True):
        cure = f"agent.folders: {told!r} must begin at the root, or with ~ for your home folder"
        yield folder.is_absolute(), (("agent", "folders"),), cure
    if agent.targets != AgentSettings().targets:
        from exporters.registry import TARGETS

        for target in agent.targets:
            cure = f"agent.targets may hold {', '.join(TARGETS)}, not {target!r}"
            yield target in TARGETS, (("agent", "targets"),), cure


@dataclass(frozen=True, slots=True)
class _Source:
    """A settings file, to say where in it something stands."""

    path: Path
    text: str

    def at(self, *keys: _Keys) -> str:
        """The file, and the line on which the first of the keys begins that is there."""
        for key in keys:
            line = self._line(key)
            if line is not None:
                return f"{self.path}, line {line}"
        return str(self.path)

    def _line(self, key: _Keys) -> int | None:
        """Found by reading ever more of the lines, since keys can be written in many ways."""
        lines = self.text.split("\n")
        begin = 1
        for count in range(1, len(lines) + 1):
            try:
                tables: Any = tomllib.loads("\n".join(lines[:count]) + "\n")
            except tomllib.TOMLDecodeError:  # in the middle of a value of several lines
                continue
            for name in key:
                tables = tables.get(name) if isinstance(tables, dict) else None
            if tables is not None:
                return begin
            begin = count + 1
        return None


def _filled(kind: type[Any], table: dict[str, Any], source: _Source, prefix: _Keys) -> Any:
    known = {item.name: getattr(kind(), item.name) for item in fields(kind)}
    values = {}
    for name, value in table.items():
        key = (*prefix, name)
        if name not in known:
            where = f"[{'.'.join(prefix)}]" if prefix else "the file"
            raise UsageError(
                f"{source.at(key)}: there is no setting {'.'.join(key)}; {where} may hold {', '.join(known)}"
            )
        values[name] = _checked(known[name], value, source, key)
    try:
        return kind(**values)
    except UsageError as error:  # values that don't go together
        raise UsageError(f"{source.at(prefix)}: {error}") from error


def _checked(default: Any, value: Any, source: _Source, key: _Keys) -> Any:
    if is_dataclass(default) and isinstance(value, dict):
        return _filled(type(default), value, source, key)
    what = _unlike(default, value)
    if what:
        name = ".".join(key)
        wrong = f"{name} is {what}; write [{name}]" if is_dataclass(default) else f"{name} must be {what}"
        raise UsageError(f"{source.at(key)}: {wrong}, not {value!r}")
    return tuple(value) if isinstance(default, tuple) else type(default)(value)


def _unlike(default: Any, value: Any) -> str:
    """What a value must be, if it can't stand in the place of a default."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if is_dataclass(default):
        return "a table"
    if isinstance(default, StrEnum):
        choices = [str(choice) for choice in type(default)]
        return "" if value in choices else f"one of {', '.join(choices)}"
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else "true or false"
    if isinstance(default, str):
        return "" if isinstance(value, str) else "a text in quotes"
    if isinstance(default, tuple):
        is_list = isinstance(value, list) and all(isinstance(item, str) for item in value)
        return "" if is_list else 'a list of texts, like ["one", "another"]'
    if isinstance(default, int):
        is_whole = is_number and int(value) == value and value >= 0
        return "" if is_whole else "a whole number, 0 or more" if is_number else "a number"
    return "" if is_number else "a number"
