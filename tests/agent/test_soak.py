"""Half an hour of whatever a user may do to files, under a running agent, and a model of what must be true.

``MOODZONE_SOAK_MINUTES`` sets another time. Prints what it did, and how memory, handles and workers went.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import mutagen
import psutil
import pytest

from exporters.tags.edit import encoded_audio_digest, read_state
from moodzone_agent.background import control
from moodzone_agent.config import Places
from moodzone_agent.library.store import Library
from moodzone_agent.types import Label, LabelOrigin, Zone
from tests.agent.conftest import make_track

ROOT = Path(__file__).resolve().parents[2]
MINUTES = float(os.environ.get("MOODZONE_SOAK_MINUTES", "30"))
SETTINGS = """
[agent]
write = true
settle_seconds = 1
poll_seconds = 5
quiet_minutes = 0.05
sweep_minutes = 5
most_rewrites_a_day = 1000000
"""
MOST_FILES = 60


class Music:
    """A folder of music, what was done to it, and what each file's audio must be."""

    def __init__(self, folder: Path, places: Places, chance: random.Random) -> None:
        self.folder = folder
        self.places = places
        self.chance = chance
        self.audio: dict[Path, str] = {}
        self.said: list[tuple[str, Zone]] = []
        """The labels given by a command, by the library's id of the recording, in order."""
        self.typed: defaultdict[str, set[Zone]] = defaultdict(set)
        """The zones that were ever typed into files of some audio."""
        self.done: Counter[str] = Counter()
        self._made = 0

    def act(self) -> None:
        """Do one thing."""
        actions: list[Callable[[], None]] = [self.add, self.copy, self.move, self.rename_folder, self.delete]
        actions += [self.replace, self.correct, self.label, self.touch, self.read]
        action = self.chance.choice(actions if self.audio else [self.add])
        if len(self.audio) >= MOST_FILES and action in (self.add, self.copy):
            action = self.delete
        try:
            action()
        except FileNotFoundError:  # the agent replaced it in this moment
            self.done["missed"] += 1
        else:
            self.done[action.__name__] += 1

    def place(self, ending: str) -> Path:
        folder = self.folder / self.chance.choice(["a", "b", "c/d", "c/e & f"])
        folder.mkdir(parents=True, exist_ok=True)
        self._made += 1
        return folder / f"{self._made}{ending}"

    def pick(self) -> Path:
        return self.chance.choice(sorted(self.audio))

    def add(self) -> None:
        path = self.place(self.chance.choice([".mp3", ".flac", ".wav", ".m4a"]))
        make_track(path, seed=self.chance.randrange(10**9), seconds=self.chance.uniform(0.5, 8))
        self.audio[path] = encoded_audio_digest(path)

    def copy(self) -> None:
        source = self.pick()
        path = Path(shutil.copyfile(source, self.place(source.suffix)))
        self.audio[path] = self.audio[source]

    def move(self) -> None:
        source = self.pick()
        path = source.rename(self.place(source.suffix))
        self.audio[path] = self.audio.pop(source)

    def rename_folder(self) -> None:
        folder = self.pick().parent
        self._made += 1
        new = folder.rename(folder.with_name(f"{folder.name[:8]} {self._made}"))
        for path in [path for path in self.audio if path.is_relative_to(folder)]:
            self.audio[new / path.relative_to(folder)] = self.audio.pop(path)

    def delete(self) -> None:
        path = self.pick()
        path.unlink()
        del self.audio[path]

    def replace(self) -> None:
        path = self.pick()
        made = path.with_name(f".new{path.suffix}")
        make_track(made, seed=self.chance.randrange(10**9), seconds=2)
        digest = encoded_audio_digest(made)
        made.replace(path)
        self.audio[path] = digest

    def correct(self) -> None:
        path = self.pick()
        if path.suffix == ".flac" and read_state(path).mark is not None:
            tagged, zone = mutagen.File(path), self.chance.choice(list(Zone))
            tagged["comment"] = [f"#{zone.lower()}"]
            self.typed[self.audio[path]].add(zone)
            tagged.save()

    def label(self) -> None:
        with Library.open(self.places.library) as library:
            tracks = [track for track in library.tracks() if track.estimate and track.paths]
            if tracks:
                track, zone = self.chance.choice(tracks), self.chance.choice(list(Zone))
                library.add_label(Label(track.audio_id, zone, LabelOrigin.ASKED, "cli", time.time_ns()))
                self.said.append((track.audio_id, zone))

    def touch(self) -> None:
        os.utime(self.pick())

    def read(self) -> None:
        self.pick().read_bytes()


@pytest.mark.soak
def test_half_an_hour_of_anything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home, folder = tmp_path / "home", tmp_path / "music"
    home.mkdir()
    folder.mkdir()
    places = Places.under(home)
    places.settings.write_text(SETTINGS)
    music = Music(folder, places, random.Random(11))
    with (tmp_path / "stderr").open("ab") as stderr:
        agent = subprocess.Popen(
            [sys.executable, "-m", "moodzone_agent", "agent", "run", "--folder", str(folder)],
            cwd=ROOT,
            env={**os.environ, "MOODZONE_HOME": str(home)},
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        process = psutil.Process(agent.pid)
        seen: list[tuple[float, float, int, int]] = []
        wait(lambda: places.library.exists() and control.read_status(places) is not None, 60)
        start = time.monotonic()
        while (passed := time.monotonic() - start) < MINUTES * 60:
            music.act()
            time.sleep(music.chance.expovariate(1.5))
            if passed >= len(seen) * 30:
                memory = process.memory_info().rss / 1e6
                seen.append((passed, memory, process.num_fds(), process.num_threads()))
                check_said(music)
            assert agent.poll() is None, (tmp_path / "stderr").read_text()
        wait(lambda: is_settled(music), 180)
        used = process.cpu_times()
        children = process.children()
    finally:
        agent.terminate()
        agent.wait(timeout=30)
    with capsys.disabled():
        print(f"\n{sum(music.done.values())} actions: {dict(music.done.most_common())}")
        for passed, memory, handles, threads in seen[:: max(1, len(seen) // 10)]:
            print(f"{passed / 60:5.1f} min {memory:6.1f} MB {handles:4} handles {threads:3} threads")
        print(f"CPU {used.user + used.system:.0f} s of its own, {used.children_user:.0f} s of workers")
    assert agent.returncode == 0
    assert len(children) <= 1  # the tracker of shared memory, which every spawn keeps
    first, last = seen[max(1, len(seen) // 4)], seen[-1]  # at the very first nothing is loaded yet
    assert last[1] < first[1] + 40, "memory grew"
    assert last[2] <= first[2] + 8, "handles grew"
    assert last[3] <= first[3] + 2, "threads grew"
    check_labels(music)
    for path, digest in music.audio.items():
        assert encoded_audio_digest(path) == digest


def wait(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to rest"
        time.sleep(0.5)


def check_said(music: Music) -> dict[str, Zone]:
    """No label that a command gave is lost; returns the library's labels, by its id of the recording."""
    with Library.open(music.places.library) as library:
        history = [(event.audio_id, event.zone) for event in library.labels() if event.source == "cli"]
        labels = {track.audio_id: track.label.zone for track in library.tracks() if track.label}
    assert history == music.said
    assert dict(music.said).keys() <= labels.keys()
    return labels


def check_labels(music: Music) -> None:
    """At rest, every track's label is the user's word: a command's, or one that was typed into a file of its audio.

    Those two may have crossed, so where there are both, either may count.
    """
    labels, said = check_said(music), dict(music.said)
    with Library.open(music.places.library) as library:
        ids = {path: track.audio_id for track in library.tracks() for path in track.paths}
    for path, digest in music.audio.items():
        label = labels.get(ids[path])
        assert label == said.get(ids[path]) or label in music.typed[digest], path


def is_settled(music: Music) -> bool:
    """Whether the library knows exactly the files that are there, and each carries its track's mark."""
    with Library.open(music.places.library) as library:
        marks = {path: track.mark for track in library.tracks() if track.mark for path in track.paths}
        held = {path for path in music.audio if library.held(path)}
    if marks.keys() != music.audio.keys():
        return False
    states = {path: read_state(path) for path in music.audio if path not in held}
    # A token of the user's that contradicts a later label stays, and so does what our field says beside it.
    return all(
        state.mark == marks[path] or any(token.zone is not marks[path].zone for token in state.user_tokens)
        for path, state in states.items()
    )
