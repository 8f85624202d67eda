"""What people look at: tables, ribbons and summaries in the terminal."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from moodzone_agent.corrections import Verdict
from moodzone_agent.library.records import FileStatus, TrackRecord
from moodzone_agent.types import ZONES, Zone

if TYPE_CHECKING:
    from datetime import datetime

    from exporters.base import Collection
    from exporters.census import Census
    from moodzone_agent.background.control import AgentStatus
    from moodzone_agent.background.single import Holder
    from moodzone_agent.corrections import Finding
    from moodzone_agent.library.corrections import Correction
    from moodzone_agent.pipeline import Plan, ScanResult
    from moodzone_agent.stream import SoFar
    from moodzone_agent.why import Reason

ZONE_COLOURS: Final = {Zone.YELLOW: "#e5c100", Zone.GREEN: "#2eae4f", Zone.PURPLE: "#a04be0"}
_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_RIBBON_AROUSAL: Final = (2.0, 7.0)
"""Drawn lowest and highest; hardly any music lies beyond."""
_STREAM_BAR: Final = 24
_MOST_NAMED: Final = 50
_MOST_COUNTED: Final = 12
_MOST_SKIPPED_NAMED: Final = 5


def zone_text(zone: Zone, *, sure: bool = True) -> Text:
    """The zone in its colour, with a question mark where the model is unsure."""
    return Text(f"{zone}{'' if sure else '?'}", style=f"bold {ZONE_COLOURS[zone]}")


def ribbon_text(ribbon: NDArray[np.floating[Any]], width: int) -> Text:
    """The track from left to right in `width` characters: height is arousal, colour the commonest zone there."""
    text = Text()
    if len(ribbon) == 0:
        return text
    for part in np.array_split(ribbon, min(width, len(ribbon))):
        zone = ZONES[int(np.bincount(part[:, 0].astype(int), minlength=len(ZONES)).argmax())]
        height = np.interp(part[:, 1].mean(), _RIBBON_AROUSAL, (1, len(_BLOCKS) - 1))
        text.append(_BLOCKS[round(float(height))], style=ZONE_COLOURS[zone])
    return text


def minutes(seconds: float | None) -> str:
    """m:ss."""
    return "" if seconds is None else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def printable(path: Path | str) -> str:
    """A path or name for the terminal: control characters and what isn't UTF-8 are escaped."""
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "backslashreplace").decode()
        for character in str(path)
    )


def track_name(track: TrackRecord) -> str:
    """Artist and title as tagged, else the file's name."""
    if track.title:
        return f"{track.artist} – {track.title}" if track.artist else track.title
    paths = track.paths or track.away
    return printable(Path(paths[0].name)) if paths else track.audio_id


def track_zone(track: TrackRecord) -> Text:
    """The zone that counts: the user's, marked so, else the model's."""
    if track.label:
        return zone_text(track.label.zone) + Text(" ✓ yours", style="dim")
    return zone_text(track.estimate.zone, sure=track.estimate.sure) if track.estimate else Text("–")


def track_table(tracks: Iterable[TrackRecord], *, ribbon_width: int = 24) -> Table:
    """One row per track."""
    table = Table(box=None, header_style="dim", padding=(0, 1), expand=True)
    table.add_column("Zone", no_wrap=True, min_width=8)
    table.add_column("Track", overflow="ellipsis", no_wrap=True, ratio=1, min_width=12)
    for name in ("Energy", "BPM", "Length"):
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    table.add_column("Along the track", no_wrap=True, min_width=ribbon_width)
    for track in tracks:
        table.add_row(
            track_zone(track),
            Text(track_name(track)) if track.paths else Text(f"{track_name(track)} (not there)", style="dim"),
            f"{track.estimate.arousal:.1f}" if track.estimate else "",
            f"{track.tempo:.0f}" if track.tempo else "",
            minutes(track.duration),
            ribbon_text(track.ribbon, ribbon_width),
        )
    return table


def track_details(track: TrackRecord) -> RenderableType:
    """All that is known of one track."""
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim")
    rows.add_column()
    rows.add_row("Zone", track_zone(track))
    if track.hint:
        rows.add_row(
            "Hint", zone_text(track.hint.zone) + Text(f" by {track.hint.source}; a weak label, not your word")
        )
    if track.estimate:
        estimate = track.estimate
        shares = Text("  ").join(
            zone_text(zone) + Text(f" {share:.0%}")
            for zone, share in zip(ZONES, estimate.probabilities, strict=True)
        )
        rows.add_row("Model says", shares)
        if estimate.kept and not track.label:
            rows.add_row("", Text.assemble("keeps ", zone_text(estimate.kept), ": no other leads by enough"))
        rows.add_row("Energy", f"{estimate.arousal:.1f} of 9 (arousal)")
        rows.add_row("Mood", f"{estimate.valence:.1f} of 9 (valence)")
        rows.add_row("Model", estimate.model)
    rows.add_row("Tempo", f"{track.tempo:.1f} BPM" if track.tempo else "")
    rows.add_row("Length", minutes(track.duration))
    rows.add_row("Drops", ", ".join(minutes(drop) for drop in track.drops) or "none")
    for warning in track.warnings:
        rows.add_row("Note", Text(warning, style="yellow"))
    for path in track.paths:
        rows.add_row("File", Text(printable(path)))
    for path in track.away:
        rows.add_row("Was at", Text(printable(path)))
    return Group(Text(track_name(track), style="bold"), Padding(ribbon_text(track.ribbon, 64), (1, 0)), rows)


def reason_table(track: TrackRecord, reasons: Sequence[Reason]) -> RenderableType:
    """What speaks for and against the zone that the model gives."""
    if track.estimate is None or not reasons:
        return Text("In nothing that matters to its zone is it unlike most of your library.", style="dim")
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    table.add_column(justify="right")
    for reason in reasons:
        table.add_row(reason.group, reason.words, Text(f"{reason.change * 100:+.0f} %"))
    head = Text("Why ") + zone_text(track.estimate.zone)
    return Padding(Group(head + Text(", and what each adds to its probability:"), table), (1, 0, 0, 0))


def stream_view(so_far: SoFar) -> Text:
    """One line on audio that is arriving."""
    estimate = so_far.estimate
    text = Text(f"{minutes(so_far.seconds):>6}  ")
    text.append_text(zone_text(estimate.zone, sure=estimate.sure))
    text.append(" " * (8 - len(text.plain.split()[-1])))
    height = np.interp(estimate.arousal, _RIBBON_AROUSAL, (0, _STREAM_BAR))
    text.append("█" * round(float(height)), style=ZONE_COLOURS[estimate.zone])
    text.append("░" * (_STREAM_BAR - round(float(height))), style="dim")
    text.append(
        f"  energy {estimate.arousal:.1f}  confidence {estimate.confidence:.0%}  {so_far.tempo:.0f} BPM"
    )
    return text


class ScanProgress(Progress):
    """Tracks, tracks a minute, time left and the last file. It asks the plan itself, twice a second.

    The bar counts bytes, those of the files under way too, so that it moves during a mix of hours.
    """

    _plan: Plan | None = None

    def __init__(self, console: Console) -> None:
        super().__init__(
            TextColumn("Rating"),
            BarColumn(),
            TextColumn("{task.fields[read]:,}/{task.fields[to_read]:,}", style="progress.download"),
            _TracksAMinute(),
            TimeRemainingColumn(),
            TextColumn("{task.description}", style="dim", markup=False),
            console=console,
            refresh_per_second=2,
            transient=True,
            disable=not console.is_terminal,
        )
        self._bar = self.add_task("", total=None, read=0, to_read=0)

    def follow(self, plan: Plan) -> None:
        """Show how far this plan is from now on."""
        self.update(self._bar, total=plan.bytes_to_read, to_read=plan.to_read)
        self._plan = plan
        self.refresh()

    def name(self, path: Path) -> None:
        """Show a file as the last one."""
        self.update(self._bar, description=printable(Path(path.name))[:40])

    def get_renderables(self) -> Iterable[RenderableType]:
        """What `Progress` draws, of the plan as it is now."""
        if self._plan is not None:
            self.update(self._bar, completed=self._plan.bytes_read, read=self._plan.files_read)
        yield from super().get_renderables()


class _TracksAMinute(ProgressColumn):
    def render(self, task: Task) -> Text:
        read, elapsed = task.fields["read"], task.elapsed
        return Text(f"{read / elapsed * 60:.0f} tracks/min" if read and elapsed else "", style="green")


def scan_summary(results: Sequence[ScanResult]) -> RenderableType:
    """Every file accounted for."""
    counts: Counter[FileStatus] = Counter()
    for result in results:
        counts[result.status] += result.count
    tracks = [result.track for result in results if result.track is not None]
    new = sum(result.changed for result in results if result.status is FileStatus.OK)
    zones = Counter(track.mark.zone for track in tracks if track.mark)
    unsure = sum(
        track.label is None and track.estimate is not None and not track.estimate.sure for track in tracks
    )
    parts: list[RenderableType] = []
    if zones:
        widest = max(zones.values())
        bars = Table.grid(padding=(0, 1))
        for zone in ZONES:
            bar = Text(
                "█" * max(1 if zones[zone] else 0, round(40 * zones[zone] / widest)), ZONE_COLOURS[zone]
            )
            bars.add_row(zone_text(zone), f"{zones[zone]:,}", bar)
        parts.append(bars)
    rated, failed, skipped = (
        counts[status] for status in (FileStatus.OK, FileStatus.FAILED, FileStatus.SKIPPED)
    )
    parts.append(
        Text(
            f"{counts.total():,} files: {rated:,} rated, {failed:,} failed, {skipped:,} skipped\n"
            f"  rated {new:,} new or changed, {rated - new:,} unchanged; the model is unsure of {unsure:,}"
        )
    )
    reasons: Counter[str] = Counter()
    for result in results:
        if result.status is FileStatus.SKIPPED:
            reasons[result.reason] += result.count
    parts.extend(
        Text(f"  skipped {count:,}: {reason}", style="dim") for reason, count in reasons.most_common()
    )
    parts.extend(failures((r.path, r.reason) for r in results if r.status is FileStatus.FAILED))
    return Group(*parts)


def failures(failed: Iterable[tuple[Path, str]]) -> list[RenderableType]:
    """Each failed file with its reason; beyond the first fifty only their number."""
    files = list(failed)
    lines = [_named("failed", "red", path, reason) for path, reason in files[:_MOST_NAMED]]
    if len(files) > _MOST_NAMED:
        lines.append(Text(f"  failed {len(files) - _MOST_NAMED:,} more; --json lists them all", style="red"))
    return lines


def skips(skipped: Iterable[tuple[Path, str]], what: str = "skipped") -> list[RenderableType]:
    """Each skipped file with its reason; of more than five with one reason only their number."""
    by_reason: defaultdict[str, list[Path]] = defaultdict(list)
    for path, reason in skipped:
        by_reason[reason].append(path)
    lines: list[RenderableType] = []
    for reason, paths in by_reason.items():
        if len(paths) > _MOST_SKIPPED_NAMED:
            lines.append(Text(f"  {what} {len(paths):,}: {reason}; --json lists them all"))
        else:
            lines.extend(_named(what, "yellow", path, reason) for path in paths)
    return lines


def _named(what: str, style: str, path: Path, reason: str) -> RenderableType:
    return Text.assemble((f"  {what} ", style), printable(path), (f": {reason}", "dim"))


def census_table(
    collection: Collection, census: Census, zones: Mapping[Path, Zone], left_out: Mapping[Zone, str]
) -> RenderableType:
    """What stands in a collection; Mixed In Key's energy by the zones that its tracks have.

    ``left_out``: the colours that `writing.settle_colours` doesn't use.
    """
    lines: list[RenderableType] = [
        Text.assemble(
            (f"{collection.target}", "bold"), f": {printable(collection.path)}, {census.tracks:,} tracks"
        )
    ]
    for what, counts in (("colours", census.colours), ("comments", census.comments)):
        if counts:
            most = list(counts.items())[:_MOST_COUNTED]
            lines.append(Text(f"  {what}: " + " · ".join(f"{name} {count:,}" for name, count in most)))
    if census.lists:
        lines.append(Text(f"  lists: {', '.join(census.lists)}"))
    lines.extend(
        Text(
            f"  {left_out[zone]} is your colour on {share:.0%} of the tracks, so {zone} gets none; "
            f"choose another in the settings",
            style="yellow",
        )
        for zone, share in census.crowded(left_out).items()
    )
    energies: defaultdict[int, Counter[Zone]] = defaultdict(Counter)
    for path, energy in census.energies.items():
        if path in zones:
            energies[energy][zones[path]] += 1
    if energies:
        table = Table(box=None, header_style="dim", padding=(0, 1))
        table.add_column("Mixed In Key energy", justify="right")
        for zone in ZONES:
            table.add_column(zone_text(zone), justify="right")
        for energy in sorted(energies):
            table.add_row(str(energy), *(f"{energies[energy][zone]:,}" for zone in ZONES))
        lines.append(table)
    return Group(*lines)


def finding_line(finding: Finding) -> Text:
    """One correction, or what looks like one."""
    place = finding.sighting.place
    where = f"{finding.target}, {place.field}"
    match finding.verdict:
        case Verdict.CONFLICT:
            said: str | Text = f"says several zones: {finding.sighting.value}"
        case Verdict.ECHO:
            said = f"shows an older mark again: {finding.sighting.value}"
        case Verdict.VANISHED:
            said = "lost its token; it is written once more"
        case _:
            said = zone_text(finding.zone) if finding.zone else ""
    return Text.assemble("  ", printable(place.track), (f" ({where}) ", "dim"), said)


def correction_line(one: Correction) -> Text:
    """One correction, and what became of it."""
    said = zone_text(one.zone) if one.zone else Text(one.value)
    told = f": {one.why}" if one.why else ""
    return Text.assemble(
        (f"{one.id:>5} ", "dim"),
        printable(one.place.track),
        (f" ({one.target}, {one.place.field}) ", "dim"),
        said,
        (f" {one.state}{told}", "dim"),
    )


def agent_details(
    running: Holder | None, told: AgentStatus | None, *, paused: datetime | None, held: int
) -> RenderableType:
    """What the agent does."""
    if running is None:
        head = Text("no agent runs; `moodzone agent run` starts it, `moodzone agent install` at each login")
        return Group(head, Text(f"paused since {paused.astimezone():%Y-%m-%d %H:%M}")) if paused else head
    rows = [("agent", f"process {running.pid}, since {running.started.astimezone():%Y-%m-%d %H:%M}")]
    if told is not None:
        waits = f"{told.waiting:,}" + (f" wait for {told.waiting_for}" if told.waiting_for else "")
        rows += [
            ("state", told.state),
            ("to analyse", f"{told.queue:,} ({told.rate:,.0f} an hour of late)"),
            ("to write", waits),
            ("model", told.champion),
            *(
                [("labels", f"{told.labels:,} since the last training; {told.retraining}")]
                if told.retraining
                else []
            ),
            *(("watches", f"{printable(Path(folder.path))} ({folder.mode})") for folder in told.folders),
            *(("error", error) for error in told.errors),
        ]
    if held:
        rows.append(("inbox", f"{held:,} wait for your yes: `moodzone inbox`"))
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(Text(name, "dim"), value)
    return table
