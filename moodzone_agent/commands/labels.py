"""``moodzone labels``: the history of what the user said, out to a file and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from moodzone_agent.commands.shared import (
    DONE,
    SOME_FAILED,
    Json,
    open_library,
    out,
    print_json,
    setting,
    shown,
)

_NAMED = 20

app = typer.Typer(no_args_is_help=True, help="Save your labels as CSV; take them in again.")

File = Annotated[Path, typer.Argument(help="The CSV file.", show_default=False)]


@app.command(name="export")
def export_(file: File, json_: Json = False) -> None:
    """Save the whole history of your labels."""
    from moodzone_agent.library.label_csv import export_labels

    places, _ = setting()
    with open_library(places, must_exist=True) as library:
        count = export_labels(library, file)
    if json_:
        print_json({"path": str(file), "entries": count})
    else:
        out(f"{count:,} {'entry' if count == 1 else 'entries'} saved to {shown(file)}")


@app.command(name="import")
def import_(file: File, json_: Json = False) -> None:
    """Add labels from a file. None that you gave since is overridden; twice adds nothing."""
    from moodzone_agent.library.label_csv import import_labels

    places, _ = setting()
    with open_library(places, must_exist=True) as library:
        counts = import_labels(library, file)
    if json_:
        print_json(
            {
                "path": str(file),
                "added": counts.added,
                "known": counts.known,
                "older": counts.older,
                "unknown": list(counts.unknown),
            }
        )
    else:
        out(f"{counts.added:,} added, {counts.known:,} known already, {counts.older:,} older than yours")
        for name in counts.unknown[:_NAMED]:
            out(f"not in the library: {shown(Path(name))}")
        if len(counts.unknown) > _NAMED:
            out(f"and {len(counts.unknown) - _NAMED:,} more; --json names them")
        if counts.unknown:
            out("scan the folders that hold these, then import again")
    raise typer.Exit(SOME_FAILED if counts.unknown else DONE)
