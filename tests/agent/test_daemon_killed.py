"""The agent is killed at random moments, and started again: nothing is lost, nothing doubled, work goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from exporters.journal import TEMP_NAME, Journal
from exporters.tags.edit import encoded_audio_digest, read_state
from moodzone_agent.background import control
from moodzone_agent.background.daemon import LOG_NAME
from moodzone_agent.background.single import holder
from moodzone_agent.classify.registry import SHIPPED, Registry
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.config import Places
from moodzone_agent.learning import standing
from moodzone_agent.library.store import Library
from moodzone_agent.types import Label, LabelOrigin, Zone
from tests.agent.classify.bundles import head_bundle
from tests.agent.conftest import make_track
from tests.agent.test_learning import LABELS, fill

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = """
[agent]
write = true
targets = ["tags", "m3u8"]
settle_seconds = 0.2
poll_seconds = 0.5
quiet_minutes = 0
most_rewrites_a_day = 100000
[m3u8]
folder = "{lists}"
"""
ENDINGS = (".mp3", ".flac", ".wav")

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kills by signal")


def start(home: Path, music: Path) -> subprocess.Popen[bytes]:
    return command(home, "agent", "run", "--folder", str(music))


def command(home: Path, *arguments: str) -> subprocess.Popen[bytes]:
    with (home.parent / "stderr").open("ab") as told:
        return subprocess.Popen(
            [sys.executable, "-m", "moodzone_agent", *arguments],
            cwd=ROOT,
            env={**os.environ, "MOODZONE_HOME": str(home)},
            stdout=subprocess.DEVNULL,
            stderr=told,
        )


def await_(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether something comes to hold within so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def is_watching(places: Places, agent: subprocess.Popen[bytes]) -> bool:
    told = control.read_status(places)
    return told is not None and told.pid == agent.pid


def told_of_training(places: Places) -> int:
    """How often the agent's log says that it began to learn, or ended it."""
    log = places.agent / LOG_NAME
    return log.read_text().count("INFO training: ") if log.exists() else 0


def is_done(places: Places, tracks: Iterable[Path]) -> bool:
    """Whether every file carries the mark of its track."""
    with Library.open(places.library) as library:
        marks = {path: track.mark for track in library.tracks() for path in track.paths}
    return {path: read_state(path).mark for path in tracks} == marks and None not in marks.values()


def has_learned(places: Places) -> bool:
    """Whether no label is left that no training knew."""
    with Library.open(places.library) as library:
        return standing(library).new == 0


def check_models(registry: Registry, expected: set[int], added: int) -> int:
    """Every model can be used, and so can the champion, which is an expected one or one that was learned."""
    for entry in registry.bundles():
        ZoneModel(registry.bundle(entry.number)).load()
    champion = registry.champion()
    assert not champion.warning
    ZoneModel(champion.bundle).load()
    assert champion.number in expected or champion.number > added
    return champion.number


@pytest.mark.parametrize("kills", [8, pytest.param(200, marks=pytest.mark.fuzz)])
def test_killed_at_random_moments(tmp_path: Path, request: pytest.FixtureRequest, kills: int) -> None:
    chance = random.Random(7)
    home, music, lists = tmp_path / "home", tmp_path / "music", tmp_path / "lists"
    home.mkdir()
    music.mkdir()
    places = Places.under(home)
    places.settings.write_text(SETTINGS.format(lists=lists))
    audio: dict[Path, str] = {}
    with Library.open(places.library) as library:
        fill(library, LABELS, folder=music / "gone")  # enough to learn from
        labels = [(event.audio_id, event.zone) for event in library.labels()]
    registry = Registry(places.models)
    models = [SHIPPED, *(registry.add(head_bundle(tmp_path / f"{n}", f"head {n}", n)) for n in range(3))]
    in_use = SHIPPED
    for number in range(kills):
        for index in range(2):
            ending = chance.choice(ENDINGS)
            made = make_track(tmp_path / f"made{ending}", seed=10 * number + index, seconds=1.0)
            path = music / f"{number} {index}{ending}"
            digest = encoded_audio_digest(made)
            made.rename(path)
            audio[path] = digest
        told = told_of_training(places)
        control.request(places, control.Request.RETRAIN)
        agent = start(home, music)
        request.addfinalizer(agent.kill)
        # From before it has loaded anything to when all is written; drawn so that all of it is hit.
        moment = chance.uniform(0.3, 4.0)
        if number % 4 == 3:  # while it learns
            assert await_(lambda told=told: told_of_training(places) > told, 60)  # type: ignore[misc]
            moment = chance.uniform(0, 3.0)
        before = chance.uniform(0, moment)
        time.sleep(before)
        model = chance.choice(models)
        promoting = command(home, "model", "promote", str(model))
        request.addfinalizer(promoting.kill)
        time.sleep(moment - before)
        agent.kill()
        assert agent.wait() == -signal.SIGKILL, (tmp_path / "stderr").read_text()
        if chance.random() < 0.3:
            promoting.kill()
        is_promoted = promoting.wait(timeout=60) == 0
        in_use = check_models(registry, {model} if is_promoted else {model, in_use}, models[-1])
        for path, digest in audio.items():
            assert encoded_audio_digest(path) == digest
            read_state(path)
        with Library.open(places.library) as library:
            known = {record.path for record in library.files()}
            assert len(known) == sum(1 for _ in library.files())
            assert [(event.audio_id, event.zone) for event in library.labels()] == labels
            rated = [track for track in library.tracks() if track.mark and not track.label]
            if rated:
                audio_id = chance.choice(rated).audio_id
                library.add_label(Label(audio_id, Zone.PURPLE, LabelOrigin.ASKED, "cli", 0))
                labels.append((audio_id, Zone.PURPLE))
    control.request(places, control.Request.RETRAIN)
    agent = start(home, music)
    try:
        assert await_(
            lambda: is_watching(places, agent) and is_done(places, audio) and has_learned(places), 60 + kills
        )
    finally:
        agent.terminate()
        assert agent.wait(timeout=30) == 0
    assert holder(places) is None
    assert control.read_status(places) is None
    check_models(registry, {in_use}, models[-1])
    Journal(places.journal).recover()
    assert not [path for path in music.iterdir() if TEMP_NAME.fullmatch(path.name)]
    with Library.open(places.library) as library:
        assert [(event.audio_id, event.zone) for event in library.labels()] == labels


def test_a_second_agent_is_refused_and_the_first_stops_on_request(tmp_path: Path) -> None:
    home, music = tmp_path / "home", tmp_path / "music"
    music.mkdir()
    places = Places.under(home)
    first = start(home, music)
    try:
        assert await_(lambda: control.read_status(places) is not None, 20)
        second = start(home, music)
        assert second.wait(timeout=20) == 2
        assert f"process {first.pid}" in (tmp_path / "stderr").read_text()
        control.request(places, control.Request.STOP)
        assert first.wait(timeout=10) == 0
    finally:
        first.kill()
