"""``moodzone agent status`` tells what is: with an agent, without one, and in what the agent told last."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exporters.journal import TEMP_NAME
from exporters.tags.edit import read_state
from moodzone_agent.background import control
from moodzone_agent.background.control import AgentStatus, WatchedFolder
from moodzone_agent.background.single import AgentLock
from moodzone_agent.config import Places
from moodzone_agent.library.store import Library
from moodzone_agent.types import Label, LabelOrigin, Mark, MarkState, Zone
from tests.agent.conftest import make_track
from tests.agent.test_cli import MAIN, environment, fine, lines

SETTINGS = "[agent]\nwrite = true\nsettle_seconds = 0.1\npoll_seconds = 0.2\n"
NO_AGENT = {"running": False, "paused": False, "inbox": 0}
TOLD = AgentStatus(
    state="waiting for Serato DJ",
    queue=1234,
    rate=5678.4,
    waiting=312,
    waiting_for="Serato DJ to be closed",
    errors=("newest error", "older error"),
    champion="model-7",
    labels=4321,
    retraining="learns at 5000 labels",
    folders=(WatchedFolder("/music/\x1bone", "events"), WatchedFolder("/two", "looked through: why")),
    versions={"moodzone": "1.0"},
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@contextmanager
def agent_of(home: Path, music: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A real agent."""
    with subprocess.Popen(
        [sys.executable, "-c", MAIN, "agent", "run", "--folder", music],
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)  # the agent yields to whoever is busy


def rows(shown: str) -> list[tuple[str, str]]:
    """Name and value of each line."""
    table = [line.rstrip().partition("  ") for line in shown.splitlines()]
    return [(name, value.strip()) for name, _, value in table]


def test_without_an_agent(home: Path) -> None:
    assert "no agent runs; `moodzone agent run` starts it" in fine(home, "agent", "status")
    assert lines(fine(home, "agent", "status", "--json")) == [NO_AGENT]
    assert not home.exists()


def test_without_an_agent_what_a_killed_one_told_is_nothing(home: Path) -> None:
    places = Places.under(home)
    control.write_status(places, TOLD)
    assert "no agent runs" in fine(home, "agent", "status")
    assert lines(fine(home, "agent", "status", "--json")) == [NO_AGENT]


def test_paused_without_an_agent(home: Path) -> None:
    before = datetime.now(UTC).astimezone().replace(second=0, microsecond=0)
    fine(home, "agent", "pause")
    shown = " ".join(fine(home, "agent", "status").split())
    since = datetime.strptime(shown.partition("paused since ")[2], "%Y-%m-%d %H:%M").astimezone()
    assert before <= since <= datetime.now(UTC).astimezone()
    assert lines(fine(home, "agent", "status", "--json")) == [NO_AGENT | {"paused": True}]
    fine(home, "agent", "resume")
    assert "paused" not in fine(home, "agent", "status")
    assert lines(fine(home, "agent", "status", "--json")) == [NO_AGENT]


def test_everything_that_was_told_is_shown(home: Path) -> None:
    """This process is the agent here, so that what it tells is known."""
    places = Places.under(home)
    with AgentLock(places):
        control.write_status(places, TOLD)
        shown = rows(fine(home, "agent", "status"))
        [line] = lines(fine(home, "agent", "status", "--json"))
    assert shown[1:] == [
        ("state", "waiting for Serato DJ"),
        ("to analyse", "1,234 (5,678 an hour of late)"),
        ("to write", "312 wait for Serato DJ to be closed"),
        ("model", "model-7"),
        ("labels", "4,321 since the last training; learns at 5000 labels"),
        ("watches", r"/music/\x1bone (events)"),
        ("watches", "/two (looked through: why)"),
        ("error", "newest error"),
        ("error", "older error"),
    ]
    on_disk = json.loads((places.agent / "agent.json").read_bytes())
    assert datetime.fromisoformat(line.pop("started")) == datetime.fromisoformat(on_disk.pop("started"))
    assert line == on_disk | {"running": True, "paused": False, "inbox": 0}


def test_an_agent_that_runs(home: Path, tmp_path: Path) -> None:
    music = tmp_path / "music"
    music.mkdir()
    path = make_track(music / "1.flac", seed=1)
    home.mkdir()
    places = Places.under(home)
    places.settings.write_text(SETTINGS)

    def told() -> AgentStatus:
        return control.read_status(places) or AgentStatus()

    with agent_of(home, music) as process:
        until(lambda: read_state(path).mark is not None)
        with Library.open(places.library) as library:
            [track] = library.tracks()
            library.add_label(Label(track.audio_id, Zone.PURPLE, LabelOrigin.ASKED, "cli", 0))
        until(lambda: read_state(path).mark == Mark(Zone.PURPLE, MarkState.LABELLED))
        until(lambda: told().labels == 1)

        def is_told() -> bool:
            """Our own write is looked at, too, which takes a moment."""
            nonlocal shown, line
            shown = rows(fine(home, "agent", "status"))
            [line] = lines(fine(home, "agent", "status", "--json"))
            return ("state", "watching") in shown and (line["state"], line["queue"]) == ("watching", 0)

        shown, line = [], {}
        until(is_told)
    by_name = dict(shown)
    assert by_name["agent"].startswith(f"process {process.pid}, since 20")
    assert by_name["watches"].startswith(str(music))
    assert (line["running"], line["paused"], line["inbox"]) == (True, False, 0)
    assert (line["pid"], line["errors"]) == (process.pid, [])
    assert [folder["path"] for folder in line["folders"]] == [str(music)]
    assert line["champion"] == by_name["model"] != ""
    assert line["labels"] == 1
    assert process.returncode == 0
    assert lines(fine(home, "agent", "status", "--json")) == [NO_AGENT]
    assert not [left for left in places.agent.iterdir() if TEMP_NAME.fullmatch(left.name)]
