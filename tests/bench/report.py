"""Figures as tables for people, and as JSON."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.music import default_cache

Value = float | str | None


@dataclass
class Figures:
    """One table: rows of values by column; a number is shown with its column's format."""

    title: str
    columns: dict[str, str]
    """Name to format, as of `format()`."""
    rows: list[dict[str, Value]] = field(default_factory=list)
    note: str = ""


def parser(command: str, what: str | None) -> ArgumentParser:
    """A parser with the options that all commands share."""
    options = ArgumentParser(prog=f"python -m tests.bench {command}", description=what)
    options.add_argument("--json", type=Path, metavar="FILE", help="save the figures here, too")
    options.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        default=default_cache(),
        help="folder of the synthesised music (%(default)s)",
    )
    return options


def report(command: str, machine: dict[str, str], tables: list[Figures], json_file: Path | None) -> None:
    """Print the tables and the machine; save them if asked."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 140
    for figures in tables:
        table = Table(title=figures.title, title_justify="left", title_style="bold", caption=figures.note)
        table.caption_justify = "left"
        for column in figures.columns:
            table.add_column(column, justify="left" if figures.columns[column] == "" else "right")
        for row in figures.rows:
            table.add_row(*(_shown(row.get(column), how) for column, how in figures.columns.items()))
        console.print(table)
    for name, value in machine.items():
        console.print(f"{name}: {value}", soft_wrap=True)
    if json_file is not None:
        content: dict[str, Any] = {
            "command": command,
            "machine": machine,
            "tables": [{"title": figures.title, "rows": figures.rows} for figures in tables],
        }
        json_file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _shown(value: Value, how: str) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else format(value, how)
