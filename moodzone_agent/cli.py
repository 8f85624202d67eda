"""``moodzone``: the DJ's command line.

Results go to stdout, progress and log to stderr. Exit codes: 0 done; 1 some files failed; 2 wrong use; 3
stopped. Heavy imports are inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

from moodzone_agent.commands import agent as cli_agent
from moodzone_agent.commands import calibrate as cli_calibrate
from moodzone_agent.commands import corrections as cli_corrections
from moodzone_agent.commands import labels as cli_labels
from moodzone_agent.commands import learning as cli_learning
from moodzone_agent.commands import model as cli_model
from moodzone_agent.commands import scan as cli_scan
from moodzone_agent.commands import setup as cli_setup
from moodzone_agent.commands import write as cli_write
from moodzone_agent.commands.shared import (
    DONE,
    SOME_FAILED,
    STOPPED,
    WRONG_USE,
    DryRun,
    Json,
    Yes,
    ask,
    console,
    open_library,
    out,
    print_json,
    require,
    setting,
    shown,
    widen,
    zone_model,
)
from moodzone_agent.errors import MoodZoneError, UsageError
from moodzone_agent.types import LabelOrigin, MarkState, Zone

if TYPE_CHECKING:
    from exporters.journal import Journal
    from exporters.undo import UndoResult
    from moodzone_agent.config import Places, Settings
    from moodzone_agent.library.records import TrackRecord
    from moodzone_agent.library.store import Library
    from moodzone_agent.pipeline import ScanResult
    from moodzone_agent.stream import SoFar
    from moodzone_agent.types import Estimate
    from moodzone_agent.why import Reason

_INTERRUPTED: Final = 130
"""Typer's exit code for Ctrl-C."""
_KEPT: Final = "stopped; everything finished so far is kept"
_WIDE: Final = 100
"""Columns of a terminal with room for longer ribbons."""

app = typer.Typer(
    name="moodzone",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Nothing leaves this computer. Exit codes: 0 done, 1 some files failed, 2 wrong use, 3 stopped.",
)
app.add_typer(cli_model.app, name="model")
app.add_typer(cli_corrections.app, name="corrections")
app.add_typer(cli_agent.app, name="agent")
app.add_typer(cli_labels.app, name="labels")

Paths = Annotated[list[Path], typer.Argument(help="Folders or files of music.", show_default=False)]


def _version(wanted: bool) -> None:
    if wanted:
        from moodzone_agent import __version__

        sys.stdout.write(f"moodzone {__version__}\n")
        raise typer.Exit


@app.callback()
def _moodzone(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Rates the energy of every track in your library: YELLOW low, GREEN in between, PURPLE high."""


@app.command()
def scan(
    paths: Paths,
    write: Annotated[
        bool, typer.Option("--write", help="Write the zones into the files' tags, too.")
    ] = False,
    dry_run: DryRun = False,
    jobs: Annotated[int, typer.Option(help="Worker processes; 0 for one per processor.", min=0)] = 0,
    json_: Json = False,
    yes: Yes = False,
) -> None:
    """Analyse new and changed music and rate it. Touches no file without --write."""
    places, settings = setting()
    require(paths)
    with open_library(places) as library:
        failed = _scan(library, places, settings, paths, jobs=jobs, json_=json_)
        if write or dry_run:
            writing = cli_write.Writing(library, places, settings, paths, again=False)
            failed |= writing.to_targets([cli_write.TAGS], dry_run=dry_run, json_=json_, yes=yes)
    raise typer.Exit(SOME_FAILED if failed else DONE)


app.command()(cli_write.write)
app.command()(cli_write.export)
app.command()(cli_corrections.sync)
app.command()(cli_corrections.inbox)
app.command()(cli_write.census)


@app.command()
def undo(
    run: Annotated[
        int | None, typer.Argument(help="Number of the run; the newest if none.", show_default=False)
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the runs that can be undone.")] = False,
    json_: Json = False,
) -> None:
    """Take a run back: byte for byte where nobody has touched the file since, elsewhere only what is still ours."""
    from exporters.journal import Journal
    from exporters.undo import Outcome
    from moodzone_agent.undoing import undo_run

    places, settings = setting()
    journal = Journal(places.journal)
    if list_:
        _list_runs(journal, json_=json_)
        return
    with open_library(places) as library:
        results = undo_run(library, journal, settings, places.backups, run)
    if json_:
        for result in results:
            print_json({"path": str(result.path), "outcome": result.outcome, "reason": result.reason})
    else:
        _report_undo(results)
    raise typer.Exit(SOME_FAILED if any(r.outcome is Outcome.FAILED for r in results) else DONE)


@app.command()
def remove(
    dry_run: DryRun = False,
    labels: Annotated[Path | None, typer.Option(help="Save your labels to this CSV file first.")] = None,
    forget_missing: Annotated[
        bool, typer.Option("--forget-missing", help="Finish even if files with marks are not there.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Leave no trace: everything ours out of all files, then library, models, journal and settings deleted."""
    from moodzone_agent.library.label_csv import export_labels
    from moodzone_agent.removal import remove_everything

    places, settings = setting()
    if not places.library.exists() and not places.journal.exists():
        out("there is nothing of MoodZone's to remove")
        return
    with open_library(places) as library:
        if not dry_run:
            if labels is not None:
                export_labels(library, labels)
                out(f"labels saved to {shown(labels)}")
            elif not yes and any(library.tracks(labelled=True)):
                raise UsageError("you gave labels; save them with --labels FILE, or give --yes to lose them")
            if not yes and not ask("Take MoodZone's marks out of all files and delete its library?"):
                raise typer.Exit(STOPPED)
        results = remove_everything(library, places, settings, dry_run=dry_run, forget_missing=forget_missing)
    failed = cli_write.report_writes(results, done="would be freed of marks" if dry_run else "freed of marks")
    if failed:
        out(
            "library, models, journal and settings are kept until no file holds a mark; then run remove again"
        )
    elif not dry_run:
        out("library, models, journal and settings are deleted; `pip uninstall moodzone` removes the program")
    raise typer.Exit(SOME_FAILED if failed else DONE)


@app.command()
def show(path: Annotated[Path, typer.Argument(help="A file that was scanned.")], json_: Json = False) -> None:
    """Show what is known of one track, and what gives it its zone."""
    from rich.console import Group

    from moodzone_agent.console import reason_table, track_details

    places, settings = setting()
    with open_library(places, must_exist=True) as library:
        track = _known(library, path)
        why = _why(library, places, settings, track)
    if json_:
        reasons = None if isinstance(why, str) else [_reason_json(reason) for reason in why]
        print_json(
            _track_json(track)
            | {
                "paths": [str(path) for path in track.paths],
                "why": reasons,
                "hint": track.hint and track.hint.zone,
            }
        )
    else:
        out(Group(track_details(track), why if isinstance(why, str) else reason_table(track, why)))


@app.command(name="list")
def list_tracks(
    zone: Annotated[Zone | None, typer.Option(help="Only this zone.", case_sensitive=False)] = None,
    unsure: Annotated[bool, typer.Option("--unsure", help="Only those the model is unsure of.")] = False,
    json_: Json = False,
) -> None:
    """List the tracks of the library."""
    from moodzone_agent.console import track_table

    places, _ = setting()
    with open_library(places, must_exist=True) as library:
        tracks = [track for track in library.tracks(zone=zone, unsure=unsure or None) if track.mark]
    if json_:
        for track in tracks:
            print_json(_track_json(track) | {"paths": [str(path) for path in track.paths]})
    elif tracks:
        terminal = console()
        table = track_table(tracks, ribbon_width=24 if terminal.width >= _WIDE else 16)
        widen(terminal, table)
        terminal.print(table)
    else:
        out("no such tracks")


@app.command()
def label(
    arguments: Annotated[
        list[str], typer.Argument(metavar="PATH... ZONE", help="Files, then yellow, green, purple or none.")
    ],
    confirm: Annotated[
        bool, typer.Option("--confirm", help="The zones they have are right; give no ZONE.")
    ] = False,
) -> None:
    """Say which zone tracks belong to; no rating ever overrides that.

    `none` takes that back; for a track without a label it means that its files are not to be tagged.
    """
    import time

    from moodzone_agent.types import Label

    places, _ = setting()
    *names, word = arguments if not confirm else [*arguments, ""]
    if not confirm and word.upper() not in (*Zone, "NONE"):
        raise UsageError(f"{word!r} is not a zone: end with yellow, green, purple or none")
    if not names:
        raise UsageError("name at least one file before the zone")
    left_alone = 0
    with open_library(places, must_exist=True) as library, library.transaction():
        for name in names:
            track = _known(library, Path(name))
            now = time.time_ns()
            if confirm:
                mark = track.mark
                if mark is None:
                    raise UsageError(f"{shown(Path(name))} has no zone to confirm")
                library.add_label(Label(track.audio_id, mark.zone, LabelOrigin.CONFIRMED, "cli", now))
            elif word.upper() == "NONE" and track.label is None:
                library.hold(track.paths, "label none")
                left_alone += 1
            elif word.upper() == "NONE":
                library.retract_label(track.audio_id, "cli", now)
            else:
                zone = Zone(word.upper())
                library.release(track.paths)
                origin = (
                    LabelOrigin.CORRECTED
                    if track.mark and track.mark.zone is not zone
                    else LabelOrigin.CONFIRMED
                )
                library.add_label(Label(track.audio_id, zone, origin, "cli", now))
    tracks = f"{len(names):,} {'track' if len(names) == 1 else 'tracks'}"
    if left_alone:
        out(f"{left_alone:,} had no label: not tagged from now on, until you label it")
    if left_alone < len(names):
        done = "labelled" if confirm or word.upper() != "NONE" else "back to what the model says"
        out(f"{tracks} {done}; `moodzone write --all` puts it into the tags")


@app.command()
def stream(
    source: Annotated[
        str, typer.Argument(metavar="[FILE]", help="Where the audio comes from; - is standard input.")
    ] = "-",
    raw: Annotated[
        str | None,
        typer.Option(
            help="What arrives are samples without a container: s16le, f32le and so on.", show_default=False
        ),
    ] = None,
    rate: Annotated[int, typer.Option(help="Samples a second, with --raw.", min=1_000, max=768_000)] = 44_100,
    channels: Annotated[int, typer.Option(help="Channels, with --raw.", min=1, max=64)] = 2,
    json_: Json = False,
) -> None:
    """Rate audio while it arrives, every 0.5 s of it."""
    from moodzone_agent.audio.decode import AudioReader
    from moodzone_agent.audio.live import RAW_ENCODINGS, LiveReader, RawFormat
    from moodzone_agent.stream import rate_stream

    if raw is not None and raw not in RAW_ENCODINGS:
        raise UsageError(f"--raw {raw} is none of {', '.join(RAW_ENCODINGS)}")
    if raw is not None and source != "-":
        raise UsageError(
            "--raw is for what arrives on standard input: `moodzone stream - --raw s16le < FILE`"
        )
    if source == "-" and sys.stdin.isatty():
        raise UsageError("pipe audio into it, or name a file")
    places, settings = setting()
    model = zone_model(places, settings)
    model.load()
    with ExitStack() as opened:
        reader: AudioReader | LiveReader
        if source == "-":
            samples = RawFormat(raw, rate, channels) if raw is not None else None
            reader = opened.enter_context(LiveReader(sys.stdin.fileno(), samples))
        else:
            require([Path(source)])
            reader = opened.enter_context(AudioReader(Path(source)))
        show = _print_so_far if json_ else opened.enter_context(_live_view())
        try:
            for so_far in rate_stream(reader.blocks(), model):
                show(so_far)
        except KeyboardInterrupt:  # what was shown last is the answer
            raise typer.Exit(STOPPED) from None
        if isinstance(reader, LiveReader) and reader.is_stopped:
            raise typer.Exit(STOPPED)


app.command()(cli_calibrate.calibrate)
app.command()(cli_setup.setup)
app.command()(cli_learning.retrain)
app.command(name="weak-labels")(cli_learning.weak_labels)


@app.command()
def demo(
    keep: Annotated[
        Path | None, typer.Option(help="Keep the demo's music and library in this new folder.")
    ] = None,
    svg: Annotated[Path | None, typer.Option(help="Also save what the terminal shows as a picture.")] = None,
) -> None:
    """Show the whole loop on music that it synthesises: rate, write tags, correct, undo."""
    from moodzone_agent.demo.show import run_demo

    raise typer.Exit(run_demo(keep=keep, svg=svg))


@app.command()
def doctor(
    report: Annotated[
        Path | None,
        typer.Option(
            help="Also write a file for whoever helps you; paths are hashed in it.", show_default=False
        ),
    ] = None,
    names: Annotated[bool, typer.Option("--names", help="With --report: leave paths as they are.")] = False,
    json_: Json = False,
) -> None:
    """Check that everything MoodZone needs is in order, and say what to do where it isn't."""
    from rich.text import Text

    from moodzone_agent.config import Places
    from moodzone_agent.doctor import examine

    places = Places.find()
    findings = examine(places)
    for finding in findings:
        if json_:
            print_json({"check": finding.check, "ok": finding.ok, "detail": finding.detail})
        else:
            mark = ("✓", "green") if finding.ok else ("✗", "red")
            out(Text.assemble(mark, f" {finding.check}: {finding.detail}"))
    if report is not None:
        from moodzone_agent.support import write_report

        write_report(places, report, names=names)
        if not json_:
            out(f"report written to {shown(report)}; have a look at it before you send it")
    raise typer.Exit(DONE if all(finding.ok for finding in findings) else SOME_FAILED)


def _scan(
    library: Library, places: Places, settings: Settings, paths: list[Path], *, jobs: int, json_: bool
) -> bool:
    """Run a scan with its progress and report; True if some files failed."""
    from moodzone_agent.challenger import keeps_zones
    from moodzone_agent.classify.registry import Registry
    from moodzone_agent.console import scan_summary
    from moodzone_agent.library.records import FileStatus

    model = zone_model(places, settings)

    def tell(result: ScanResult) -> None:
        if json_:
            print_json(_scan_json(result))

    keeps = keeps_zones(library, Registry(places.models).champion())
    results = cli_scan.scan_folders(library, model, settings, paths, jobs=jobs, keep_zones=keeps, tell=tell)
    if not json_:
        out(scan_summary(results))
        if keeps:
            out(
                "new tracks are rated by the model that ships; the other zones stay: `moodzone inbox` tells more"
            )
        tracks = {result.track.audio_id for result in results if result.track is not None}
        cli_calibrate.offer_calibration(library, model, settings, len(tracks))
    return any(result.status is FileStatus.FAILED for result in results)


def _report_undo(results: list[UndoResult]) -> None:
    from collections import Counter

    from exporters.undo import Outcome
    from moodzone_agent.console import failures

    if not results:
        out("nothing to undo")
        return
    counts = Counter(result.outcome for result in results)
    for outcome, words in (
        (Outcome.RESTORED, "restored byte for byte"),
        (Outcome.PUT_BACK, "got back the values that they had before"),
        (Outcome.TAKEN_OUT, "were edited since; only our marks were taken out"),
        (Outcome.ALREADY, "held nothing of ours any more"),
        (Outcome.FAILED, "failed; run undo again, or `moodzone undo --list` for other runs"),
    ):
        if counts[outcome]:
            out(f"{counts[outcome]:,} {words}")
        if outcome is Outcome.TAKEN_OUT:
            for result in results:
                if result.outcome is outcome:
                    out(f"  {shown(result.path)}")
    for line in failures((r.path, r.reason) for r in results if r.outcome is Outcome.FAILED):
        out(line)


def _list_runs(journal: Journal, *, json_: bool) -> None:
    from rich.filesize import decimal

    runs = journal.runs()
    for run in runs:
        if json_:
            print_json(
                {
                    "run": run.id,
                    "kind": run.kind,
                    "time": run.when.isoformat(),
                    "files": run.files,
                    "undone": run.undone,
                    "bytes": run.size,
                }
            )
        else:
            out(
                f"{run.id:>5}  {run.when.astimezone():%Y-%m-%d %H:%M}  {run.kind:<7}"
                f"{run.files:>7,} files {run.undone:>7,} undone  {decimal(run.size):>9}"
            )
    if not json_:
        out(
            f"{len(runs):,} {'run' if len(runs) == 1 else 'runs'}; the journal takes {decimal(journal.size)}"
            if runs
            else "nothing was written yet"
        )


def _why(library: Library, places: Places, settings: Settings, track: TrackRecord) -> list[Reason] | str:
    """What moves a track's zone most, or why that can't be said."""
    from moodzone_agent.features.spec import FEATURES_VERSION
    from moodzone_agent.why import library_medians, reasons

    analysis = library.analysis(track.audio_id, FEATURES_VERSION)
    if analysis is None or not len(analysis.windows) or track.estimate is None:
        return "Scan it again to see why it has its zone."
    medians = library_medians(library)
    if medians is None:
        return "Scan more music to see why it has its zone."
    model = zone_model(places, settings)
    if model.model_id != track.estimate.model:
        return "The model or its cuts have changed since it was rated: scan again to see why it has its zone."
    return reasons(model, analysis.windows, medians, track.estimate.zone)


def _reason_json(reason: Reason) -> dict[str, Any]:
    return {"group": reason.group, "change": reason.change, "words": reason.words}


def _scan_json(result: ScanResult) -> dict[str, Any]:
    line: dict[str, Any] = {
        "path": str(result.path),
        "status": result.status,
        "reason": result.reason if result.count == 1 else f"{result.count} files: {result.reason}",
        "changed": result.changed,
    }
    return line | _track_json(result.track)


@contextmanager
def _live_view() -> Iterator[Callable[[SoFar], None]]:
    """What is known so far, in place on a terminal and as lines elsewhere; the last of it stays."""
    from rich.live import Live

    from moodzone_agent.console import stream_view

    terminal = console()
    if not terminal.is_terminal:
        yield lambda so_far: terminal.print(stream_view(so_far), soft_wrap=True)
        return
    with Live(console=terminal, auto_refresh=False) as live:
        yield lambda so_far: live.update(stream_view(so_far), refresh=True)


def _print_so_far(so_far: SoFar) -> None:
    estimate = so_far.estimate
    line: dict[str, Any] = {
        "seconds": round(so_far.seconds, 3),
        "final": so_far.final,
        "zone": estimate.zone,
        "unsure": not estimate.sure,
        **_estimate_json(estimate),
        "tempo": so_far.tempo,
        "model": estimate.model,
    }
    print_json(line)


def _estimate_json(estimate: Estimate | None) -> dict[str, Any]:
    return {
        "confidence": estimate.confidence if estimate else None,
        "probabilities": dict(zip(Zone, estimate.probabilities, strict=True)) if estimate else None,
        "arousal": estimate.arousal if estimate else None,
        "valence": estimate.valence if estimate else None,
    }


def _track_json(track: TrackRecord | None) -> dict[str, Any]:
    estimate = track.estimate if track else None
    mark = track.mark if track else None
    return {
        "audio_id": track.audio_id if track else None,
        "duration": track.duration if track else None,
        "zone": mark.zone if mark else None,
        "unsure": bool(mark and mark.state is MarkState.UNSURE),
        "label": track.label.zone if track and track.label else None,
        **_estimate_json(estimate),
        "tempo": track.tempo if track else None,
        "drops": list(track.drops) if track else [],
        "model": estimate.model if estimate else None,
        "warnings": list(track.warnings) if track else [],
    }


def _known(library: Library, path: Path) -> TrackRecord:
    real = Path(os.path.realpath(path))
    track = library.track_of(real)
    if track is not None:
        return track
    record = library.file(real)
    if record is not None:
        raise UsageError(f"{shown(path)} has no zone: {record.reason}")
    if real.is_dir():
        raise UsageError(f"{shown(path)} is a folder: name files in it")
    raise UsageError(f"{shown(path)} is not in the library: scan it first")


def main() -> None:
    """Run a command; our own errors become one line on stderr and an exit code."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # blocks and dashes, in a pipe that knows no Unicode
    try:
        app(prog_name="moodzone")
    except UsageError as error:
        _complain(error, WRONG_USE)
    except MoodZoneError as error:
        _complain(error, SOME_FAILED)
    except KeyboardInterrupt:
        _complain(_KEPT, STOPPED)
    except SystemExit as stop:
        if stop.code == _INTERRUPTED:
            _complain(_KEPT, STOPPED)
        raise


def _complain(what: object, code: int) -> NoReturn:
    sys.stderr.write(f"moodzone: {what}\n")
    sys.exit(code)
