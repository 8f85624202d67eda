"""Tables made of music: its frames, its tracks, and the one table of DEAM and a user's labelled tracks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.console import printable
from moodzone_agent.errors import DataSetError, FileError, UsageError
from moodzone_agent.features.spec import FEATURE_NAMES, FEATURES_VERSION, FRAME_COLUMNS, FRAME_SECONDS
from moodzone_agent.library.records import Analysis
from moodzone_agent.library.store import Library
from moodzone_agent.pipeline import is_music
from moodzone_agent.types import Cuts, LabelOrigin
from moodzone_agent.walk import AUDIO_ENDINGS, Found, Unreadable, walk
from trainer.datasets.deam import load_deam
from trainer.datasets.frames import extract_frames
from trainer.datasets.labels import Aliases, LabelFile, read_labels, read_paths
from trainer.datasets.store import Progress, adopt, analyse_into, frames_folder, open_cache
from trainer.datasets.tables import check_writable, new_table
from trainer.datasets.user import PathMap, Places, UserLabels, resolve

_ABOUT_TRACK: Final = ("path", "audio_id", "duration", "tempo")
TRACK_TABLE: Final = (*_ABOUT_TRACK, *(name for name in FEATURE_NAMES if name not in _ABOUT_TRACK))
"""Columns of a table of tracks. ``tempo`` is a feature, and stands in front."""
FRAME_TABLE: Final = ("path", "audio_id", "time", *FRAME_COLUMNS)
"""Columns of a table of frames; ``time`` is the frame's start in seconds."""
UNIFIED_TABLE: Final = ("source", "id", "artist", "zone", "origin", *FEATURE_NAMES)
"""Columns of the unified table. ``origin`` is how the user's label came, and empty for DEAM."""
_ROWS_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Done:
    """What a table came to hold."""

    rows: int
    tracks: int
    complaints: list[str]
    """Lines on files that could not be read."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the unified table shall hold."""

    deam: Path | None = None
    labels: tuple[Path, ...] = ()
    weak: tuple[Path, ...] = ()
    """Labels that count as weak, and less than any of `labels`."""
    music: tuple[Path, ...] = ()
    maps: tuple[PathMap, ...] = ()
    aliases: Aliases = field(default_factory=dict)
    cuts: Cuts = field(default_factory=Cuts)
    skip_missing: bool = False


def extract_tracks_into(
    output: Path, source: Path, *, cache: Path | None, jobs: int, progress: Progress
) -> Done:
    """Write `TRACK_TABLE`: each recording once, in order of path.

    Errors: `UsageError`, `DataSetError`, `LibraryError`; the output is then as it was.
    """
    check_writable(output)
    with open_cache(cache) as library:
        analysed = analyse_into(library, _music(source), jobs=jobs, progress=progress)
        if not analysed.recordings:
            raise DataSetError(_nothing(source, analysed.complaints()))
        rows = list(analysed.recordings.items())
        with new_table(output, TRACK_TABLE) as write:
            for first in range(0, len(rows), _ROWS_AT_ONCE):
                part = rows[first : first + _ROWS_AT_ONCE]
                analyses = [_analysis(library, audio_id) for audio_id, _ in part]
                write(
                    {
                        **_features(analyses),
                        "path": [str(path) for _, path in part],
                        "audio_id": [audio_id for audio_id, _ in part],
                        "duration": np.array([analysis.duration for analysis in analyses]),
                    }
                )
    return Done(len(rows), len(rows), analysed.complaints())


def extract_frames_into(
    output: Path, source: Path, *, cache: Path | None, jobs: int, progress: Progress
) -> Done:
    """Write `FRAME_TABLE`: the frames of each recording after each other, in order of path.

    Errors: `UsageError`, `DataSetError`, `LibraryError`; the output is then as it was.
    """
    check_writable(output)
    files, complaints = _files(_music(source))
    progress(0, len(files))
    rows = 0
    seen: set[str] = set()
    with new_table(output, FRAME_TABLE) as write:
        for done, (path, frames) in enumerate(extract_frames(files, frames_folder(cache), jobs=jobs), 1):
            progress(done, len(files))
            if isinstance(frames, FileError | OSError):
                complaints.append(f"{printable(path)}: {frames}")
                continue
            if frames.audio_id in seen:  # a copy
                continue
            seen.add(frames.audio_id)
            count = len(frames.columns)
            rows += count
            write(
                {
                    "path": [str(path)] * count,
                    "audio_id": [frames.audio_id] * count,
                    "time": np.arange(count) * FRAME_SECONDS,
                    **dict(zip(FRAME_COLUMNS, frames.columns.T, strict=True)),
                }
            )
        if not seen:
            raise DataSetError(_nothing(source, complaints))
    return Done(rows, len(seen), complaints)


def unify_into(
    output: Path,
    wanted: Wanted,
    *,
    cache: Path | None,
    jobs: int,
    progress: Progress,
    say: Callable[[str], None],
) -> Done:
    """Write `UNIFIED_TABLE`: DEAM's songs, then the user's tracks.

    Errors: `UsageError`, `DataSetError`, `LibraryError`; the output is then as it was.
    """
    check_writable(output)
    if wanted.deam is None and not (wanted.labels or wanted.weak):
        raise UsageError("name at least one source: --deam DIR, --labels FILE, or both")
    label_files = read_all(wanted)
    complaints: list[str] = []
    with open_cache(cache) as library:
        columns = []
        if wanted.deam is not None:
            songs, complaints = _deam(
                library, wanted.deam, wanted.cuts, jobs=jobs, progress=progress, say=say
            )
            columns.append(songs)
        if label_files:
            user = label_tracks(library, label_files, wanted, jobs=jobs, progress=progress)
            user.report.check(skip_missing=wanted.skip_missing)
            for line in user.report.lines():
                say(line)
            columns.append(_user(library, user))
        with new_table(output, UNIFIED_TABLE) as write:
            for part in columns:
                write(part)
    rows = sum(len(part["id"]) for part in columns)
    return Done(rows, rows, complaints)


def read_all(wanted: Wanted) -> list[LabelFile]:
    """All sources of labels, the weak ones first. Errors: `DataSetError`, for unknown zones too."""
    files = [
        read_labels(source, aliases=wanted.aliases, origin=origin)
        for sources, origin in ((wanted.weak, LabelOrigin.WEAK), (wanted.labels, LabelOrigin.IMPORTED))
        for source in sources
    ]
    for label_file in files:
        label_file.check()
    return files


def label_tracks(
    library: Library,
    label_files: Sequence[LabelFile],
    wanted: Wanted,
    *,
    jobs: int,
    progress: Progress,
) -> UserLabels:
    """The user's labels with their recordings, all of which `library` has features of afterwards."""
    for label_file in label_files:
        if label_file.is_library:
            with Library.open(label_file.source, read_only=True) as other:
                adopt(library, other)
    places = Places(wanted.maps)
    files = [path for label_file in label_files for path in places.files(label_file, library)]
    for folder in wanted.music:
        if not folder.exists():
            raise UsageError(f"--music {printable(folder)} does not exist")
    analyse_into(library, dict.fromkeys([*wanted.music, *files]), jobs=jobs, progress=progress)
    return resolve(label_files, library, places=places)


def _deam(
    library: Library,
    folder: Path,
    cuts: Cuts,
    *,
    jobs: int,
    progress: Progress,
    say: Callable[[str], None],
) -> tuple[Mapping[str, Any], list[str]]:
    """The rows of DEAM's songs that can be read, and lines on those that can't."""
    deam = load_deam(folder)
    songs = deam.songs
    if deam.exchange_undone:
        say(f"exchanged arousal and valence back in the released labels of {deam.exchange_undone} songs")
    for reason, count in deam.left_out.items():
        say(f"left out {count} songs of DEAM: {reason}")
    analysed = analyse_into(library, [song.audio for song in songs], jobs=jobs, progress=progress)
    tracks = [(song, library.track_of(song.audio.resolve())) for song in songs]
    known = [
        (song, analysis)
        for song, track in tracks
        if track is not None and (analysis := library.analysis(track.audio_id, FEATURES_VERSION)) is not None
    ]
    if not known:
        raise DataSetError(_nothing(folder, analysed.complaints()))
    return {
        **_features([analysis for _, analysis in known]),
        "source": ["deam"] * len(known),
        "id": [str(song.song_id) for song, _ in known],
        "artist": [song.artist for song, _ in known],
        "zone": [str(cuts.zone(song.arousal, song.valence)) for song, _ in known],
        "origin": [""] * len(known),
    }, analysed.complaints()


def _user(library: Library, user: UserLabels) -> Mapping[str, Any]:
    tracks = user.tracks
    return {
        **_features([_analysis(library, track.audio_id) for track in tracks]),
        "source": ["user"] * len(tracks),
        "id": [track.audio_id for track in tracks],
        "artist": [track.artist for track in tracks],
        "zone": [str(track.zone) for track in tracks],
        "origin": [str(track.origin) for track in tracks],
    }


def _features(analyses: Sequence[Analysis]) -> dict[str, NDArray[np.float32]]:
    rows = np.stack([analysis.track for analysis in analyses])
    return dict(zip(FEATURE_NAMES, rows.T, strict=True))


def _analysis(library: Library, audio_id: str) -> Analysis:
    analysis = library.analysis(audio_id, FEATURES_VERSION)
    assert analysis is not None, "it was analysed just now"
    return analysis


def _music(source: Path) -> list[Path]:
    """The folder or file of music itself, or what a list names."""
    if source.is_dir() or source.suffix.lower() in AUDIO_ENDINGS:
        return [source]
    paths = read_paths(source)
    if not paths:
        raise DataSetError(f"{printable(source)} is an empty list: it should hold a path in each line")
    return paths


def _files(roots: Iterable[Path]) -> tuple[list[Path], list[str]]:
    """All files of music there, in order of path, and lines on what can't be looked at."""
    files: set[Path] = set()
    complaints = []
    for root in roots:
        for item in walk(root):
            try:
                if isinstance(item, Found) and (not item.sniff or is_music(item.path)):
                    files.add(item.path)
                elif isinstance(item, Found) and not root.is_dir():
                    complaints.append(f"{printable(item.path)}: not a music file")
            except OSError as error:
                complaints.append(f"{printable(item.path)}: {error.strerror or error}")
            if isinstance(item, Unreadable):
                complaints.append(f"{printable(item.path)}: {item.reason}")
    return sorted(files), complaints


def _nothing(source: Path, complaints: Sequence[str]) -> str:
    return "\n  ".join(
        [f"{printable(source)} gave no music that can be read; nothing was written.", *complaints]
    )
