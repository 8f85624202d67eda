"""Which recordings a user's labels mean, and what became of the labels that mean none."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from moodzone_agent.console import printable
from moodzone_agent.errors import DataSetError, UsageError
from moodzone_agent.features.spec import FEATURES_VERSION
from moodzone_agent.library.records import TrackRecord
from moodzone_agent.library.store import Library
from moodzone_agent.types import LabelOrigin, Zone
from trainer.datasets.labels import GivenLabel, LabelFile

_SAME_DURATION: Final = 2.0
"""Seconds; programs round, and count an MP3's padding or don't."""
_MOST_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class PathMap:
    """Where a folder of another computer is on this one."""

    old: str
    """As that computer writes it."""
    new: Path

    @classmethod
    def parse(cls, option: str) -> Self:
        """From ``OLD=NEW``, where NEW is a folder that exists. Raises UsageError."""
        for equals in (match.start() for match in re.finditer("=", option)):
            old, new = option[:equals], Path(option[equals + 1 :]).expanduser()
            if old.strip() and option[equals + 1 :].strip() and new.is_dir():
                return cls(old, new.absolute())
        raise UsageError(
            f"--map {printable(option)}: write OLD=NEW, the other computer's folder and the same one here, "
            "which must exist"
        )

    def apply(self, path: Path) -> Path | None:
        """Where a path of that computer is here; None if it isn't in the folder. Either slash will do, any case too."""
        parts, old = _parts(str(path)), _parts(self.old)
        if len(parts) < len(old) or any(_folded(a) != _folded(b) for a, b in zip(parts, old, strict=False)):
            return None
        return self.new.joinpath(*parts[len(old) :])


class Why(StrEnum):
    """Why a label was left out; the value is the reason in words, and what cures it."""

    CONTRADICTED = "a newer label of the same track names another zone"
    DUPLICATE = "the same track was labelled alike before"
    MISSING = (
        "no such file: say where the other computer's folder is here with --map OLD=NEW, or name the folder "
        "with the music with --music, by which artist and title are compared"
    )
    UNMATCHED = "no track with this artist and title: name the folder with the music with --music"
    AMBIGUOUS = "several tracks fit: give a path, or the duration too"
    NOT_ANALYSED = "the audio could not be analysed"


WITHOUT_AUDIO: Final = frozenset({Why.MISSING, Why.UNMATCHED, Why.AMBIGUOUS, Why.NOT_ANALYSED})


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One label that doesn't count."""

    label: GivenLabel
    why: Why
    detail: str = ""

    def __str__(self) -> str:
        named = " – ".join(filter(None, (self.label.artist, self.label.title)))
        about = (
            printable(self.label.path) if self.label.path else printable(named or str(self.label.audio_id))
        )
        return f"{self.label.where}: {self.label.zone} {about}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True, slots=True)
class Report:
    """What became of all labels."""

    used: int
    """Recordings with a label."""
    by_origin: dict[LabelOrigin, int]
    without_zone: int
    left_out: tuple[LeftOut, ...]

    def count(self, why: Why) -> int:
        """Labels left out for this reason."""
        return sum(left.why is why for left in self.left_out)

    def lines(self) -> list[str]:
        """For the user: what is used, then each reason with some of its labels."""
        how = ", ".join(f"{count:,} {origin}" for origin, count in self.by_origin.items())
        lines = [_count(self.used, "labelled track") + (f" ({how})" if how else "")]
        if self.without_zone:
            some = (
                "1 row or file has" if self.without_zone == 1 else f"{self.without_zone:,} rows or files have"
            )
            lines.append(f"{some} no zone")
        for why in Why:
            left = [item for item in self.left_out if item.why is why]
            if left:
                lines.append(f"{len(left):,} left out: {why}")
                lines += [f"  {item}" for item in left[:_MOST_SHOWN]]
            if len(left) > _MOST_SHOWN:
                lines.append(f"  and {len(left) - _MOST_SHOWN:,} more")
        return lines

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def check(self, *, skip_missing: bool = False) -> None:
        """Raise `DataSetError` where labels have no audio (unless that is allowed), or none is left."""
        missing = [item for item in self.left_out if item.why in WITHOUT_AUDIO]
        if self.used and (skip_missing or not missing):
            return
        if not self.used and not missing:
            raise DataSetError(
                "there is not one label: " + "; ".join(self.lines()[1:] or ["the files are empty"])
            )
        reasons = Report(self.used, {}, 0, tuple(missing)).lines()[1:]
        cure = "or leave them out with --skip-missing." if self.used else "Nothing was written."
        have = "has" if len(missing) == 1 else "have"
        raise DataSetError(
            f"{_count(len(missing), 'label')} {have} no audio, {self.used:,} have.\n  "
            + "\n  ".join([*reasons, cure])
        )


@dataclass(frozen=True, slots=True)
class UserLabel:
    """One recording with its label."""

    audio_id: str
    zone: Zone
    origin: LabelOrigin
    artist: str
    """Small letters, blanks collapsed; the audio id where the artist is not known."""
    path: Path
    """One of its files."""


@dataclass(frozen=True, slots=True)
class UserLabels:
    """A user's labels, each recording once, in the order of their first label."""

    tracks: tuple[UserLabel, ...]
    report: Report


@dataclass
class Places:
    """Finds files that labels name, where they are now; looks at each folder once."""

    maps: Sequence[PathMap] = ()
    _folders: dict[Path, dict[str, list[str]]] = field(default_factory=dict)

    def files(self, label_file: LabelFile, known: Library) -> Iterator[Path]:
        """The files here that a source's labels name, to be analysed before `resolve`.

        Recordings that the agent's library named and `known` has features of are not looked at again.
        """
        for label in label_file.labels:
            is_known = label.audio_id is not None and known.has_features(label.audio_id, FEATURES_VERSION)
            if label_file.is_library and is_known:
                continue
            found = self.find(label, label_file.source)
            if found is not None:
                yield found

    def find(self, label: GivenLabel, source: Path) -> Path | None:
        """The file that a label names: by the maps, as it is, or from the folder of its source."""
        if label.path is None:
            return None
        mapped = [here for path_map in self.maps if (here := path_map.apply(label.path)) is not None]
        base = source if source.is_dir() else source.parent
        slashed = base.joinpath(*_parts(str(label.path)))  # a relative path from Windows
        for candidate in (*mapped, base / label.path, slashed):
            found = self._existing(candidate)
            if found is not None:
                return Path(os.path.realpath(found))
        return None

    def _existing(self, path: Path) -> Path | None:
        """The file of this name; else of the one name that differs in case or in how accents are composed."""
        if _is_file(path):
            return path
        absolute = path.absolute()
        found = Path(absolute.anchor)
        for part in absolute.relative_to(found).parts:
            exact = found / part
            if _exists(exact):
                found = exact
                continue
            alike = self._names(found).get(_folded(part), [])
            if len(alike) != 1:
                return None
            found /= alike[0]
        return found if _is_file(found) else None

    def _names(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._folders:
            names = defaultdict(list)
            try:
                for name in os.listdir(folder):  # noqa: PTH208 (names are wanted, not paths)
                    names[_folded(name)].append(name)
            except OSError:  # no folder, or a closed one: then there is nothing to find
                names.clear()
            self._folders[folder] = dict(names)
        return self._folders[folder]


def resolve(files: Iterable[LabelFile], library: Library, *, places: Places) -> UserLabels:
    """The recording that each label means: by audio id, else by path, else by artist, title and duration.

    Durations may differ by 2 s. Where several tracks fit, none is guessed. Of several labels of a recording the last
    counts. Errors: `LibraryError`.
    """
    search = _Search(library, places)
    meant: dict[str, tuple[GivenLabel, TrackRecord, Path]] = {}
    left_out: list[LeftOut] = []
    without_zone = 0
    for label_file in files:
        without_zone += label_file.without_zone
        for label in label_file.labels:
            found = search.find(label, label_file.source)
            if isinstance(found, LeftOut):
                left_out.append(found)
                continue
            track, path = found
            before = meant.pop(track.audio_id, None)
            if before is not None:
                alike = before[0].zone is label.zone
                why = Why.DUPLICATE if alike else Why.CONTRADICTED
                left_out.append(LeftOut(before[0], why, f"{label.where} says {label.zone}"))
            meant[track.audio_id] = label, track, path
    tracks = tuple(
        UserLabel(audio_id, label.zone, label.origin, _tidy(track.artist or label.artist) or audio_id, path)
        for audio_id, (label, track, path) in meant.items()
    )
    by_origin = Counter(track.origin for track in tracks)
    return UserLabels(tracks, Report(len(tracks), dict(by_origin), without_zone, tuple(left_out)))


class _Search:
    """Finds recordings in a library."""

    def __init__(self, library: Library, places: Places) -> None:
        self._library = library
        self._places = places
        self._by_name: dict[tuple[str, str], list[TrackRecord]] | None = None

    def find(self, label: GivenLabel, source: Path) -> tuple[TrackRecord, Path] | LeftOut:
        path = self._places.find(label, source)
        track = self._library.track(label.audio_id) if label.audio_id else None
        if track is None and path is not None:
            track = self._library.track_of(path)
            if track is None:
                record = self._library.file(path)
                return LeftOut(label, Why.NOT_ANALYSED, record.reason if record else "it was not looked at")
        if track is None:
            named = self._named(label)
            if isinstance(named, LeftOut):
                return named
            track = named
        if not self._library.has_features(track.audio_id, FEATURES_VERSION):
            return LeftOut(label, Why.NOT_ANALYSED if path or track.paths else Why.MISSING)
        return track, path or next(iter((*track.paths, *track.away)), Path())

    def _named(self, label: GivenLabel) -> TrackRecord | LeftOut:
        """By artist and title; where the artist is not known, the duration must be."""
        missing = Why.MISSING if label.path or label.audio_id else Why.UNMATCHED
        if not label.title or not (label.artist or label.duration):
            return LeftOut(label, missing)
        tracks = self._tracks_by_name().get((_tidy(label.artist), _tidy(label.title)), [])
        if label.duration is None:
            fitting = tracks
        else:
            fitting = [
                track
                for track in tracks
                if track.duration is not None and abs(track.duration - label.duration) <= _SAME_DURATION
            ]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            return LeftOut(label, Why.AMBIGUOUS, f"{len(fitting)} tracks")
        return LeftOut(label, missing, "one of another duration is there" if tracks else "")

    def _tracks_by_name(self) -> dict[tuple[str, str], list[TrackRecord]]:
        if self._by_name is None:
            self._by_name = defaultdict(list)
            for track in self._library.tracks():
                if track.title and track.paths:
                    self._by_name[_tidy(track.artist), _tidy(track.title)].append(track)
        return self._by_name


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _parts(path: str) -> list[str]:
    """Folders and name, whichever slash divides them; a drive's letter is one, too."""
    return [part for part in re.split(r"[\\/]+", path) if part]


def _folded(name: str) -> str:
    """Equal for names that macOS or Windows takes for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _tidy(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that this system can't have
        return False


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
