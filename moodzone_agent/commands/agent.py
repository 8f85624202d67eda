"""``moodzone agent``: runs in the background, and is asked and told there."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moodzone_agent.commands.shared import Json, out, print_json, setting, shown
from moodzone_agent.errors import UsageError

if TYPE_CHECKING:
    from moodzone_agent.background.control import Request
    from moodzone_agent.background.service import Step
    from moodzone_agent.config import Places

app = typer.Typer(no_args_is_help=True, help="Watch folders in the background, and rate what is new.")


@app.command()
def run(
    folder: Annotated[
        list[Path] | None,
        typer.Option(help="A folder to watch; those of the settings if none.", show_default=False),
    ] = None,
    write: Annotated[
        bool | None,
        typer.Option("--write/--no-write", help="Write zones by itself, or not.", show_default=False),
    ] = None,
) -> None:
    """Watch folders until stopped: Ctrl-C, SIGTERM, or `moodzone agent stop`."""
    from moodzone_agent.background.daemon import run_agent

    places, _ = setting()
    for path in folder or []:
        if not path.is_dir():
            raise UsageError(f"{shown(path)} is no folder that is there")
    run_agent(places, folders=folder or None, write=write)


@app.command()
def status(json_: Json = False) -> None:
    """Show what the agent does, what waits, and its last errors."""
    from moodzone_agent.background import control
    from moodzone_agent.background.single import holder
    from moodzone_agent.console import agent_details
    from moodzone_agent.inbox import Inbox
    from moodzone_agent.library.store import Library

    places, _ = setting()
    running = holder(places)
    told = control.read_status(places) if running else None
    held = 0
    if places.library.exists():
        with Library.open(places.library, read_only=True) as library:
            held = len(Inbox(library).held())
    paused = control.paused_since(places)
    if json_:
        line: dict[str, Any] = {"running": running is not None, "paused": paused is not None, "inbox": held}
        print_json(line | (json.loads(json.dumps(asdict(told), default=str)) if told else {}))
        return
    out(agent_details(running, told, paused=paused, held=held))


@app.command()
def pause() -> None:
    """Let the agent rest until `moodzone agent resume`, over restarts too."""
    from moodzone_agent.background import control

    places, _ = setting()
    control.pause(places)
    out("paused; `moodzone agent resume` lets it go on")


@app.command()
def resume() -> None:
    """Let a paused agent go on."""
    from moodzone_agent.background import control

    places, _ = setting()
    control.resume(places)
    out("goes on")


@app.command()
def flush() -> None:
    """Do now what waits, although a DJ program runs or the computer is on battery."""
    from moodzone_agent.background.control import Request

    places, _ = setting()
    _ask(places, Request.FLUSH)
    out("what waits is done now")


@app.command()
def stop() -> None:
    """Stop the agent that runs."""
    from moodzone_agent.background.control import Request

    places, _ = setting()
    _ask(places, Request.STOP)
    out("it stops within a few seconds")


@app.command()
def install() -> None:
    """Start the agent at each login."""
    from moodzone_agent.background import service
    from moodzone_agent.background.single import holder

    places, settings = setting()
    if not settings.agent.folders:
        raise UsageError(f"no folder is watched yet: set folders in [agent] of {places.settings}")
    running = holder(places)
    if running is not None:
        raise UsageError(f"an agent runs already (process {running.pid}): `moodzone agent stop` first")
    _report(service.install(places))


@app.command()
def uninstall() -> None:
    """Start it no more, and stop it."""
    from moodzone_agent.background import service

    places, _ = setting()
    _report(service.uninstall(places))


def _ask(places: Places, what: Request) -> None:
    from moodzone_agent.background import control
    from moodzone_agent.background.single import holder

    if holder(places) is None:
        raise UsageError("no agent runs: `moodzone agent run` or `moodzone agent install` starts it")
    control.request(places, what)


def _report(steps: list[Step]) -> None:
    for step in steps:
        out(f"{'✓' if step.done else '→'} {step.text}")
    if not all(step.done for step in steps):
        raise typer.Exit(1)
