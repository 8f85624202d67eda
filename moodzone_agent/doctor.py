"""Is everything in order? Each finding says what was checked, and what to do where it is not well."""

from __future__ import annotations

import platform
import shutil
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from exporters.base import Collection
from exporters.journal import Journal
from exporters.programs import PROGRAMS, running_processes
from exporters.tags.collection import TagCollection
from moodzone_agent.background import control
from moodzone_agent.background.single import holder
from moodzone_agent.classify.registry import SHIPPED, Registry
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.config import Places, load_settings
from moodzone_agent.errors import CollectionError, FileError, MoodZoneError
from moodzone_agent.library.store import Library
from moodzone_agent.machine import find_collections, find_withheld, target_names, this_machine
from moodzone_agent.types import Cuts

_LOW_SPACE = 500_000_000
_CODECS = ("mp3", "flac", "aac", "alac", "vorbis", "opus", "pcm_s16le", "pcm_s24be")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked."""

    check: str
    ok: bool
    detail: str


def examine(places: Places) -> list[Finding]:
    """Settings, model, decoders, library, journal, disk, DJ programs, in this order. Changes nothing."""
    return [
        Finding("Python", ok=True, detail=f"{platform.python_version()} on {platform.platform()}"),
        _settings(places),
        _model(places),
        _decoders(),
        _library(places),
        _journal(places),
        _space(places),
        _agent(places),
        *_programs(places),
    ]


def _settings(places: Places) -> Finding:
    try:
        cuts = load_settings(places.settings).zones
    except MoodZoneError as error:
        return Finding("Settings", ok=False, detail=str(error))
    state = str(places.settings) if places.settings.exists() else f"the defaults (no {places.settings})"
    if cuts != Cuts():
        state += f"; YELLOW ends at {cuts.yellow_max:g}, PURPLE begins at {cuts.purple_min:g}"
    return Finding("Settings", ok=True, detail=state)


def _model(places: Places) -> Finding:
    try:
        champion = Registry(places.models).champion()
        ZoneModel(champion.bundle).load()
    except MoodZoneError as error:
        return Finding("Model", ok=False, detail=str(error))
    if champion.warning:
        return Finding("Model", ok=False, detail=champion.warning)
    which = f"model {champion.number}" if champion.number != SHIPPED else "the one that ships"
    return Finding("Model", ok=True, detail=f"{champion.bundle.model_id} ({which}), checked and loaded")


def _decoders() -> Finding:
    import av

    missing = [codec for codec in _CODECS if codec not in av.codecs_available]
    if missing:
        return Finding("Decoders", ok=False, detail=f"PyAV lacks {', '.join(missing)}; reinstall it with pip")
    return Finding("Decoders", ok=True, detail="MP3, FLAC, WAV, AIFF, AAC, ALAC, Vorbis, Opus")


def _library(places: Places) -> Finding:
    if not places.library.exists():
        return Finding("Library", ok=True, detail="none yet; `moodzone scan FOLDER` makes it")
    try:
        with Library.open(places.library, read_only=True) as library:
            library.check()
            count = sum(1 for _ in library.tracks())
    except MoodZoneError as error:
        return Finding("Library", ok=False, detail=str(error))
    return Finding("Library", ok=True, detail=f"{count:,} tracks in {places.library}")


def _journal(places: Places) -> Finding:
    if not places.journal.exists():
        return Finding("Undo journal", ok=True, detail="empty; nothing was written yet")
    try:
        journal = Journal(places.journal)
        runs = journal.runs()
        size = journal.size
    except MoodZoneError as error:
        return Finding("Undo journal", ok=False, detail=str(error))
    return Finding(
        "Undo journal", ok=True, detail=f"{len(runs):,} runs, {size / 1e6:.1f} MB in {places.journal}"
    )


def _agent(places: Places) -> Finding:
    """Whether the agent runs, and which folders it can't watch by events, with what cures that."""
    running = holder(places)
    if running is None:
        return Finding("Agent", ok=True, detail="none runs; `moodzone agent run` or `install` starts one")
    told = control.read_status(places)
    slow = [
        f"{folder.path}: {folder.mode}" for folder in (told.folders if told else ()) if ": " in folder.mode
    ]
    detail = f"process {running.pid}, {told.state if told else 'starting'}"
    return Finding("Agent", ok=not slow, detail="; ".join([detail, *slow]))


def _programs(places: Places) -> list[Finding]:
    """Which collections of DJ programs are here, in which version or what they wait for, and which programs run."""
    try:
        settings = load_settings(places.settings)
        with _opened(places) as library:
            found = [
                _collection(collection)
                for name in target_names()
                if name != TagCollection.target
                for collection in find_collections(name, library, settings)
            ]
            withheld = find_withheld(this_machine(library), settings)
    except MoodZoneError:  # the findings about settings and library tell it
        return [_running()]
    waiting = [
        Finding(name, ok=True, detail=f"{held.path}: found, not in use; {held.cure}")
        for name, held in withheld
    ]
    return [_running(), *found, *waiting]


def _opened(places: Places) -> AbstractContextManager[Library | None]:
    """The library to read from, if there is one yet."""
    return Library.open(places.library, read_only=True) if places.library.exists() else nullcontext()


def _running() -> Finding:
    processes = running_processes()
    running = [program.name for program in PROGRAMS if program.is_running(processes)]
    told = f"{', '.join(running)}: close before writing to it" if running else "none is running"
    return Finding("DJ programs", ok=True, detail=told)


def _collection(collection: Collection) -> Finding:
    try:
        version = collection.version()
    except (CollectionError, FileError) as error:
        return Finding(collection.target, ok=False, detail=str(error))
    return Finding(collection.target, ok=True, detail=f"{collection.path} ({version})")


def _space(places: Places) -> Finding:
    folder = next(parent for parent in places.library.parents if parent.exists())
    free = shutil.disk_usage(folder).free
    return Finding(
        "Disk",
        ok=free > _LOW_SPACE,
        detail=f"{free / 1e9:.1f} GB free at {folder}" + ("" if free > _LOW_SPACE else "; make some room"),
    )
