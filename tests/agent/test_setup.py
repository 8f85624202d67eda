"""`moodzone setup`: the real command on a terminal, and by itself; its parts."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporters.base import Machine
from exporters.serato import tlv
from exporters.tags.edit import read_state
from moodzone_agent.background.service import Step as ServiceStep
from moodzone_agent.config import Places, load_settings
from moodzone_agent.demo.encode import write_audio
from moodzone_agent.demo.music import compose, render_blocks
from moodzone_agent.errors import AudioError, UsageError
from moodzone_agent.library.store import Library
from moodzone_agent.setup import steps
from moodzone_agent.setup.finding import common_folders, find_programs, music_folders, without_nested
from moodzone_agent.setup.listening import Player, cut_excerpt, tracks_to_judge
from moodzone_agent.setup.session import Session, State, Step
from moodzone_agent.setup.sizing import about, extent, measure_rate, note_rate, stored_rate, take_stock
from moodzone_agent.types import Label, LabelOrigin, Zone
from tests.agent.conftest import World, make_track
from tests.agent.test_cli import MAIN, ROOT, posix
from tests.contract.cases import make_rekordbox_database

TRACKS = 22
PATIENCE = 60

WATCHED = """
import os, sys
inside = tuple(sys.argv.pop(1).split(os.pathsep))
def hook(event, arguments):
    if event == "open":
        writes = bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    else:
        writes = event in {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "sqlite3.connect"}
    if writes and isinstance(arguments[0], (str, bytes)):
        path = os.path.realpath(os.fsdecode(arguments[0]).removeprefix("file://"))
        if not path.startswith((*inside, "/dev/")):
            sys.stderr.write(f"WRITES {event} {path}\\n")
sys.addaudithook(hook)
"""


@pytest.fixture(scope="session")
def techno(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Songs from calm to hard. Not to be changed."""
    folder = tmp_path_factory.mktemp("techno")
    for number in range(TRACKS):
        song = compose(100 + number, energy=number / (TRACKS - 1), duration=12)
        ending = (".mp3", ".flac")[number % 2]
        write_audio(
            folder / f"{number:02} {song.title}{ending}", render_blocks(song), tags={"title": song.title}
        )
    return folder


@dataclass
class User:
    """A user's home, with music that Serato knows."""

    home: Path
    moodzone: Path
    path: str = ""
    """Where programs are looked for."""

    @property
    def music(self) -> Path:
        return self.home / "Music" / "Techno"

    @property
    def places(self) -> Places:
        return Places.under(self.moodzone)

    @property
    def environment(self) -> dict[str, str]:
        temporary = self.moodzone.parent / "tmp"
        temporary.mkdir(exist_ok=True)
        return {name: value for name, value in os.environ.items() if not name.startswith("XDG_")} | {
            "HOME": str(self.home),
            "MOODZONE_HOME": str(self.moodzone),
            "TMPDIR": str(temporary),
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PATH": self.path,
            "COLUMNS": "100",
        }

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Setup where nobody can be asked; what is written outside the user's folders is told on stderr."""
        inside = os.pathsep.join(
            str(folder.resolve()) for folder in (self.home, self.moodzone, self.moodzone.parent / "tmp")
        )
        return subprocess.run(
            [sys.executable, "-c", WATCHED + MAIN, inside, "setup", *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
            timeout=120,
        )

    def json(self, *arguments: str | Path) -> dict[str, dict[str, Any]]:
        """What came of each step."""
        done = self.run("--yes", "--json", *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        told = [json.loads(line) for line in done.stdout.splitlines()]
        return {line["step"]: line for line in told}

    def talk(
        self, *arguments: str | Path, says: Sequence[tuple[str, str | Callable[[], str]]]
    ) -> tuple[int, str]:
        """Setup on a terminal. When the first of a pair is shown, the second is typed, or asked for; ^C interrupts."""
        import pty

        ours, theirs = pty.openpty()
        waiting = list(says)
        shown, seen = b"", 0
        with subprocess.Popen(
            [sys.executable, "-c", MAIN, "setup", *arguments],
            env=self.environment | {"TERM": "xterm", "NO_COLOR": "1"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        ) as process:
            os.close(theirs)
            try:
                while True:
                    ready, _, _ = select.select([ours], [], [], PATIENCE)
                    assert ready, f"nothing came after:\n{shown.decode()}"
                    try:
                        piece = os.read(ours, 65536)
                    except OSError:  # Linux's way to say that it is closed
                        break
                    if not piece:
                        break
                    shown += piece
                    while waiting and (at := shown.find(waiting[0][0].encode(), seen)) >= 0:
                        seen = at + len(waiting[0][0].encode())
                        answer = waiting.pop(0)[1]
                        answer = answer if isinstance(answer, str) else answer()
                        if answer == "^C":
                            process.send_signal(signal.SIGINT)
                            answer = ""  # Python heeds one that came just before it read only after a line
                        os.write(ours, f"{answer}\n".encode())
            finally:
                os.close(ours)
                if process.poll() is None and waiting:
                    process.kill()
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\r\n", "\n")
        assert not waiting, f"{waiting[0]} never came:\n{text}"
        return process.returncode, text

    def library(self) -> Library:
        return Library.open(self.places.library)

    def labels(self) -> list[tuple[str, LabelOrigin, str]]:
        with self.library() as library:
            return [(event.zone or "", event.origin, event.source) for event in library.labels()]

    def marked(self) -> int:
        return sum(read_state(path).mark is not None for path in self.music.iterdir())


@pytest.fixture
def user(tmp_path: Path, techno: Path) -> User:
    user = User(tmp_path / "home", tmp_path / "moodzone", path=str(tmp_path / "bin"))
    shutil.copytree(techno, user.music)
    (tmp_path / "bin").mkdir()
    serato = user.home / "Music" / "_Serato_"
    serato.mkdir()
    tracks = [
        tlv.nested("otrk", tlv.text("pfil", str(path).lstrip("/")), tlv.number("ulbl", 0xFFFFFF))
        for path in sorted(user.music.iterdir())
    ]
    version = tlv.text("vrsn", "2.0/Serato Scratch LIVE Database")
    (serato / "database V2").write_bytes(tlv.dump([version, *tracks]))
    return user


@pytest.fixture
def player(user: User) -> Iterator[int]:
    """A player that tells a pipe what it is given, and plays until it is ended; the pipe's end to read."""
    pipe = user.home / "played"
    os.mkfifo(pipe)
    script = Path(user.path) / "ffplay"
    script.write_text(f'#!/bin/sh\necho "$$ $@" > "{pipe}"\nexec {shutil.which("sleep")} 100\n')
    script.chmod(0o755)
    reading = os.open(pipe, os.O_RDWR)
    yield reading
    os.close(reading)


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


SERATO_HINT = "Serato: drag files that it knows already onto Rescan ID3 Tags"
QUESTION = "[q]uit: "
UP_TO_JUDGING = [("first: ", ""), ("Rate them now?", "y"), ("library so? [Y/n]: ", "y"), ("Begin?", "y")]


@posix
def test_a_whole_session(user: User, player: int, techno: Path) -> None:
    played: list[str] = []

    def listened(answer: str) -> str:
        played.append(os.read(player, 4096).decode())
        return answer

    def judged(letter: str) -> tuple[str, Callable[[], str]]:
        return QUESTION, lambda: listened(letter)

    code, text = user.talk(
        says=[
            *UP_TO_JUDGING,
            judged("x"),  # no such letter: asked again, and played on
            (QUESTION, "y"),
            *(judged(letter) for letter in "rgspygpyygpg"),
            ("Which?", "99"),
            ("Which?", "1-3,5"),
            ("Write these zones into 4 files? All else in them stays [Y/n]: ", "y"),
            ("Take them back now?", "n"),
            ("Where? Enter for tags, or some of tags, serato", "vinyl"),
            ("Where?", "tags, serato"),
            ("[y/N]: ", "y"),
            ("at each login? [y/N]: ", "n"),
        ]
    )
    assert code == 0, text
    assert "Serato DJ (" in text
    assert f"Music: {user.home / 'Music'}" in text
    size = f"{sum(path.stat().st_size for path in techno.iterdir()) / 1e6:.1f} MB"
    assert f"{TRACKS} music files, {size}; {TRACKS} are not rated yet" in text
    assert re.search(rf"To read: {TRACKS - 4} files, [\d.]+ MB, less than a minute", text)
    assert f"{TRACKS} rated, 0 failed" in text
    assert "there is no 99 in the list" in text
    assert "Not done: agent" in text
    assert SERATO_HINT in text
    assert "rekordbox:" not in text
    heading = text.index("6/9")
    said = text[heading : text.index("The model agreed")]
    assert not any(zone in said.partition("  you ")[0] for zone in Zone), "the model's word came first"
    labels = user.labels()
    assert len(labels) == 11
    assert {(origin, source) for _, origin, source in labels} == {(LabelOrigin.ASKED, "setup")}
    assert [zone[0].lower() for zone, _, _ in labels] == list("ygpygpyygpg")
    agreed = re.search(r"agreed with you on (\d+) of 11", text)
    assert agreed
    assert text.count("  you ") == 11 - int(agreed[1])
    assert len(played) == 13
    assert all("-ss 0.0 -t 20 -i " in line for line in played)
    assert not any(is_running(int(line.split()[0])) for line in played)
    assert user.marked() == TRACKS
    agent = load_settings(user.places.settings).agent
    assert (agent.write, agent.targets) == (True, ("tags", "serato"))
    crates = user.home / "Music" / "_Serato_" / "Subcrates"
    assert any(crates.iterdir())


@posix
def test_it_goes_on_where_it_was_stopped(user: User) -> None:
    code, text = user.talk(says=[("first: ", ""), ("Rate them now?", "^C")])
    assert code == 3, text
    assert load_settings(user.places.settings).agent.watched == (user.home / "Music",)
    code, text = user.talk(
        says=[("Rate them now?", ""), ("library so?", "n"), ("Begin?", "y"), (QUESTION, "^C")]
    )
    assert code == 3, text
    assert "1/9  Programs and music: done earlier" in text
    assert "No player was found" in text
    assert "what was done stays" in text
    code, text = user.talk(
        "--skip",
        "rest",
        says=[
            ("library so?", "n"),
            ("Begin?", "n"),
            ("Which?", "n"),
            ("at each login?", "^C"),
        ],
    )
    assert code == 3
    assert "4/9  Rating: done earlier" in text
    assert text.count("skipped: you said no") == 3
    assert user.marked() == 0
    assert user.labels() == []


@posix
def test_the_trial_can_be_taken_back_and_the_rest_still_be_written(user: User) -> None:
    user.json("--skip", "trial", "--skip", "rest", "--skip", "agent")
    before = {path: path.read_bytes() for path in user.music.iterdir()}
    code, text = user.talk(
        "--only",
        "trial",
        says=[
            ("Which?", "/no/such"),
            ("Which?", str(user.music)),
            ("Write these", ""),
            ("Take them back", "y"),
        ],
    )
    assert code == 0, text
    assert "is not a folder" in text
    assert "20 files are as before" in text
    assert {path: path.read_bytes() for path in user.music.iterdir()} == before
    assert user.json("--only", "rest")["rest"]["tags"] == {"written": TRACKS}


@posix
def test_folders_can_be_edited(user: User, tmp_path: Path) -> None:
    more = tmp_path / "It's more music"
    more.mkdir()
    make_track(more / "a.wav", seed=1)
    code, text = user.talk(
        "--only",
        "find",
        says=[
            ("first: ", "-1"),
            ("with your music: ", "nowhere"),
            ("with your music: ", str(more)),
            ("first: ", ""),
        ],
    )
    assert code == 0, text
    assert load_settings(user.places.settings).agent.watched == (more,)


@pytest.fixture
def rekordbox(user: User) -> Path:
    """The database of a rekordbox of the user's."""
    path = user.home / "Library" / "Pioneer" / "rekordbox" / "master.db"
    path.parent.mkdir(parents=True)
    make_rekordbox_database(path, {})
    return path


@posix
@pytest.mark.parametrize(
    ("answers", "allowed"), [("n", (False, False)), ("yn", (True, False)), ("yy", (True, True))]
)
def test_rekordbox_is_used_as_far_as_the_user_allows(
    user: User, rekordbox: Path, answers: str, allowed: tuple[bool, bool]
) -> None:
    pytest.importorskip("pyrekordbox")
    questions = ("in a copy of rekordbox's database? [y/N]: ", "while rekordbox is closed? [y/N]: ")
    code, text = user.talk("--only", "find", says=[*zip(questions, answers, strict=False), ("first: ", "")])
    assert code == 0, text
    assert f"rekordbox-db ({rekordbox})" in text.replace("\n", "")
    settings = load_settings(user.places.settings).rekordbox_db
    assert (settings.read, settings.write) == allowed


def test_nobody_allows_rekordbox_by_saying_yes_to_all(user: User, rekordbox: Path) -> None:
    [held] = user.json("--only", "find")["find"]["withheld"]
    assert (held["target"], held["path"]) == ("rekordbox-db", str(rekordbox))
    settings = load_settings(user.places.settings).rekordbox_db
    assert not settings.read
    assert not settings.write


def test_by_itself(user: User) -> None:
    told = user.json("--skip", "agent")
    assert list(told) == ["find", "census", "estimate", "scan", "calibrate", "judge", "trial", "rest"]
    states = {step: line["state"] for step, line in told.items()}
    assert states.pop("judge") == "skipped"
    assert set(states.values()) == {"done"}
    assert told["find"]["programs"] == [{"name": "Serato DJ", "running": False}]
    assert told["find"]["folders"] == [str(user.home / "Music")]
    assert told["census"]["collections"][0]["tracks"] == TRACKS
    assert told["estimate"]["files"] == TRACKS
    assert told["scan"]["files"]["ok"] == TRACKS
    assert sum(told["scan"]["zones"].values()) == TRACKS
    assert told["calibrate"]["written"]
    assert told["trial"]["written"] == 20
    assert told["rest"]["tags"] == {"written": TRACKS - 20, "unchanged": 20}
    assert user.marked() == TRACKS
    assert {line["state"] for line in user.json("--skip", "agent", "--skip", "judge").values()} == {
        "done earlier"
    }
    again = user.json("--only", "scan", "--only", "census")
    assert {line["state"] for line in again.values()} == {"done"}
    assert [one["target"] for one in again["census"]["collections"]] == ["serato", "tags"]
    shown = user.run("--yes", "--skip", "agent", "--skip", "judge")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "9/9" not in shown.stdout
    assert shown.stdout.count("done earlier") == 7


def test_named_folders_come_first_and_are_scanned_anew(user: User, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    make_track(other / "a.wav", seed=1)
    some = ("--skip", "agent", "--skip", "rest", "--skip", "trial", "--skip", "calibrate", "--skip", "judge")
    user.json("--folder", user.music, *some)
    told = user.json("--folder", other, *some)
    assert told["find"]["folders"] == [str(other)]
    assert told["scan"]["files"]["ok"] == 1
    assert told["census"]["state"] == "done earlier"
    assert user.run("--yes", "--folder", tmp_path / "no").returncode == 2


@pytest.mark.parametrize("step", [step for step in Step if step is not Step.FIND])
def test_a_step_alone_before_all_others(tmp_path: Path, step: Step) -> None:
    """None of them fails; each says which step it needs."""
    (tmp_path / "home").mkdir()
    told = User(tmp_path / "home", tmp_path / "moodzone").json("--only", step)[step]
    assert told["state"] == ("done" if step is Step.CENSUS else "skipped")
    assert "moodzone setup --only" in told["reason"] or step in {Step.CENSUS, Step.CALIBRATE}


def test_without_music_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    done = User(tmp_path / "home", tmp_path / "moodzone").run("--yes", "--only", "find")
    assert done.returncode == 1
    assert "name one with --folder" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [([], "--yes"), (["--json"], "--yes"), (["--yes", "--only", "dance"], "the steps are find, census")],
)
def test_wrong_use(tmp_path: Path, arguments: list[str], hint: str) -> None:
    (tmp_path / "home").mkdir()
    done = User(tmp_path / "home", tmp_path / "moodzone").run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert hint in done.stderr
    assert not (tmp_path / "moodzone").exists()


def session(world: World, **more: Any) -> Session:
    return Session(world.library, Places.under(world.home), yes=True, quiet=True, **more)


def test_the_agent_is_installed_after_all(world: World) -> None:
    (world.home / "settings.toml").write_text(f"[agent]\nfolders = ['{world.music}']\n")

    def fails(_: Places) -> list[ServiceStep]:
        raise UsageError("no services here")

    asked: list[Places] = []

    def install(places: Places) -> list[ServiceStep]:
        asked.append(places)
        return [ServiceStep("wrote a file"), ServiceStep("run this yourself", done=False)]

    assert steps.agent(session(world, install=fails)).reason == "no services here"
    result = steps.agent(session(world, install=install))
    assert asked == [Places.under(world.home)]
    assert (result.state, result.reason) == (State.FAILED, "run this yourself")
    assert result.details == {"did": ["wrote a file"]}
    done = steps.agent(session(world, install=lambda _: [ServiceStep("wrote a file")]))
    assert done.state is State.DONE


def test_a_collection_that_cannot_be_read_stops_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: world.home)
    broken = world.home / "rekordbox.xml"
    broken.write_text("<?xml version='1.0'?>\n<DJ_PLAYLISTS Version='9.9.9'></DJ_PLAYLISTS>")
    monkeypatch.setenv("HOME", str(world.home))
    result = steps.census(session(world))
    assert result.state is State.FAILED
    assert str(broken) in result.reason or "9.9.9" in result.reason


def test_a_trial_leaves_alone_what_was_undone(world: World, originals: Path) -> None:
    for name in ("0.mp3", "1.flac"):
        world.add(originals / name)
    world.scan()
    world.library.hold([world.music / "0.mp3"], "7")
    result = steps.trial(session(world))
    assert result.details["files"] == [str(world.music / "1.flac")]
    assert read_state(world.music / "0.mp3").mark is None


def machine(home: Path, *volumes: Path) -> Machine:
    return Machine(home, home / "Music", home / "Documents", volumes)


def test_programs_are_found_by_what_they_leave_and_by_running(tmp_path: Path) -> None:
    (tmp_path / "Documents" / "Native Instruments" / "Traktor 3.11").mkdir(parents=True)
    (tmp_path / ".mixxx").mkdir()
    found = {
        one.name: one.is_running for one in find_programs(machine(tmp_path), ["Traktor.exe", "rekordbox"])
    }
    assert found == {"rekordbox": True, "Traktor": True, "Mixxx": False}


def test_folders_are_neither_too_high_nor_nested(tmp_path: Path) -> None:
    home = tmp_path / "home"
    tracks = [
        home / "Sets" / "a" / "1.mp3",
        home / "Sets" / "b" / "2.mp3",
        home / "Downloads" / "3.mp3",
        home / "loose.mp3",
        home / "Documents" / "Mixes" / "4.mp3",
        tmp_path / "disk" / "5.mp3",
    ]
    assert common_folders(tracks, machine(home)) == [
        tmp_path / "disk",
        home / "Documents" / "Mixes",
        home / "Downloads",
        home / "Sets",
    ]
    assert common_folders([], machine(home)) == []
    assert without_nested([home / "a", home, home / "b", home, tmp_path / "homes"]) == [
        home,
        tmp_path / "homes",
    ]


def test_the_music_folder_counts_if_there_is_music(tmp_path: Path) -> None:
    folders = machine(tmp_path)
    (tmp_path / "Music" / "a" / "b").mkdir(parents=True)
    (tmp_path / "Music" / "a" / "notes.txt").touch()
    assert music_folders(folders, []) == []
    (tmp_path / "Music" / "a" / "b" / "1.mp3").touch()
    assert music_folders(folders, []) == [tmp_path / "Music"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (3, "less than a minute"),
        (60, "about 1 minute"),
        (61, "about 2 minutes"),
        (12 * 60, "about 15 minutes"),
        (91 * 60, "about 2 hours"),
        (130 * 60, "about 2.5 hours"),
    ],
)
def test_times_are_no_more_exact_than_known(seconds: float, words: str) -> None:
    assert about(seconds) == words


def test_the_speed_is_measured_on_what_is_kept(world: World, originals: Path) -> None:
    for name in ("0.mp3", "1.flac", "2.m4a", "3.ogg", "4.opus"):
        world.add(originals / name)
    (world.music / "notes.txt").touch()
    load = take_stock([world.music, world.music / "."], world.library)
    assert (load.files, len(load.new)) == (5, 5)
    assert load.size == load.new_size == sum(path.stat().st_size for path, _ in load.new)
    usual = stored_rate(world.library)
    rate = measure_rate(load, world.library, world.model)
    assert rate != usual
    assert stored_rate(world.library) == rate
    assert len(world.reads) == 4
    left = take_stock([world.music], world.library)
    assert (left.files, len(left.new)) == (5, 1)
    measure_rate(left, world.library, world.model)
    assert stored_rate(world.library) == rate, "one file is too little to measure"
    assert take_stock([world.music], world.library).new == ()
    assert extent(1, 2_000_000_000, 400) == "1 file, 2.0 GB, about 7 minutes"


def test_a_large_scan_says_how_long_it_takes(user: User) -> None:
    many = user.home / "many"
    many.mkdir()
    for seed in range(50):
        make_track(many / f"{seed}.wav", seed=seed, seconds=1)
    with user.library() as library:
        note_rate(library, 1000)
    command = [sys.executable, "-c", MAIN, "scan", str(many), "--jobs", "1"]
    first, second = (
        subprocess.run(command, env=user.environment, capture_output=True, text=True, check=True, timeout=120)
        for _ in range(2)
    )
    assert first.stderr == "To read: 50 files, 8.8 MB, about 2.5 hours\n"
    assert second.stderr == ""


def test_tracks_to_judge_are_unknown_and_of_all_zones(user: User) -> None:
    user.json("--only", "find", "--only", "scan")
    with user.library() as library:
        zones = {track.audio_id: track.estimate.zone for track in library.tracks() if track.estimate}
        first = tracks_to_judge(library.tracks(), 12, 0)
        assert [one.audio_id for one in tracks_to_judge(library.tracks(), 12, 0)] == [
            one.audio_id for one in first
        ]
        assert [one.audio_id for one in tracks_to_judge(library.tracks(), 12, 1)] != [
            one.audio_id for one in first
        ]
        assert {zones[one.audio_id] for one in first} == set(zones.values())
        for track in first:
            library.add_label(Label(track.audio_id, Zone.GREEN, LabelOrigin.ASKED, "setup", 0))
        second = tracks_to_judge(library.tracks(), 12, 0)
        assert len(second) == TRACKS - 12
        assert not {one.audio_id for one in second} & {one.audio_id for one in first}


@pytest.mark.parametrize("ending", [".mp3", ".flac", ".m4a", ".ogg", ".wav"])
def test_an_excerpt_is_the_middle(tmp_path: Path, ending: str) -> None:
    rising = np.repeat(np.linspace(0.01, 0.5, 50, dtype=np.float32), 44_100)
    rising[1::2] *= -1
    write_audio(tmp_path / f"a{ending}", np.stack([rising, rising], axis=1) * 0.9)
    cut_excerpt(tmp_path / f"a{ending}", tmp_path / "part.wav", 15.0)
    with wave.open(str(tmp_path / "part.wav")) as part:
        assert part.getparams()[:3] == (2, 2, 44_100)
        assert part.getnframes() == 20 * 44_100
    with pytest.raises(AudioError):
        cut_excerpt(tmp_path / "part", tmp_path / "other.wav", 0)


@posix
@pytest.mark.parametrize("name", ["ffplay", "mpv", "cvlc", "afplay", "powershell", "aplay"])
def test_players(tmp_path: Path, originals: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Each is started with a file that is there, and ended with the block."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    script = tmp_path / name
    script.write_text(
        "#!/bin/sh\n"
        f'file="$MOODZONE_EXCERPT"; test -s "$file" || file=missing; echo "$$ $file $@" > "{pipe}"\n'
        f"exec {shutil.which('sleep')} 100\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    player = Player.find()
    assert player is not None
    assert player.name == name
    reading = os.open(pipe, os.O_RDWR)
    with player.play(originals / "0.mp3", 3.0) as playing:
        told = os.read(reading, 4096).decode().split()
        assert not playing.failed
        process, file = int(told[0]), told[1]
        assert Path(file).exists()
        assert (file == str(originals / "0.mp3")) == (name in {"ffplay", "mpv", "cvlc"})
        assert file in told[2:] or name == "powershell"
    os.close(reading)
    assert not is_running(process)
    script.write_text("#!/bin/sh\nexit 7\n")
    with player.play(originals / "0.mp3", 3.0) as playing:
        playing._process.wait()
        assert playing.failed
    script.write_text("#!/no/such/shell\n")
    with pytest.raises(AudioError, match="cannot be started"), player.play(originals / "0.mp3", None):
        pass


def test_no_player(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Player.find() is None
