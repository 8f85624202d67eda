"""What the commands of ``moodzone`` share: exit codes, options, what they open, and how they print."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from moodzone_agent.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from moodzone_agent.classify.session import ZoneModel
    from moodzone_agent.config import Places, Settings
    from moodzone_agent.library.store import Library

_Item = TypeVar("_Item")
_UNBOUNDED: Final = 1 << 16
"""Columns; no table is as wide."""

DONE: Final = 0
SOME_FAILED: Final = 1
WRONG_USE: Final = 2
STOPPED: Final = 3

TARGET_NAMES: Final = "tags, rekordbox-xml, rekordbox-db, serato, traktor, mixxx, engine, virtualdj, m3u8"
"""Spelled out, since help must not load the exporters."""

SomeTargets = Annotated[
    list[str] | None, typer.Argument(help=f"Any of {TARGET_NAMES}; all if none.", show_default=False)
]
SomePaths = Annotated[
    list[Path] | None, typer.Argument(help="Folders or files of music.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be written; write nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]


def setting() -> tuple[Places, Settings]:
    """Where our things are, and the user's settings. Errors: `UsageError` of the settings."""
    from moodzone_agent.config import Places, load_settings

    places = Places.find()
    return places, load_settings(places.settings)


@contextmanager
def open_library(places: Places, *, must_exist: bool = False) -> Iterator[Library]:
    """The library, open; a damaged one is rebuilt from its backup, and told about on stderr.

    Errors: `UsageError` if it must exist and doesn't; `LibraryError`.
    """
    from moodzone_agent.library.backup import backups_in, open_or_recover

    if must_exist and not places.library.exists() and not backups_in(places.library_backups):
        raise UsageError("there is no library yet: `moodzone scan FOLDER` makes it")
    library, recovery = open_or_recover(places.library, places.library_backups)
    with library:
        if recovery is not None:
            sys.stderr.write(f"moodzone: {recovery}\n")
        yield library


def zone_model(places: Places, settings: Settings) -> ZoneModel:
    """The model in use; why it isn't the one that was promoted, if so, is told on stderr.

    Errors: `BundleError` if not even the one that ships can be used.
    """
    from moodzone_agent.classify.registry import Registry
    from moodzone_agent.classify.session import ZoneModel

    champion = Registry(places.models).champion()
    if champion.warning:
        sys.stderr.write(f"moodzone: {champion.warning}\n")
    return ZoneModel(champion.bundle, settings.zones)


def require(paths: list[Path]) -> None:
    """Raises UsageError for a path that doesn't exist."""
    for path in paths:
        try:
            path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            raise UsageError(f"{shown(path)} does not exist") from None
        except OSError:  # a scan says what is wrong with it
            continue


def ask(question: str, *, default: bool = False) -> bool:
    """Ask for a yes; Enter is the default. Errors: `UsageError` if there is nobody to ask."""
    if not sys.stdin.isatty():
        raise UsageError("there is nobody to ask; give --yes")
    try:
        return typer.confirm(question, default=default)
    except typer.Abort:
        raise typer.Exit(STOPPED) from None


def prompt(question: str) -> str:
    """Ask for a line; Enter alone gives an empty one."""
    try:
        return str(typer.prompt(question, default="", show_default=False)).strip()
    except typer.Abort:
        raise typer.Exit(STOPPED) from None


def following(what: str, items: Iterator[_Item], total: int) -> Iterator[_Item]:
    """Pass items on, with a bar on a terminal's stderr that shows how many of them came."""
    from rich.progress import Progress

    terminal = console(stderr=True)
    with Progress(console=terminal, transient=True, disable=not terminal.is_terminal) as progress:
        yield from progress.track(items, total=total, description=what)


def console(*, stderr: bool = False) -> Console:
    """The terminal."""
    from rich.console import Console

    return Console(stderr=stderr)


def out(what: RenderableType) -> None:
    """Print without breaking lines, so that paths can be copied and searched."""
    terminal = console()
    if not isinstance(what, str):
        widen(terminal, what)
    terminal.print(what, highlight=False, markup=False, soft_wrap=True)


def widen(terminal: Console, what: RenderableType) -> None:
    """Where it is no terminal, make room for all of a table: who searches or stores it wants whole names."""
    if not terminal.is_terminal:
        unbounded = terminal.options.update(width=_UNBOUNDED)
        terminal.width = max(terminal.width, terminal.measure(what, options=unbounded).maximum)


def print_json(line: dict[str, Any]) -> None:
    """Print one JSON object as a line."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def shown(path: Path) -> str:
    """A path as it is printed."""
    from moodzone_agent.console import printable

    return printable(path)
