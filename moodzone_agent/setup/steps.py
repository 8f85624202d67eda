"""The steps of a setup. Each can be skipped and repeated, and leaves what it did even if the next is stopped."""

from __future__ import annotations

import os
import random
import shlex
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.text import Text

from exporters.base import Withheld, WriteStatus
from exporters.journal import Journal
from exporters.programs import PROGRAMS, running_processes
from exporters.registry import target
from moodzone_agent.calibration import parse_shares
from moodzone_agent.challenger import keeps_zones
from moodzone_agent.classify.registry import Registry
from moodzone_agent.commands import calibrate as cli_calibrate
from moodzone_agent.commands import write as cli_write
from moodzone_agent.commands.scan import scan_folders
from moodzone_agent.commands.shared import out, prompt, shown
from moodzone_agent.config import change_settings
from moodzone_agent.console import scan_summary, track_name, zone_text
from moodzone_agent.errors import CollectionError, FileError, UsageError
from moodzone_agent.library.records import FileStatus, TrackRecord
from moodzone_agent.library.volumes import is_player_volume
from moodzone_agent.machine import find_collections, find_withheld, this_machine
from moodzone_agent.rerating import rate_stored
from moodzone_agent.setup.finding import FoundProgram, find_programs, music_folders, without_nested
from moodzone_agent.setup.judging import judge
from moodzone_agent.setup.session import Session, State, Step, StepResult
from moodzone_agent.setup.sizing import about, extent, measure_rate, take_stock, volume
from moodzone_agent.types import Zone
from moodzone_agent.workers import default_jobs

if TYPE_CHECKING:
    from moodzone_agent.writing import WriteResult

_File = tuple[Path, TrackRecord]

_TRIAL: Final = 20
_LISTED: Final = 40
_SHOWN: Final = 5
_SHARES: Final = "30,40,30"
_NO_FOLDERS: Final = StepResult(State.SKIPPED, "no music folder was chosen: `moodzone setup --only find`")
_NO_TRACKS: Final = StepResult(State.SKIPPED, "nothing is rated yet: `moodzone setup --only scan`")
_DECLINED: Final = StepResult(State.SKIPPED, "you said no")


def find(session: Session) -> StepResult:
    """DJ programs, and the folders of music, which the user confirms."""
    machine = this_machine(session.library)
    programs = find_programs(machine, running_processes())
    for program in programs:
        session.say(f"  {_program_line(program)}")
    if not programs:
        session.say("  no DJ program; zones in tags show in any")
    withheld = find_withheld(machine, session.settings)
    for name, held in withheld:
        session.say(f"  {name} ({shown(held.path)}) is not in use: {held.cure}")
        if not session.yes:
            _ask_consents(session, name, held)
    before = session.settings.agent.watched
    if session.named:
        folders = [_folder(str(folder)) for folder in session.named]
    else:
        with session.busy("Looking for music"):
            found = [folder for folder in music_folders(machine, session.collections()) if _is_utf8(folder)]
        folders = without_nested([*before, *found])
        if not session.yes:
            folders = _edit(folders)
    details = {
        "programs": [{"name": one.name, "running": one.is_running} for one in programs],
        "folders": [str(folder) for folder in folders],
        "withheld": [{"target": name, "path": str(held.path), "cure": held.cure} for name, held in withheld],
    }
    if not folders:
        return StepResult(State.FAILED, "no music folder was found; name one with --folder", details)
    if tuple(folders) != before:
        change_settings(session.places.settings, "agent", {"folders": [str(folder) for folder in folders]})
        session.forget(Step.ESTIMATE, Step.SCAN)
    session.say(f"  Music: {', '.join(map(shown, folders))} (kept in {shown(session.places.settings)})")
    return StepResult(details=details)


def census(session: Session) -> StepResult:
    """What the programs hold already, so that nothing of the user's gets a second meaning."""
    collections = session.collections()
    if session.library.count_rated():
        collections += find_collections(cli_write.TAGS, session.library, session.settings)
    failed: dict[str, str] = {}
    told = []
    for collection in collections:
        try:
            found = cli_write.show_census(collection, session.library, show=session.say)
        except (CollectionError, FileError) as error:
            failed[str(collection.path)] = str(error)
            session.say(f"  {shown(collection.path)}: {error}")
        else:
            told.append(
                {
                    "target": collection.target,
                    "path": str(collection.path),
                    "tracks": found.tracks,
                    "colours": dict(found.colours),
                    "comments": dict(found.comments),
                    "lists": list(found.lists),
                }
            )
    if not collections:
        session.say("  no collection of a DJ program was found; the tags of your files are enough")
    state = State.FAILED if failed else State.DONE
    return StepResult(state, "; ".join(failed.values()), {"collections": told})


def estimate(session: Session) -> StepResult:
    """How much music there is, and how long the scan will take."""
    folders = session.folders
    if not folders:
        return _NO_FOLDERS
    with session.busy("Counting your music"):
        load = take_stock(folders, session.library)
    session.say(f"  {load.files:,} music files, {volume(load.size)}; {len(load.new):,} are not rated yet")
    with session.busy("Measuring the speed"):
        rate = measure_rate(load, session.library, session.model())
    left = take_stock(folders, session.library)
    seconds = left.new_size / (rate * max(1, min(default_jobs(), len(left.new))))
    if left.new:
        session.say(f"  To read: {extent(len(left.new), left.new_size, seconds)} (measured on a few of them)")
    return StepResult(
        details={
            "files": load.files,
            "bytes": load.size,
            "files_to_read": len(left.new),
            "bytes_to_read": left.new_size,
            "seconds": round(seconds),
            "about": about(seconds),
        }
    )


def scan(session: Session) -> StepResult:
    """Rate everything; no file is touched."""
    folders = session.folders
    if not folders:
        return _NO_FOLDERS
    if not session.agrees("Rate them now? No file is changed, and Ctrl-C keeps what is done", default=True):
        return _DECLINED
    results = scan_folders(session.library, session.model(), session.settings, folders, jobs=0)
    session.say(scan_summary(results))
    counts: Counter[str] = Counter()
    for result in results:
        counts[result.status] += result.count
    zones = Counter(track.mark.zone for track in session.library.tracks() if track.mark)
    details = {"files": dict(counts), "zones": {zone: zones[zone] for zone in Zone}}
    # Files that can't be read are named above, and stay so: the step itself is done.
    return StepResult(reason=_some(counts[FileStatus.FAILED], "file failed", "files failed"), details=details)


def calibrate(session: Session) -> StepResult:
    """Fit the zones to this library."""
    rated = session.library.count_rated()
    if rated < cli_calibrate.OFFERED_FROM:
        return StepResult(
            State.SKIPPED, f"needs {cli_calibrate.OFFERED_FROM} rated tracks, and there are {rated}"
        )
    try:
        fit = cli_calibrate.fit_zones(
            session.library, session.model(), session.settings, parse_shares(_SHARES)
        )
    except UsageError as error:  # the model has learned the user's own zones
        return StepResult(State.SKIPPED, str(error))
    if not session.quiet:
        cli_calibrate.show_fit(fit)
    if not fit.is_new:
        return StepResult(details=fit.to_json(written=False))
    if not session.agrees("Fit the zones to your library so?", default=True):
        return _DECLINED
    cli_calibrate.store_fit(session.library, session.places, fit)
    champion = Registry(session.places.models).champion()
    rate_stored(session.library, session.model(), keep_zones=keeps_zones(session.library, champion))
    session.say("  done; `moodzone calibrate --undo` takes it back")
    return StepResult(details=fit.to_json(written=True))


def trial(session: Session) -> StepResult:
    """Write a few tracks, and say where to look."""
    files = _writable(session)
    if not files:
        return _NO_TRACKS
    chosen = _random_files(files) if session.yes else _choose(files)
    if not chosen:
        return _DECLINED
    writing = cli_write.Writing(session.library, session.places, session.settings, chosen, again=True)
    planned = _write(session, writing, cli_write.TAGS, dry_run=True)
    count = sum(result.status is WriteStatus.WRITTEN for result in planned)
    if count:
        if not session.quiet:
            changed = [result for result in planned if result.status is WriteStatus.WRITTEN]
            for result in changed[:_SHOWN]:
                cli_write.show_difference(result)
            if count > _SHOWN:
                session.say(f"and {count - _SHOWN} more like these")
        question = f"Write these zones into {_some(count, 'file', 'files')}? All else in them stays"
        if not session.agrees(question, default=True):
            return _DECLINED
    journal = Journal(session.places.journal)
    before = {run.id for run in journal.runs()}
    results = _write(session, writing, cli_write.TAGS)
    # Another process may write, too, while the user looks.
    trial = next((run.id for run in journal.runs() if run.id not in before and run.kind == "write"), None)
    if not session.quiet:
        cli_write.report_writes(results, done="written")
        for line in _where_to_look(session):
            session.say(f"  {line}")
    details: dict[str, Any] = _written(results) | {"files": [str(path) for path in chosen], "undone": False}
    if not session.yes and trial is not None:
        session.say("Look at them in your program; this waits.")
        if session.agrees("Take them back now?"):
            details["undone"] = True
            _take_back(session, trial)
    return StepResult(_state(results), details=details)


def rest(session: Session) -> StepResult:
    """Write all tracks to the targets that the user chooses, and let the agent do so from now on."""
    files = sum(len(track.paths) for track in session.library.tracks() if track.mark)
    if not files:
        return _NO_TRACKS
    found = [cli_write.TAGS, *dict.fromkeys(one.target for one in session.collections())]
    names = [name for name in session.settings.agent.targets if name in found] or [cli_write.TAGS]
    if not session.yes:
        for name in found:
            session.say(f"  {name}: {target(name).shown_in}")
        names = _choose_targets(found, names)
    session.say("  The agent will write new ones there, too. `moodzone undo` takes it back.")
    if not session.agrees(f"Write the zones of {_some(files, 'file', 'files')} to {', '.join(names)}?"):
        return _DECLINED
    change_settings(session.places.settings, "agent", {"write": True, "targets": names})
    writing = cli_write.Writing(session.library, session.places, session.settings, None, again=False)
    details: dict[str, Any] = {"targets": names}
    reasons = []
    for name in names:
        cli_write.give_consent(session.library, name)
        try:
            results = _write(session, writing, name)
        except CollectionError as error:  # the program runs, or the collection is damaged; the others go on
            reasons.append(str(error))
            session.say(f"  {name}: {error}")
            continue
        details[name] = _written(results)
        if not session.quiet:
            cli_write.report_writes(results, done="written")
            for line in target(name).after if name != cli_write.TAGS else _where_to_look(session):
                session.say(f"  {line}")
        if _state(results) is State.FAILED:
            reasons.append(f"some files failed in {name}")
    return StepResult(State.FAILED if reasons else State.DONE, "; ".join(reasons), details)


def agent(session: Session) -> StepResult:
    """Have the system run the agent from now on."""
    if not session.folders:
        return _NO_FOLDERS
    session.say(
        "  The agent rates new music and takes over your corrections. It rests while a DJ program runs or on\n"
        "  battery, and opens no window: what needs your yes waits in `moodzone inbox`."
    )
    if not session.agrees("Start it now, and at each login?"):
        return _DECLINED
    try:
        steps = session.install(session.places)
    except UsageError as error:
        return StepResult(State.FAILED, str(error))
    for step in steps:
        session.say(f"  {step.text}")
    left = [step.text for step in steps if not step.done]
    details = {"did": [step.text for step in steps if step.done]}
    return StepResult(State.FAILED if left else State.DONE, "; ".join(left), details)


STEPS: Final[dict[Step, tuple[str, Callable[[Session], StepResult]]]] = {
    Step.FIND: ("Programs and music", find),
    Step.CENSUS: ("What your programs hold already", census),
    Step.ESTIMATE: ("How long it will take", estimate),
    Step.SCAN: ("Rating", scan),
    Step.CALIBRATE: ("The zones, fitted to your library", calibrate),
    Step.JUDGE: ("Twelve tracks by ear", judge),
    Step.TRIAL: ("Twenty tracks written, to look at", trial),
    Step.REST: ("All the others", rest),
    Step.AGENT: ("The agent", agent),
}
"""What each step is called, and does."""


def _program_line(program: FoundProgram) -> str:
    where = f" ({shown(program.where)})" if program.where else ""
    return f"{program.name}{where}" + (
        ": running; close it before writing to it" if program.is_running else ""
    )


def _ask_consents(session: Session, name: str, held: Withheld) -> None:
    """Ask for leave to use a collection. Nobody who isn't there gives it: never with ``--yes``."""
    for setting, question in held.consents:
        if not session.agrees(question):
            return
        change_settings(session.places.settings, name.replace("-", "_"), {setting: True})


def _edit(folders: list[Path]) -> list[Path]:
    """Let the user add folders and leave some out, until Enter."""
    while True:
        for number, folder in enumerate(folders, 1):
            out(f"  {number}  {shown(folder)}")
        question = "Enter takes these; a path adds one; -1 leaves out the first"
        told = prompt(question if folders else "The folder with your music")
        if not told:
            return folders
        number = -int(told) if told.startswith("-") and told[1:].isdecimal() else 0
        if 1 <= number <= len(folders):
            del folders[number - 1]
            continue
        try:
            folders = without_nested([*folders, _folder(told)])
        except UsageError as error:
            out(f"  {error}")


def _folder(told: str) -> Path:
    """The folder that is meant, also by what a file manager pastes. Errors: `UsageError`."""
    candidates = [told]
    if os.name != "nt" and ("\\" in told or told.startswith(("'", '"'))):
        with suppress(ValueError):  # an apostrophe in a name
            candidates += shlex.split(told)[:1]
    else:
        candidates.append(told.strip('"'))
    for candidate in candidates:
        folder = Path(os.path.realpath(os.path.expanduser(candidate)))  # noqa: PTH111 - never raises
        if folder.is_dir():
            if not _is_utf8(folder):
                raise UsageError(
                    f"{shown(folder)} cannot stand in the settings; rename it, or name the folder above"
                )
            return folder
    raise UsageError(f"{shown(Path(told))} is not a folder; name one that is there")


def _is_utf8(folder: Path) -> bool:
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        return False
    return True


def _writable(session: Session) -> list[_File]:
    """The rated files that a trial may write: not what was undone, nor what is on a player's stick."""
    library = session.library

    @cache
    def is_on_stick(folder: Path) -> bool:
        return is_player_volume(folder, library.mounts)

    return [
        (path, track)
        for track in library.tracks()
        if track.mark
        for path in track.paths
        if not library.held(path) and not is_on_stick(path.parent)
    ]


def _choose(files: list[_File]) -> list[Path]:
    """Let the user pick files, by a folder or from a list; none if they don't want to."""
    listed = _spread(files, _LISTED)
    for number, (path, track) in enumerate(listed, 1):
        if track.mark:
            zone = Text(f"{track.mark.token:<8}", zone_text(track.mark.zone).style)
            where = (f"  {shown(path)}", "dim")
            out(Text.assemble((f"  {number:>2}  ", "dim"), zone, f"  {track_name(track)}", where))
    first = min(_TRIAL, len(listed))
    while True:
        told = prompt(f"Which? 1-{first} or 1,4,7; a folder; Enter for the first {first}; n for none")
        if told.lower() in {"n", "no"}:
            return []
        try:
            picked = _by_number(told, listed) if told else [path for path, _ in listed]
            if not picked:
                folder = _folder(told)
                picked = [path for path, _ in files if path.is_relative_to(folder)]
        except UsageError as error:
            out(f"  {error}")
            continue
        if picked:
            return picked[:_TRIAL]
        out("  nothing there is rated; name another folder")


def _by_number(told: str, listed: list[_File]) -> list[Path]:
    """The tracks with these numbers; none if something else than numbers was told."""
    numbers: list[int] = []
    for part in told.replace(" ", "").split(","):
        first, _, last = part.partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()):
            return []
        for number in (int(first), int(last or first)):
            if not 1 <= number <= len(listed):
                raise UsageError(f"there is no {number} in the list, which goes from 1 to {len(listed)}")
        numbers += range(int(first), int(last or first) + 1)
    return [listed[number - 1][0] for number in dict.fromkeys(numbers)]


def _spread(files: list[_File], count: int) -> list[_File]:
    """Some files of each zone, in turn."""
    groups = [[one for one in files if one[1].mark and one[1].mark.zone is zone] for zone in Zone]
    for group in groups:
        random.shuffle(group)
    spread: list[_File] = []
    while any(groups) and len(spread) < count:
        spread += [group.pop() for group in groups if group]
    return spread[:count]


def _random_files(files: list[_File]) -> list[Path]:
    return [path for path, _ in random.sample(files, min(_TRIAL, len(files)))]


def _choose_targets(found: list[str], usual: list[str]) -> list[str]:
    if len(found) == 1:
        return found
    while True:
        told = prompt(f"Where? Enter for {', '.join(usual)}, or some of {', '.join(found)}")
        names = told.lower().replace(",", " ").split() or usual
        if set(names) <= set(found):
            return list(dict.fromkeys(names))
        out(f"  give names out of {', '.join(found)}, with commas between them")


def _write(
    session: Session, writing: cli_write.Writing, name: str, *, dry_run: bool = False
) -> list[WriteResult]:
    collections = find_collections(name, session.library, session.settings)
    return writing.results(name, collections, dry_run=dry_run, quiet=session.quiet, yes=True)


def _take_back(session: Session, trial: int) -> None:
    """Undo the trial; its files aren't held back from the step that asks for all."""
    from moodzone_agent.undoing import undo_run

    journal = Journal(session.places.journal)
    results = undo_run(session.library, journal, session.settings, session.places.backups, trial)
    session.library.release([result.path for result in results])
    session.say(f"  {_some(len(results), 'file is', 'files are')} as before")


def _where_to_look(session: Session) -> list[str]:
    """The tags' hints on programs that were found, and those for every program."""
    found = find_programs(this_machine(session.library), running_processes())
    words = {program.name.split()[0] for program in found}
    others = {program.name.split()[0] for program in PROGRAMS} - words
    lines = target(cli_write.TAGS).after
    if not words:
        return list(lines)
    return [
        line for line in lines if any(word in line for word in words) or not any(o in line for o in others)
    ]


def _state(results: Iterable[WriteResult]) -> State:
    return State.FAILED if cli_write.any_failed(results) else State.DONE


def _written(results: Iterable[WriteResult]) -> dict[str, int]:
    return dict(Counter(str(result.status) for result in results))


def _some(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}" if count else ""
