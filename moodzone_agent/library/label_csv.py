"""The label history as CSV: out of a library, and into one.

Columns: audio id; a path of the recording at export; zone, or ``none`` where the label was taken back; origin; source;
time in nanoseconds since 1970. One row an entry, in order of arrival. `trainer.datasets.labels` reads it as a table.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from exporters.filesystem import explain, is_gone, replace_file
from moodzone_agent.errors import UsageError
from moodzone_agent.library.records import LabelEvent
from moodzone_agent.library.store import Library
from moodzone_agent.types import LabelOrigin, Zone

COLUMNS: Final = ("audio_id", "path", "zone", "origin", "source", "time_ns")
TAKEN_BACK: Final = "none"

_DELIMITERS: Final = ",;\t"
_SOURCE: Final = "csv"
"""Of labels whose row names none."""
_INT64: Final = 1 << 63


@dataclass(frozen=True, slots=True)
class ImportCounts:
    """What became of the rows of a file."""

    added: int
    known: int
    """Rows that the library has already."""
    older: int
    """Rows that it lacks, but a newer label of the same recording counts."""
    unknown: tuple[str, ...]
    """Path, or else audio id, of rows whose recording is not in the library."""


@dataclass(frozen=True, slots=True)
class _Row:
    event: LabelEvent
    """Its audio id may be empty, or of a recording that the library doesn't know."""
    path: str


def export_labels(library: Library, path: Path) -> int:
    """Write the whole label history to a CSV file; returns the number of its entries.

    A file is replaced only if it holds nothing but entries of this library's history, as an earlier export does.
    Errors: `UsageError` if it holds anything else or can't be written; `LibraryError`.
    """
    history = library.labels()
    paths = {track.audio_id: next(iter((*track.paths, *track.away)), "") for track in library.tracks()}
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(COLUMNS)
    for event in history:
        zone = event.zone or TAKEN_BACK
        rows.writerow(
            (event.audio_id, paths.get(event.audio_id, ""), zone, event.origin, event.source, event.time_ns)
        )
    target = Path(os.path.realpath(path))
    try:
        if not is_gone(target) and not _holds_only(target, history):
            raise UsageError(f"{path} holds something else; name another file for the labels")
        replace_file(target, text.getvalue().encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise UsageError(f"labels cannot be saved to {path} ({explain(error)}); name another file") from error
    return len(history)


def import_labels(library: Library, path: Path) -> ImportCounts:
    """Add the labels of a CSV file to the history, all of them or, in case of an error, none.

    Needed are the column ``zone`` and ``audio_id`` or ``path``; the recording is told by the audio id if the library
    knows it, else by the path (a relative one from the file's folder). What a row lacks is taken as imported, from
    "csv", when the file was last changed.

    Of each recording, rows are added that are newer than all entries of the library: those behind its last entry, if
    that is in the file; else those of a later time than any. So a label given since is never overridden, and importing
    a file twice adds nothing. Errors: `UsageError` names the line that can't be understood; `LibraryError`.
    """
    wanted: dict[str, list[LabelEvent]] = defaultdict(list)
    unknown = []
    with library.transaction():
        for row in _read(path):
            audio_id = _recording(library, row, path.parent)
            if audio_id is None:
                unknown.append(row.path or row.event.audio_id)
            else:
                wanted[audio_id].append(replace(row.event, audio_id=audio_id))
        counts = [_add(library, audio_id, events) for audio_id, events in wanted.items()]
    added, known, older = (sum(each) for each in zip((0, 0, 0), *counts, strict=True))
    return ImportCounts(added, known, older, tuple(dict.fromkeys(unknown)))


def _add(library: Library, audio_id: str, events: list[LabelEvent]) -> tuple[int, int, int]:
    """Add what is newer; how many were added, known, and older."""
    history = [event for event in library.labels(audio_id) if event.origin is not LabelOrigin.WEAK]
    fresh = events
    if history and history[-1] in events:
        fresh = events[len(events) - events[::-1].index(history[-1]) :]
    elif history:
        newest = max(event.time_ns for event in history)
        fresh = [event for event in events if event.time_ns > newest]
        if len(fresh) == 1 and fresh[0].source == _SOURCE and fresh[0].zone is history[-1].zone:
            fresh = []  # the table was saved anew, and says nothing new
    fresh = [event for event in fresh if event not in history]
    for event in fresh:
        label = event.label
        if label is not None:
            library.add_label(label)
        else:
            library.retract_label(audio_id, event.source, event.time_ns)
    known = sum(event in history for event in events)
    return len(fresh), known, len(events) - len(fresh) - known


def _recording(library: Library, row: _Row, folder: Path) -> str | None:
    if row.event.audio_id and library.track(row.event.audio_id) is not None:
        return row.event.audio_id
    track = library.track_of(Path(os.path.realpath(folder / row.path))) if row.path else None
    return track.audio_id if track is not None else None


def _holds_only(path: Path, history: Iterable[LabelEvent]) -> bool:
    """Whether a file is an export, of entries that are all in this history: others may be the only copy."""
    try:
        return path.read_bytes().startswith(",".join(COLUMNS).encode() + b"\r\n") and {
            row.event for row in _read(path)
        } <= set(history)
    except UsageError:
        return False


def _read(path: Path) -> list[_Row]:
    try:
        text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
        now = path.stat().st_mtime_ns
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); name a CSV file of labels") from error
    try:
        head, rows = _rows(text)
        found = []
        for line, cells in rows:
            row = {name.strip().lower(): cell for name, cell in zip(head, cells, strict=False)}
            if any(cell.strip() for cell in cells):
                found.append(_row(row, now, f"{path}, line {line}"))
    except csv.Error as error:
        raise UsageError(f"{path} is no CSV ({error}); name a CSV file of labels") from error
    return found


def _rows(text: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and rows with their line."""
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(_DELIMITERS, key=first.count))
    head = next(reader, [])
    names = {name.strip().lower() for name in head}
    if "zone" not in names or not names & {"audio_id", "path"}:
        raise UsageError(
            "the file has no header that names the column zone, and audio_id or path; "
            "`moodzone labels export FILE` writes one that has"
        )
    return head, [(reader.line_num, cells) for cells in reader]


def _row(row: dict[str, str], now: int, where: str) -> _Row:
    word, origin = row["zone"].strip().upper(), row.get("origin", "").strip().lower()
    time = row.get("time_ns", "").strip()
    if word not in (*Zone, TAKEN_BACK.upper()):
        raise UsageError(f"{where}: {row['zone']!r} is not a zone; write yellow, green, purple or none")
    if origin and origin not in list(LabelOrigin):
        raise UsageError(f"{where}: the origin {origin!r} is none of {', '.join(LabelOrigin)}")
    if time and not (re.fullmatch(r"-?\d{1,19}", time) and -_INT64 <= int(time) < _INT64):
        raise UsageError(f"{where}: the time {time!r} is no whole number; a spreadsheet may have rounded it")
    zone = None if word == TAKEN_BACK.upper() else Zone(word)
    event = LabelEvent(
        row.get("audio_id", "").strip(),
        zone,
        LabelOrigin(origin or LabelOrigin.IMPORTED) if zone else LabelOrigin.CORRECTED,
        row.get("source", "") or _SOURCE,
        int(time) if time else now,
    )
    return _Row(event, row.get("path", ""))
