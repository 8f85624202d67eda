"""A library, some music of every container, and a scan that reads it in this process."""

from __future__ import annotations

import os
import shutil
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
import pytest

from exporters.base import Want
from exporters.journal import Journal
from exporters.tags.collection import TagSettings
from moodzone_agent import pipeline
from moodzone_agent.analysis import read_file
from moodzone_agent.classify.bundle import load_bundle
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.config import Settings
from moodzone_agent.demo.encode import write_audio
from moodzone_agent.library.records import Analysis
from moodzone_agent.library.store import Library
from moodzone_agent.machine import open_collection
from moodzone_agent.pipeline import ScanResult, scan
from moodzone_agent.worker import Desk, Job, _answer
from moodzone_agent.workers import Outcome, Task
from moodzone_agent.writing import WriteResult, wanted, write_zones

ENDINGS = (".mp3", ".flac", ".m4a", ".ogg", ".opus", ".aiff", ".wav")

NOBODY = 65534

_noting: list[list[str]] = []


def _note_open(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        for noted in _noting:
            noted.append(str(arguments[0]))


sys.addaudithook(_note_open)


@contextmanager
def files_opened() -> Iterator[list[str]]:
    """The paths that Python opens in the block."""
    noted: list[str] = []
    _noting.append(noted)
    try:
        yield noted
    finally:
        _noting.remove(noted)


@contextmanager
def no_root() -> Iterator[None]:
    """The block as a user from whom files can be kept."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def make_track(path: Path, *, seed: int, seconds: float = 3.0, tags: dict[str, str] | None = None) -> Path:
    """Write noise in beats; another seed gives another recording."""
    noise = np.random.default_rng(seed).normal(0, 0.1, round(seconds * 44_100)).astype(np.float32)
    time = np.arange(len(noise)) / 44_100
    beats = noise * np.exp(-8 * (time % 0.5)).astype(np.float32)
    write_audio(path, np.stack([beats, beats], axis=1), tags=tags)
    return path


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one track in each container. Not to be changed."""
    folder = tmp_path_factory.mktemp("originals")
    for seed, ending in enumerate(ENDINGS):
        tags = {"title": f"Track {seed}", "artist": "Somebody", "comment": "8A - 7"}
        make_track(folder / f"{seed}{ending}", seed=seed, tags=tags)
    return folder


@pytest.fixture(scope="session")
def model() -> ZoneModel:
    return ZoneModel(load_bundle())


class _ReadHere:
    """Does the workers' work in this process, and notes what was done with each file."""

    def __init__(self, world: World, known_durations: Iterable[float]) -> None:
        self._read = world.read
        self._done = world.reads
        self._desk = Desk(sorted(known_durations))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, tasks: deque[Task], on_wait: Callable[[], None]) -> Iterator[Outcome]:
        while tasks:
            on_wait()
            task = tasks.popleft()
            outcome = Outcome(task, *_answer(self._read, task, self._desk))
            kind = {Analysis: "analysed", str: "identified"}.get(type(outcome.result), "failed")
            self._done.append((task.path.name, kind))
            yield outcome

    def bytes_under_way(self) -> float:
        return 0.0


@dataclass
class World:
    """A user's music and what MoodZone keeps."""

    music: Path
    home: Path
    model: ZoneModel
    library: Library
    reads: list[tuple[str, str]] = field(default_factory=list)
    """What the last scan read: name and ``analysed``, ``identified`` or ``failed``."""
    read: Job = read_file
    """What is done with a task, in place of a worker's job."""

    @property
    def journal(self) -> Journal:
        return Journal(self.home / "journal")

    def add(self, original: Path, name: str = "") -> Path:
        path = self.music / (name or original.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(original, path)
        return path

    def scan(self, *roots: Path) -> dict[str, ScanResult]:
        """Scan the roots, or all; results by path inside the music folder."""
        self.reads.clear()
        results = list(scan(roots or [self.music], self.library, self.model, jobs=1))
        told = {self._name(result.path): result for result in results}
        assert len(told) == len(results), "a file was told twice"
        return told

    def write(
        self, *roots: Path, settings: TagSettings | None = None, again: bool = False
    ) -> dict[str, WriteResult]:
        """Write the roots, or all; results by path inside the music folder."""
        items = list(wanted(self.library, roots or None, again=again))
        results = [item for item in items if isinstance(item, WriteResult)]
        wants = [item for item in items if isinstance(item, Want)]
        tags = open_collection("tags", self.music, self.library, Settings(tags=settings or TagSettings()))
        with self.journal.start("write") as run:
            results += write_zones(wants, tags, self.library, run, self.home / "backups")
        return {self._name(result.path): result for result in results}

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self.music)) if path.is_relative_to(self.music) else str(path)


@pytest.fixture
def world(model: ZoneModel, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    # Every user may enter it, unlike pytest's own folder.
    with (
        TemporaryDirectory(ignore_cleanup_errors=True) as name,
        Library.open(Path(name) / "home" / "library.sqlite") as library,
    ):
        root = Path(name).resolve()
        root.chmod(0o755)
        music = root / "music"
        music.mkdir()
        world = World(music, root / "home", model, library)
        monkeypatch.setattr(pipeline, "AnalysisPool", lambda jobs, durations: _ReadHere(world, durations))
        yield world
