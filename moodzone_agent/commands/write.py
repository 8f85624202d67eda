"""``moodzone write``, ``export`` and ``census``: zones to where the user sees them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from moodzone_agent.commands.shared import (
    DONE,
    SOME_FAILED,
    STOPPED,
    TARGET_NAMES,
    DryRun,
    Json,
    SomePaths,
    Yes,
    ask,
    console,
    open_library,
    out,
    print_json,
    require,
    setting,
    shown,
)
from moodzone_agent.errors import JournalError, LibraryError, UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from exporters.base import Collection, Want
    from exporters.census import Census
    from moodzone_agent.config import Places, Settings
    from moodzone_agent.library.store import Library
    from moodzone_agent.writing import WriteResult

TAGS: Final = "tags"
PATIENCE: Final = 60.0
"""Seconds to wait for the agent, which writes a hundred files at a time."""

_PREVIEWED: Final = 5
_CONSENT: Final = "consent to write"
_TOLD: Final = "told where tags show"

Again = Annotated[bool, typer.Option("--again", help="Also files whose writing was undone.")]


def write(
    paths: SomePaths = None,
    all_: Annotated[bool, typer.Option("--all", help="Every track in the library.")] = False,
    to: Annotated[
        str,
        typer.Option(help=f"Where to write the zones: one or more of {TARGET_NAMES}, with commas."),
    ] = TAGS,
    again: Again = False,
    dry_run: DryRun = False,
    json_: Json = False,
    yes: Yes = False,
) -> None:
    """Write zones into the tags of scanned files, or into DJ programs' collections."""
    from exporters.registry import target

    places, settings = setting()
    targets = [target(name.strip()).name for name in to.split(",")]
    if bool(paths) == all_:
        raise UsageError("name the folders or files to write, or give --all for the whole library")
    require(paths or [])
    with open_library(places, must_exist=True) as library:
        for path in paths or []:
            if not any(library.files_under(path)):
                raise UsageError(f"{shown(path)} holds nothing that was scanned: `moodzone scan` it first")
        writing = Writing(library, places, settings, paths or None, again=again)
        failed = writing.to_targets(targets, dry_run=dry_run, json_=json_, yes=yes)
    raise typer.Exit(SOME_FAILED if failed else DONE)


def export(
    target: Annotated[str, typer.Argument(help=f"One of {TARGET_NAMES}.")],
    paths: SomePaths = None,
    to: Annotated[
        Path | None, typer.Option("--out", help="The new file or folder.", show_default=False)
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option("--into", help="A file that the program exported, to merge into.", show_default=False),
    ] = None,
    again: Again = False,
    dry_run: DryRun = False,
    json_: Json = False,
    yes: Yes = False,
) -> None:
    """Write zones into a new file or folder for a DJ program, or merge them into one that it exported."""
    from exporters.registry import target as known_target
    from moodzone_agent.machine import open_collection

    places, settings = setting()
    kind = known_target(target)
    if kind.name == TAGS:
        raise UsageError("tags are in the files themselves: `moodzone write` puts zones there")
    place = to or into
    if place is None or (to is not None and into is not None):
        raise UsageError("give either --out with a new file or folder, or --into with one that is there")
    if to is not None and to.is_file():
        raise UsageError(f"{shown(to)} exists; give --into to merge into it, or name a new one")
    if into is not None and not into.exists():
        raise UsageError(f"{shown(into)} does not exist; give --out to make it")
    require(paths or [])
    with open_library(places, must_exist=True) as library:
        collection = open_collection(kind.name, place.absolute(), library, settings)
        writing = Writing(library, places, settings, paths or None, again=again)
        failed = writing.to_collections(kind.name, [collection], dry_run=dry_run, json_=json_, yes=yes)
    raise typer.Exit(SOME_FAILED if failed else DONE)


def census(
    targets: Annotated[
        list[str] | None,
        typer.Argument(help=f"Which of {TARGET_NAMES}; all if none.", show_default=False),
    ] = None,
) -> None:
    """Show what your programs and files hold already: colours, comments, lists, Mixed In Key's energy."""
    from exporters.registry import target
    from moodzone_agent.machine import find_collections, target_names

    places, settings = setting()
    names = [target(name).name for name in targets or target_names()]
    with open_library(places, must_exist=True) as library:
        for name in names:
            for collection in find_collections(name, library, settings):
                show_census(collection, library)


class Writing:
    """One command's writing of zones, to one target or several; what goes to one target is one run."""

    def __init__(
        self, library: Library, places: Places, settings: Settings, paths: list[Path] | None, *, again: bool
    ) -> None:
        self._library = library
        self._places = places
        self._settings = settings
        self._paths = paths
        self._again = again

    def to_targets(self, targets: list[str], *, dry_run: bool, json_: bool, yes: bool) -> bool:
        """Write to the collections that are found; True if something failed."""
        from moodzone_agent.machine import find_collections, find_withheld, this_machine

        failed = False
        for name in targets:
            collections = find_collections(name, self._library, self._settings)
            if not collections:
                for kind, held in find_withheld(this_machine(self._library), self._settings):
                    if kind == name:
                        raise UsageError(f"{shown(held.path)}: {held.cure}")
                raise UsageError(
                    f"no collection for {name} was found; `moodzone export {name}` makes one where you say"
                )
            failed |= self.to_collections(name, collections, dry_run=dry_run, json_=json_, yes=yes)
        return failed

    def to_collections(
        self, name: str, collections: list[Collection], *, dry_run: bool, json_: bool, yes: bool
    ) -> bool:
        """Write to these collections of one target, after asking the first time; True if something failed."""
        from exporters.base import WriteStatus

        def tell(result: WriteResult) -> None:
            if json_:
                print_json(_write_json(result, dry_run=dry_run))

        results = self.results(name, collections, dry_run=dry_run, quiet=json_, yes=yes or json_, tell=tell)
        if json_:
            return any_failed(results)
        failed = report_writes(results, done="would be written" if dry_run else "written", show=dry_run)
        if not dry_run and any(result.status is WriteStatus.WRITTEN for result in results):
            self._tell_what_next(name)
        return failed

    def _tell_what_next(self, name: str) -> None:
        """What shows by itself, what needs a step, and what that overwrites; of tags, which are written often, once."""
        from exporters.registry import target

        if name == TAGS and self._library.meta(_TOLD):
            return
        for line in target(name).after:
            out(f"  {line}")
        if name == TAGS:
            self._library.set_meta(_TOLD, "docs/dj-software.md tells it again")

    def results(
        self,
        name: str,
        collections: list[Collection],
        *,
        dry_run: bool,
        quiet: bool,
        yes: bool,
        tell: Callable[[WriteResult], None] = lambda _: None,
    ) -> list[WriteResult]:
        """Write to these collections of one target, after asking the first time; reports nothing by itself."""
        from exporters.base import WriteStatus
        from exporters.registry import target
        from moodzone_agent.writing import WriteResult, preview, settle_colours

        results: list[WriteResult] = []

        def note(result: WriteResult) -> None:
            results.append(result)
            tell(result)

        wants = self._wants(note)
        for want in wants:
            if not any(collection.holds(want.path) for collection in collections):
                reason = f"on a drive without {target(name).shown_in}"
                note(WriteResult(want.path, WriteStatus.SKIPPED, reason, target=name))
        parts = [
            (collection, [want for want in wants if collection.holds(want.path)])
            for collection in collections
        ]
        for collection in collections:
            for zone, colour in settle_colours(collection, self._library, keep=not dry_run).items():
                sys.stderr.write(
                    f"{shown(collection.path)}: {colour} is a colour of yours there already, so {zone} gets none; "
                    f"choose another in the settings, [{name.replace('-', '_')}] {zone.lower()}\n"
                )
        if dry_run:
            for collection, own in parts:
                for result in preview(own, collection, self._library):
                    note(result)
        elif wants:
            if not (yes or self._consents(name, parts)):
                raise typer.Exit(STOPPED)
            self._write(name, parts, note, quiet=quiet)
        return results

    def _wants(self, tell: Callable[[WriteResult], None]) -> list[Want]:
        from moodzone_agent.writing import WriteResult, wanted

        wants = []
        for item in wanted(self._library, self._paths, again=self._again):
            if isinstance(item, WriteResult):
                tell(item)
            else:
                wants.append(item)
        return wants

    def _write(
        self,
        name: str,
        parts: list[tuple[Collection, list[Want]]],
        tell: Callable[[WriteResult], None],
        *,
        quiet: bool,
    ) -> None:
        from exporters.journal import Journal
        from moodzone_agent.writing import write_zones

        journal = Journal(self._places.journal)
        told: list[WriteResult] = []
        try:
            total = sum(len(own) for _, own in parts)
            with (
                journal.start("write" if name == TAGS else name) as run,
                _progress(f"Writing {name}", total) as advance,
            ):
                if not self._library.path.exists():  # `remove` finished while the user was asked
                    raise LibraryError("the library was removed meanwhile; scan again")
                for collection, own in parts:
                    for result in write_zones(own, collection, self._library, run, self._places.backups):
                        told.append(result)
                        tell(result)
                        advance()
        except JournalError:
            if not quiet:
                report_writes(told, done="written before it had to stop")
            raise
        with suppress(JournalError):  # another process writes by now, and will do it
            keeping = self._settings.journal
            forgotten = journal.prune(
                keep_days=keeping.keep_days, max_bytes=keeping.max_megabytes * 1_000_000
            )
            if forgotten:
                runs = ", ".join(str(run.id) for run in forgotten)
                limits = "journal.keep_days and max_megabytes"
                sys.stderr.write(f"can no longer be undone, as {limits} say: run {runs}\n")

    def _consents(self, name: str, parts: list[tuple[Collection, list[Want]]]) -> bool:
        """Ask before the first write to a target, where there is somebody to ask."""
        from exporters.base import WriteStatus
        from moodzone_agent.writing import preview

        library = self._library
        if library.meta(f"{_CONSENT} {name}") or not (sys.stdin.isatty() and sys.stdout.isatty()):
            return True
        previews = (result for collection, own in parts for result in preview(own, collection, library))
        first = list(islice((item for item in previews if item.status is WriteStatus.WRITTEN), _PREVIEWED))
        if not first:
            return True
        for collection, _ in parts:
            show_census(collection, library)
        for item in first:
            show_difference(item)
        out(f"{self._extent(parts)} All else in them stays; `moodzone undo` takes it back.")
        if not ask("Write the zones there?" if name != TAGS else "Write the zones into these files?"):
            return False
        give_consent(library, name)
        return True

    def _extent(self, parts: list[tuple[Collection, list[Want]]]) -> str:
        """How much may be written."""
        from rich.filesize import decimal

        if any(collection.by_file for collection, _ in parts):
            paths = {want.path for _, own in parts for want in own}
            records = (self._library.file(path) for path in paths)
            size = decimal(sum(record.stamp.size for record in records if record))
            return f"Up to {len(paths):,} files of {size} together."
        names = ", ".join(shown(collection.path) for collection, _ in parts)
        return f"Up to {sum(len(own) for _, own in parts):,} tracks in {names}."


def give_consent(library: Library, name: str) -> None:
    """Note that the user agreed to writing to a target; `Writing` doesn't ask any more."""
    library.set_meta(f"{_CONSENT} {name}", "given")


def show_census(
    collection: Collection, library: Library, *, show: Callable[[RenderableType], None] = out
) -> Census:
    """Print what stands in a collection, but for what is ours."""
    from moodzone_agent.console import census_table
    from moodzone_agent.writing import ours_in, settle_colours

    ours = ours_in(collection, library)
    found = collection.census(ours)
    zones = {path: track.mark.zone for track in library.tracks() if track.mark for path in track.paths}
    show(census_table(collection, found, zones, settle_colours(collection, library, keep=False, found=found)))
    return found


def report_writes(results: list[WriteResult], *, done: str, show: bool = False) -> bool:
    """Print what became of files, if wanted with their texts before and after; True if some failed."""
    from exporters.base import WriteStatus
    from moodzone_agent.console import failures, skips

    if show:
        for result in results:
            if result.status is WriteStatus.WRITTEN:
                show_difference(result)
    for field, part in _by_field(results):
        counts = Counter(result.status for result in part)
        kept = counts[WriteStatus.KEPT]
        out(
            f"{field}{counts[WriteStatus.WRITTEN]:,} {done} · {counts[WriteStatus.UNCHANGED]:,} unchanged · "
            + (f"{kept:,} kept as you have it · " if kept else "")
            + f"{counts[WriteStatus.SKIPPED]:,} skipped · {counts[WriteStatus.FAILED]:,} failed"
        )

    def told(status: WriteStatus) -> Iterator[tuple[Path, str]]:
        return ((result.path, result.reason) for result in results if result.status is status)

    for line in (
        *skips(told(WriteStatus.KEPT), "kept"),
        *skips(told(WriteStatus.SKIPPED)),
        *failures(told(WriteStatus.FAILED)),
    ):
        out(line)
    return any_failed(results)


def _by_field(results: list[WriteResult]) -> Iterator[tuple[str, list[WriteResult]]]:
    """Results by the kind of place; those of tags, which are files, together and without a name."""
    groups: dict[str, list[WriteResult]] = {}
    for result in results:
        name = "" if result.target == TAGS else f"{result.target}, {result.field}: "
        groups.setdefault(name, []).append(result)
    yield from groups.items() or {"": []}.items()


def any_failed(results: Iterable[WriteResult]) -> bool:
    """Whether something failed."""
    from exporters.base import WriteStatus

    return any(result.status is WriteStatus.FAILED for result in results)


def show_difference(result: WriteResult) -> None:
    """Print what stands in a place, and what will."""
    what = "" if result.target == TAGS else f" ({result.target}, {result.field})"
    out(
        f"{shown(result.path)}{what}\n"
        f"   before: {result.before or '(empty)'}\n   after:  {result.after or '(empty)'}"
    )


def _write_json(result: WriteResult, *, dry_run: bool) -> dict[str, Any]:
    would = dry_run and result.status == "written"
    return {
        "path": str(result.path),
        "target": result.target,
        "field": result.field,
        "write": "would be written" if would else result.status,
        "reason": result.reason,
        "before": result.before,
        "after": result.after,
    }


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    from rich.progress import Progress

    terminal = console(stderr=True)
    with Progress(console=terminal, transient=True, disable=not terminal.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)
