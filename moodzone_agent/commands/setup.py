"""``moodzone setup``: from nothing to zones in the user's DJ program, one step after the other."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from moodzone_agent.commands.shared import DONE, SOME_FAILED, Json, open_library, out, print_json, setting
from moodzone_agent.errors import UsageError

if TYPE_CHECKING:
    from moodzone_agent.setup.session import Session, Step


def setup(
    folder: Annotated[
        list[Path] | None,
        typer.Option(help="A folder of music, in place of those found; may be repeated.", show_default=False),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option(metavar="STEP", help="Leave a step out; may be repeated.", show_default=False),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STEP", help="Only this step, even if it is done; may be repeated.", show_default=False
        ),
    ] = None,
    json_: Json = False,
    yes: Annotated[
        bool,
        typer.Option("--yes", "-y", help="Answer every question with yes; writes tags, starts the agent."),
    ] = False,
) -> None:
    """Begin here: finds your programs and music, rates it, and writes after asking.

    The steps: find, census, estimate, scan, calibrate, judge, trial, rest, agent.

    Run it again to go on where you stopped.
    """
    from moodzone_agent.setup.session import Session

    chosen = _chosen(only or [], skip or [])
    if json_ and not yes:
        raise UsageError("with --json nobody can be asked; give --yes, too")
    if not yes and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("setup asks questions, and there is nobody to ask; give --yes to say yes to all")
    places, _ = setting()
    with open_library(places) as library:
        session = Session(library, places, yes=yes, quiet=json_, named=tuple(folder or ()))
        try:
            failed = run_steps(session, chosen, again=bool(only), json_=json_)
        except typer.Exit:  # Ctrl-C at a question
            session.say("\nStopped; what was done stays. `moodzone setup` goes on from there.")
            raise
    raise typer.Exit(SOME_FAILED if failed else DONE)


def run_steps(session: Session, chosen: list[Step], *, again: bool, json_: bool) -> bool:
    """Run steps in their order; those that were done before only if wanted ``again``. True if something failed."""
    from rich.text import Text

    from moodzone_agent.setup.session import State, Step, StepResult
    from moodzone_agent.setup.steps import STEPS

    failed = False
    left = []
    if not session.yes:
        out("Nothing is written before you say so. Ctrl-C stops; run it again to go on from there.")
    for number, (step, (title, act)) in enumerate(STEPS.items(), 1):
        if step not in chosen:
            continue
        heading = f"{number}/{len(STEPS)}  {title}"
        when = session.done().get(step)
        if when and not again and not (step is Step.FIND and session.named):
            result = StepResult(State.EARLIER, f"on {when}; `moodzone setup --only {step}` repeats it")
            session.say(Text.assemble(f"{heading}: ", (f"{result.state} {result.reason}", "dim")))
        else:
            session.say(Text(f"\n{heading}", "bold"))
            result = act(session)
            if result.state is State.DONE:
                session.note_done(step)
            else:
                left.append(step)
            if result.reason:
                mark = ("✗ ", "red") if result.state is State.FAILED else ""
                session.say(Text.assemble("  ", mark, f"{result.state}: {result.reason}"))
            failed |= result.state is State.FAILED
        if json_:
            print_json({"step": step, "state": result.state, "reason": result.reason, **result.details})
    if left:
        session.say(f"\nNot done: {', '.join(left)}. `moodzone setup` comes back to it.")
    else:
        session.say("\nDone. `moodzone list` shows your tracks, `moodzone inbox` what waits for your yes.")
    return failed


def _chosen(only: list[str], skip: list[str]) -> list[Step]:
    from moodzone_agent.setup.session import Step

    for name in (*only, *skip):
        if name not in set(Step):
            raise UsageError(f"there is no step {name!r}; the steps are {', '.join(Step)}")
    return [step for step in Step if (not only or step in only) and step not in skip]
