"""The agent, a round at a time, on real files with a real watcher."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import mutagen
import pytest

from exporters.programs import SERATO
from exporters.tags.edit import read_state
from moodzone_agent.background import control
from moodzone_agent.background.control import Request
from moodzone_agent.background.daemon import Agent
from moodzone_agent.background.quiet import Surroundings
from moodzone_agent.config import Places
from moodzone_agent.errors import UsageError
from moodzone_agent.inbox import Inbox
from moodzone_agent.library.records import FileStatus
from moodzone_agent.library.store import Library
from moodzone_agent.types import Label, LabelOrigin, Mark, MarkState, Zone
from tests.agent.conftest import World, make_track

SETTINGS = """
[agent]
write = true
settle_seconds = 0.1
poll_seconds = 0.1
quiet_minutes = 0
sweep_minutes = 600
"""


class Machine:
    """What the agent sees of the machine besides files."""

    def __init__(self) -> None:
        self.processes: list[str] = ["init", "Serato DJ Pro Helper"]
        self.battery: bool | None = None

    @property
    def surroundings(self) -> Surroundings:
        return Surroundings(processes=lambda: self.processes, battery=lambda: self.battery, every_seconds=0)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def places(world: World) -> Places:
    places = Places.under(world.home)
    places.settings.write_text(SETTINGS)
    return places


@contextmanager
def running(world: World, places: Places, machine: Machine) -> Iterator[Agent]:
    agent = Agent(places, folders=[world.music], surroundings=machine.surroundings)
    with agent.opened(world.library):
        rounds(agent)
        yield agent


def rounds(agent: Agent, until: Callable[[], bool] | None = None, *, seconds: float = 30) -> None:
    """Let the agent work until something holds, or for as many rounds as see to all that happened before."""
    end = time.monotonic() + seconds
    count = 0
    while (count < 8) if until is None else not until():
        assert time.monotonic() < end, f"it did not come to pass; {agent.__dict__}"
        agent.step(0.1)
        count += 1


def marked(path: Path) -> bool:
    return path.exists() and read_state(path).mark is not None


def comment(path: Path, text: str) -> None:
    tagged = mutagen.File(path)
    tagged["comment"] = [text]
    tagged.save()


def label_of(world: World, path: Path) -> tuple[Zone, LabelOrigin] | None:
    track = world.library.track_of(path)
    return (track.label.zone, track.label.origin) if track and track.label else None


def status_of(world: World, path: Path) -> FileStatus | None:
    record = world.library.file(path)
    return record and record.status


def test_a_new_track_gets_its_zone_and_is_read_once(
    world: World, places: Places, machine: Machine, originals: Path
) -> None:
    with running(world, places, machine) as agent:
        path = world.add(originals / "1.flac")
        rounds(agent, lambda: marked(path))
        track = world.library.track_of(path)
        assert track is not None
        assert read_state(path).mark == track.mark
        rounds(agent)
        assert world.reads == [("1.flac", "analysed")]  # our own write causes nothing
        told = control.read_status(places)
    assert told is not None
    assert (told.pid, told.queue, told.waiting) == (os.getpid(), 0, 0)
    assert told.folders[0].path == str(world.music)
    assert control.read_status(places) is None


@pytest.mark.parametrize("number", [40, pytest.param(1000, marks=pytest.mark.soak)])
def test_many_files_at_once_are_each_read_once(
    world: World, places: Places, machine: Machine, tmp_path: Path, number: int
) -> None:
    made = [make_track(tmp_path / f"{seed}.wav", seed=seed, seconds=0.6) for seed in range(number)]
    with running(world, places, machine) as agent:
        paths = [world.add(path, f"new/{path.name}") for path in made]
        rounds(agent, lambda: all(marked(path) for path in paths), seconds=600)
        analysed = [name for name, kind in world.reads if kind == "analysed"]
        assert sorted(analysed) == sorted(path.name for path in paths)


def test_what_came_while_no_agent_ran_is_found(
    world: World, places: Places, machine: Machine, originals: Path
) -> None:
    path = world.add(originals / "0.mp3")
    with running(world, places, machine) as agent:
        rounds(agent, lambda: marked(path))


def test_moved_renamed_and_copied_files_keep_what_is_known(
    world: World, places: Places, machine: Machine, originals: Path
) -> None:
    path = world.add(originals / "1.flac", "folder/1.flac")
    with running(world, places, machine) as agent:
        rounds(agent, lambda: marked(path))
        track = world.library.track_of(path)
        assert track is not None
        world.library.add_label(Label(track.audio_id, Zone.PURPLE, LabelOrigin.ASKED, "cli", 0))
        moved = world.music / "renamed" / "1.flac"
        (world.music / "folder").rename(moved.parent)
        rounds(agent, lambda: label_of(world, moved) == (Zone.PURPLE, LabelOrigin.ASKED))
        copy = Path(shutil.copyfile(moved, world.music / "copy.flac"))
        rounds(agent, lambda: label_of(world, copy) == (Zone.PURPLE, LabelOrigin.ASKED))
        assert [kind for _, kind in world.reads].count("analysed") == 1
        moved.unlink()
        rounds(agent, lambda: status_of(world, moved) is FileStatus.MISSING)
        assert label_of(world, copy) == (Zone.PURPLE, LabelOrigin.ASKED)


def test_an_unplugged_drive_loses_nothing(
    world: World, places: Places, machine: Machine, originals: Path
) -> None:
    path = world.add(originals / "1.flac")
    with running(world, places, machine) as agent:
        rounds(agent, lambda: marked(path))
        away = world.home.parent / "away"
        world.music.rename(away)
        rounds(agent)
        assert control.paused_since(places) is None
        away.rename(world.music)
        world.add(originals / "3.ogg")
        rounds(agent, lambda: marked(world.music / "3.ogg"))
        track = world.library.track_of(path)
        assert track is not None
        assert track.paths == (path,)
        assert [name for name, kind in world.reads if kind == "analysed"] == ["1.flac", "3.ogg"]


@pytest.mark.parametrize("why", ["program", "battery", "pause"])
def test_it_waits_and_flush_overrides(
    world: World, places: Places, machine: Machine, originals: Path, why: str
) -> None:
    with running(world, places, machine) as agent:
        first = world.add(originals / "0.mp3")
        rounds(agent, lambda: marked(first))
        world.reads.clear()
        if why == "program":
            machine.processes.append("Serato DJ Pro.exe")
        elif why == "battery":
            machine.battery = True
        else:
            control.request(places, Request.PAUSE)
        rounds(agent)
        path = world.add(originals / "1.flac")
        rounds(agent)
        assert world.reads == []
        assert not marked(path)
        reason = {"program": "Serato DJ is running", "battery": "on battery", "pause": "paused by you"}[why]
        rounds(agent, lambda: (control.read_status(places) or control.AgentStatus()).state == reason)
        control.request(places, Request.FLUSH)
        if why == "program":  # flush is for what may be written at all
            rounds(agent)
        rounds(agent, lambda: marked(path))


def test_marks_wait_until_the_program_closes(
    world: World, places: Places, machine: Machine, originals: Path
) -> None:
    path = world.add(originals / "1.flac")
    world.scan()
    machine.processes.append(sorted(SERATO.processes)[0])
    with running(world, places, machine) as agent:
        rounds(agent)
        assert not marked(path)
        rounds(agent, lambda: (control.read_status(places) or control.AgentStatus()).waiting == 1)
        machine.processes.pop()
        rounds(agent, lambda: marked(path))


def test_a_correction_in_a_file_becomes_a_label_and_is_written_everywhere(
    world: World, places: Places, machine: Machine, originals: Path
) -> None:
    lists = world.home / "Lists"
    with places.settings.open("a") as file:
        file.write(f'targets = ["tags", "m3u8"]\n[m3u8]\nfolder = "{lists}"\n')
    path = world.add(originals / "1.flac")
    with running(world, places, machine) as agent:
        rounds(agent, lambda: marked(path))
        mark = read_state(path).mark
        assert mark is not None
        other = next(zone for zone in Zone if zone is not mark.zone)
        comment(path, f"my words #{other.lower()}")
        rounds(agent, lambda: label_of(world, path) == (other, LabelOrigin.CORRECTED))
        rounds(agent, lambda: read_state(path).mark == Mark(other, MarkState.LABELLED))
        assert read_state(path).text == f"my words #{other.lower()}"
        rounds(agent, (lists / f"MoodZone {other}.m3u8").exists)
        assert str(path) in (lists / f"MoodZone {other}.m3u8").read_text()


def test_a_correction_in_a_list_rests_first(
    world: World, places: Places, machine: Machine, originals: Path
) -> None:
    lists = world.home / "Lists"
    text = SETTINGS.replace("quiet_minutes = 0", "quiet_minutes = 10")
    places.settings.write_text(f'{text}targets = ["m3u8"]\n[m3u8]\nfolder = "{lists}"\n')
    path = world.add(originals / "1.flac")
    with running(world, places, machine) as agent:
        rounds(agent, lambda: lists.exists() and any(lists.iterdir()))
        [file] = lists.iterdir()
        other = "PURPLE" if "PURPLE" not in file.name else "YELLOW"
        file.rename(lists / f"MoodZone {other}.m3u8")
        inbox = Inbox(world.library)
        rounds(agent, lambda: len(inbox.resting()) == 1)
        rounds(agent)
        assert label_of(world, path) is None
        (lists / f"MoodZone {other}.m3u8").rename(file)  # taken back: it never happened
        rounds(agent, lambda: not inbox.resting())
        assert label_of(world, path) is None


def test_times_that_were_set_are_no_obstacle(
    world: World, places: Places, machine: Machine, originals: Path
) -> None:
    path = world.add(originals / "1.flac")
    with running(world, places, machine) as agent:
        rounds(agent, lambda: marked(path))
        os.utime(path, (0, 0))
        track = world.library.track_of(path)
        assert track is not None
        world.library.add_label(Label(track.audio_id, Zone.PURPLE, LabelOrigin.ASKED, "cli", 0))
        rounds(agent, lambda: read_state(path).mark == Mark(Zone.PURPLE, MarkState.LABELLED))
        assert [kind for _, kind in world.reads].count("analysed") == 1


def test_changed_settings_are_taken_over(
    world: World, places: Places, machine: Machine, originals: Path
) -> None:
    places.settings.write_text(SETTINGS.replace("write = true", "write = false"))
    path = world.add(originals / "1.flac")
    with running(world, places, machine) as agent:
        rounds(agent, lambda: world.library.track_of(path) is not None)
        rounds(agent)
        assert not marked(path)
        places.settings.write_text(SETTINGS + "wrong = 1\n")
        rounds(agent, lambda: bool((control.read_status(places) or control.AgentStatus()).errors))
        assert not marked(path)
        places.settings.write_text(SETTINGS)
        rounds(agent, lambda: marked(path))


def test_a_backup_is_made(world: World, places: Places, machine: Machine) -> None:
    with running(world, places, machine) as agent:
        rounds(agent, lambda: places.library_backups.is_dir() and any(places.library_backups.iterdir()))


def test_no_folder_is_an_error(world: World, places: Places, machine: Machine) -> None:
    agent = Agent(places, surroundings=machine.surroundings)
    with pytest.raises(UsageError, match="no folder is watched"), agent.opened(world.library):
        pass


def test_a_library_that_is_locked_by_others_for_a_moment_stops_nothing(
    world: World, places: Places, machine: Machine, originals: Path
) -> None:
    with running(world, places, machine) as agent, Library.open(places.library) as other:
        world.library._connection.execute("PRAGMA busy_timeout = 20")
        with other.transaction():
            other.set_meta("held", "by another program")
            path = world.add(originals / "1.flac")
            rounds(agent, lambda: _told_of(places, "Another program holds the library"))
        rounds(agent, lambda: marked(path))
    assert world.reads == [("1.flac", "analysed")]


def _told_of(places: Places, words: str) -> bool:
    told = control.read_status(places)
    return told is not None and any(words in error for error in told.errors)


def test_corrections_in_files_are_read_while_a_program_runs(
    world: World, places: Places, machine: Machine, originals: Path
) -> None:
    with running(world, places, machine) as agent:
        path = world.add(originals / "1.flac")
        rounds(agent, lambda: marked(path))
        rated = world.library.track_of(path)
        assert rated is not None
        assert rated.mark is not None
        other = next(zone for zone in Zone if zone is not rated.mark.zone)
        machine.processes.append("Serato DJ Pro")
        rounds(agent)
        comment(path, f"#{other.lower()}")
        rounds(agent, lambda: label_of(world, path) == (other, LabelOrigin.CORRECTED))
        told = control.read_status(places)
        assert told is not None
        assert told.waiting_for == "Serato DJ to close"
        assert world.reads == [("1.flac", "analysed")]


def test_it_tells_and_hears_while_files_are_read(world: World, places: Places, tmp_path: Path) -> None:
    for seed in range(6):
        world.add(make_track(tmp_path / f"{seed}.wav", seed=seed, seconds=20))
    queues: list[int] = []

    def processes() -> list[str]:  # asked whenever the agent listens
        told = control.read_status(places)
        if told is not None and told.queue == len(list(world.music.iterdir())):
            queues.append(told.queue)
            agent.stop()
        return []

    surroundings = Surroundings(processes=processes, battery=lambda: None, every_seconds=0)
    ticks = count(step=10)  # so that it is always time to listen and to tell
    agent = Agent(places, folders=[world.music], surroundings=surroundings, clock=lambda: next(ticks))
    agent.run(world.library)
    assert queues == [6]
    known = [record.status for record in world.library.files()]
    assert len(known) < 6
