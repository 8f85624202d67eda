"""``moodzone sync``, ``corrections`` and ``inbox``: what you corrected in files and programs, and what waits."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moodzone_agent.commands.shared import (
    DONE,
    SOME_FAILED,
    Json,
    SomeTargets,
    open_library,
    out,
    print_json,
    setting,
)
from moodzone_agent.errors import CollectionError, FileError, UsageError
from moodzone_agent.types import Zone

if TYPE_CHECKING:
    from moodzone_agent.challenger import Challenger
    from moodzone_agent.corrections import Finding
    from moodzone_agent.inbox import Inbox
    from moodzone_agent.library.corrections import Correction

_LONGEST_RANGE = 100_000

app = typer.Typer(no_args_is_help=True, help="Look at what was found in your files and programs, and decide.")

Numbers = Annotated[
    list[str],
    typer.Argument(help="Numbers as `moodzone inbox` shows them, such as 3 8-12; or all that wait."),
]


def sync(
    targets: SomeTargets = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what was found; take nothing over.")
    ] = False,
    json_: Json = False,
) -> None:
    """Read back what you corrected in your files and programs, and label the tracks so."""
    from exporters.registry import target
    from moodzone_agent.corrections import find_corrections, settle_vanished
    from moodzone_agent.inbox import Inbox
    from moodzone_agent.machine import find_collections, target_names

    places, settings = setting()
    names = [target(name).name for name in targets or target_names()]
    findings: list[Finding] = []
    settled: list[Correction] = []
    failed = False
    with open_library(places, must_exist=True) as library:
        inbox = Inbox(library)
        for name in names:
            for collection in find_collections(name, library, settings):
                try:
                    found = list(find_corrections(collection, library))
                    findings += found
                    if not dry_run:
                        inbox.note(collection, found)
                        settle_vanished(found, library)
                except (CollectionError, FileError) as error:
                    failed = True
                    sys.stderr.write(f"moodzone: {name}: {error}\n")
        if not dry_run:
            settled = inbox.settle()
        held = inbox.held()
    if dry_run:
        _report_findings(findings, json_=json_)
    else:
        _report(settled, json_=json_)
        if held and not json_:
            out(f"{len(held):,} wait for your yes: `moodzone inbox`")
    raise typer.Exit(SOME_FAILED if failed else DONE)


def inbox(json_: Json = False) -> None:
    """Show what waits for your yes; nothing is blocked by it."""
    from moodzone_agent.challenger import waiting_challenger
    from moodzone_agent.inbox import Inbox

    places, settings = setting()
    with open_library(places, must_exist=True) as library:
        held = Inbox(library).held()
        challenger = waiting_challenger(places, settings, library)
    _report(held, json_=json_)
    if challenger is not None:
        _report_challenger(challenger, json_=json_)
    if not json_:
        if held:
            out(
                "`moodzone corrections accept NUMBER` makes it a label, `reject NUMBER` drops it; so do 8-12 and `all`"
            )
        elif challenger is None:
            out("nothing waits")


@app.command(name="list")
def list_corrections(json_: Json = False) -> None:
    """List the last corrections, and what became of each."""
    from moodzone_agent.library.corrections import Corrections

    places, _ = setting()
    with open_library(places, must_exist=True) as library:
        corrections = Corrections(library).all()
    _report(corrections, json_=json_)
    if not json_ and not corrections:
        out("nothing was corrected yet")


@app.command()
def accept(
    numbers: Numbers,
    zone: Annotated[
        Zone | None, typer.Option(help="The zone, where several are said.", case_sensitive=False)
    ] = None,
) -> None:
    """Make labels of corrections that wait."""
    from moodzone_agent.inbox import Inbox

    places, _ = setting()
    with open_library(places, must_exist=True) as library, library.transaction():
        inbox = Inbox(library)
        chosen = _chosen(numbers, inbox)
        for number in chosen:
            inbox.accept(number, zone)
    out(f"{len(chosen):,} accepted; `moodzone write --all` brings the zones everywhere")


@app.command()
def reject(numbers: Numbers) -> None:
    """Drop corrections that wait: they are none. Where they aren't words of yours, the next write replaces them."""
    from moodzone_agent.inbox import Inbox

    places, _ = setting()
    with open_library(places, must_exist=True) as library, library.transaction():
        inbox = Inbox(library)
        chosen = _chosen(numbers, inbox)
        for number in chosen:
            inbox.reject(number)
    out(f"{len(chosen):,} rejected")


@app.command(name="take-back")
def take_back(numbers: Numbers) -> None:
    """Take back labels that corrections gave; what was said before holds again."""
    from moodzone_agent.inbox import Inbox

    places, _ = setting()
    with open_library(places, must_exist=True) as library, library.transaction():
        inbox = Inbox(library)
        chosen = _chosen(numbers)
        for number in chosen:
            inbox.take_back(number)
    out(f"{len(chosen):,} taken back")


def _chosen(told: list[str], inbox: Inbox | None = None) -> list[int]:
    """The numbers that were told, with ranges; of an inbox, ``all`` are those that wait."""
    numbers: list[int] = []
    for part in (piece for word in told for piece in word.split(",") if piece):
        first, dash, last = part.partition("-")
        if inbox is not None and part.lower() == "all":
            numbers += [one.id for one in inbox.held()]
        elif not (first.isdecimal() and (last.isdecimal() or not dash)):
            raise UsageError(
                f"{part} is no number; give numbers and ranges such as 3 8-12, as the inbox shows them"
            )
        elif last and int(last) - int(first) >= _LONGEST_RANGE:
            raise UsageError(f"{part} is a range of too many numbers")
        else:
            numbers += range(int(first), int(last or first) + 1)
    return list(dict.fromkeys(numbers))


def _report(corrections: list[Correction], *, json_: bool) -> None:
    from moodzone_agent.console import correction_line

    for one in corrections:
        if json_:
            print_json(_correction_json(one))
        else:
            out(correction_line(one))
    if not json_ and corrections:
        counts = Counter(one.state for one in corrections)
        out(" · ".join(f"{count:,} {state}" for state, count in counts.items()))


def _correction_json(one: Correction) -> dict[str, Any]:
    return {
        "number": one.id,
        "path": str(one.place.track),
        "target": one.target,
        "field": one.place.field,
        "found": one.verdict,
        "zone": one.zone,
        "value": one.value,
        "state": one.state,
        "why": one.why,
    }


def _report_challenger(challenger: Challenger, *, json_: bool) -> None:
    number = challenger.number
    if json_:
        print_json(
            {
                "model": number,
                "id": challenger.model_id,
                "tracks": challenger.tracks,
                "changed": challenger.changes,
            }
        )
        return
    what = "has learned from your labels and is better" if number else "ships with this version of MoodZone"
    out(
        f"model {number} ({challenger.model_id}) {what}: {challenger.changes:,} of {challenger.tracks:,} tracks "
        f"would change their zone\n`moodzone model diff {number}` names them, `moodzone model promote {number}` uses it"
        + (", `moodzone model decline` drops it" if number else "")
    )


def _report_findings(findings: list[Finding], *, json_: bool) -> None:
    from moodzone_agent.console import finding_line

    for finding in findings:
        if json_:
            print_json(
                {
                    "path": str(finding.sighting.place.track),
                    "target": finding.target,
                    "field": finding.sighting.place.field,
                    "found": finding.verdict,
                    "zone": finding.zone,
                    "value": finding.sighting.value,
                }
            )
        else:
            out(finding_line(finding))
    if not json_:
        out(f"{len(findings):,} found; nothing was taken over")
