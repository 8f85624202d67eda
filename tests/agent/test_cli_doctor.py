"""``moodzone doctor`` names what is wrong with the cure, what is here, and hands on a report without names."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from moodzone_agent.background import control
from moodzone_agent.background.control import AgentStatus, WatchedFolder
from moodzone_agent.background.daemon import LOG_NAME
from moodzone_agent.background.single import AgentLock
from moodzone_agent.config import Places
from tests.agent.conftest import World, make_track
from tests.agent.test_cli import MAIN, environment, fine, lines, run, scanned
from tests.contract.cases import MIXXX_TABLES

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")


def findings(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    assert done.stderr == ""
    return {line["check"]: line for line in lines(done.stdout)}


def mixxx_database(path: Path, schema: str) -> Path:
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(MIXXX_TABLES)
        database.execute("INSERT INTO settings VALUES ('mixxx.schema.version', ?)", (schema,))
    return path


def at_rest(places: Places) -> bool:
    told = control.read_status(places)
    return told is not None and bool(told.folders)


@linux_only
@pytest.mark.parametrize(
    ("limit", "cure"),
    [
        ("max_inotify_watches", "sudo sysctl fs.inotify.max_user_watches="),
        ("max_inotify_instances", "sudo sysctl fs.inotify.max_user_instances="),
    ],
)
def test_a_folder_for_which_the_system_has_no_watch(tmp_path: Path, limit: str, cure: str) -> None:
    """A real agent, in a namespace whose kernel grants it none."""
    home, music = tmp_path / "home", tmp_path / "music"
    music.mkdir()
    places = Places.under(home)
    with (tmp_path / "stderr").open("wb") as stderr:
        agent = subprocess.Popen(
            [
                *("unshare", "--user", "--map-root-user", "sh", "-c"),
                *(f'echo 0 > /proc/sys/user/{limit} && exec "$@"', "sh"),
                *(sys.executable, "-c", MAIN, "agent", "run", "--folder", music),
            ],
            env=environment(home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        end = time.monotonic() + 60
        while not at_rest(places) and agent.poll() is None:
            assert time.monotonic() < end, "it did not start"
            time.sleep(0.05)  # the agent yields to whoever is busy
        told = (tmp_path / "stderr").read_text()
        if agent.poll() is not None and ("unshare" in told or "/proc/sys/user" in told):
            pytest.skip("no namespaces for users")
        done = run(home, "doctor", "--json")
        shown = run(home, "doctor")
    finally:
        agent.terminate()
        agent.wait(timeout=30)
    assert done.returncode == shown.returncode == 1
    finding = findings(done)["Agent"]
    assert not finding["ok"]
    assert f"process {agent.pid}" in finding["detail"]
    assert str(music) in finding["detail"]
    assert cure in finding["detail"]
    assert f"✗ Agent: process {agent.pid}" in shown.stdout
    assert cure in " ".join(shown.stdout.split())


def test_an_agent_that_watches_by_events_is_well(tmp_path: Path) -> None:
    places = Places.under(tmp_path)
    with AgentLock(places):
        control.write_status(
            places, AgentStatus(state="watching", folders=(WatchedFolder("/music", "events"),))
        )
        finding = findings(run(tmp_path, "doctor", "--json"))["Agent"]
    assert (finding["ok"], finding["detail"]) == (True, f"process {os.getpid()}, watching")


@pytest.mark.parametrize(("schema", "ok"), [("32", True), ("39", True), ("40", False)])
def test_collections_are_listed_with_their_version(
    world: World, originals: Path, schema: str, ok: bool
) -> None:
    scanned(world, originals, "1.flac")
    database = mixxx_database(world.home / "mixxxdb.sqlite", schema)
    (world.home / "settings.toml").write_text(f'[mixxx]\ndatabase = "{database}"\n')
    done = run(world.home, "doctor", "--json", HOME=str(world.home))
    finding = findings(done)["mixxx"]
    assert finding["ok"] is ok
    assert (finding["detail"] == f"{database} (schema {schema})") is ok
    assert f"schema {schema}" in finding["detail"]
    assert done.returncode == (0 if ok else 1)


@pytest.mark.alone
def test_running_programs_are_named(world: World, originals: Path, tmp_path: Path) -> None:
    """A process whose program is called mixxx."""
    sleeper = shutil.which("sleep")
    if sys.platform != "linux" or sleeper is None:
        pytest.skip("needs a program that does nothing")
    before = findings(run(tmp_path, "doctor", "--json"))["DJ programs"]["detail"]
    if "Mixxx" in before:
        pytest.skip("Mixxx runs")
    program = Path(shutil.copy(sleeper, tmp_path / "mixxx"))
    with subprocess.Popen([program, "600"]) as process:
        try:
            finding = findings(run(tmp_path, "doctor", "--json"))["DJ programs"]
        finally:
            process.kill()
    assert finding["ok"]
    assert "Mixxx" in finding["detail"]
    assert "close before writing to it" in finding["detail"]


@pytest.mark.parametrize("names", [False, True])
def test_the_report_tells_paths_only_with_names(world: World, tmp_path: Path, names: bool) -> None:
    tags = {"title": "Hushed title", "artist": "Hushed artist", "comment": "Hushed comment"}
    folder = world.music / "Covert folder"
    folder.mkdir()
    path = make_track(folder / "Covert: song, 1.flac", seed=1, tags=tags)
    world.scan()
    world.library.close()
    places = Places.under(world.home)
    places.agent.mkdir()
    (places.agent / LOG_NAME).write_text(f"2026-01-01 WARNING {path}: could not be written\n")
    places.settings.write_text(f'[agent]\nfolders = ["{folder}"]\n')
    report = tmp_path / "report.json"
    shown = fine(world.home, "doctor", "--report", report, *(["--names"] if names else []))
    assert f"report written to {report}" in shown.replace("\n", "")
    text = report.read_text()
    assert "Hushed" not in text  # titles, artists and comments are in neither
    assert ("Covert" in text) is names
    assert (str(world.home) in text) is names
    told = json.loads(text)
    assert told["library"]["files"] == {"ok": 1}
    assert (str(path) in told["log"][0]) is names
    assert (str(folder) in told["settings"]["agent"]["folders"]) is names


def test_a_report_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    done = run(tmp_path / "home", "doctor", "--report", tmp_path / "none" / "report.json")
    assert done.returncode == 2
    assert "name another file" in done.stderr
