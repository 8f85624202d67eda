"""The program as its user meets it: a process with arguments, output, exit code and signals."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import mutagen
import pytest
from rich.text import Text

from exporters.tags.edit import read_state
from moodzone_agent.classify.registry import Registry
from moodzone_agent.library.store import Library
from moodzone_agent.types import Zone
from tests.agent.classify.bundles import other_bundle
from tests.agent.conftest import ENDINGS, World, make_track, no_root

ROOT = Path(__file__).resolve().parents[2]
MAIN = "from moodzone_agent.cli import main; main()"
COMMANDS = (
    "scan",
    "write",
    "undo",
    "remove",
    "show",
    "list",
    "labels",
    "label",
    "demo",
    "doctor",
    "calibrate",
    "model",
    "setup",
)
SCAN_KEYS = [
    "path",
    "status",
    "reason",
    "changed",
    "audio_id",
    "duration",
    "zone",
    "unsure",
    "label",
    "confidence",
    "probabilities",
    "arousal",
    "valence",
    "tempo",
    "drops",
    "model",
    "warnings",
]

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX only")


def environment(home: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "MOODZONE_HOME": str(home), "PYTHONPATH": str(ROOT), "COLUMNS": "80", **more}


def run(home: Path, *arguments: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", MAIN, *arguments],
        env=environment(home, **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
        timeout=120,
    )


def fine(home: Path, *arguments: str | Path) -> str:
    done = run(home, *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


def start(home: Path, *arguments: str | Path, **more: str) -> subprocess.Popen[str]:
    """In a process group of its own, as a shell does."""
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, *arguments],
        env=environment(home, **more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def on_terminal(home: Path, *arguments: str | Path, answer: str = "") -> tuple[int, str]:
    """Run on a terminal; gives the answer when a question stands there. Exit code and all that was shown."""
    import pty

    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", MAIN, *arguments],
        env=environment(home, TERM="xterm", NO_COLOR="1"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # Linux's way to say that it is closed
                break
            shown += piece
            if not piece:
                break
            if answer and b"[y/N]" in shown:
                os.write(ours, f"{answer}\n".encode())
                answer = ""
    os.close(ours)
    return process.returncode, shown.decode()


def lines(text: str) -> list[dict[str, Any]]:
    assert text.isascii()
    return [json.loads(line) for line in text.splitlines()]


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def scanned(world: World, originals: Path, *names: str) -> list[Path]:
    """Music that is in the library."""
    paths = [world.add(originals / name) for name in names]
    world.scan()
    world.library.close()
    return paths


def test_help_needs_no_heavy_imports(tmp_path: Path) -> None:
    code = """
import sys
from moodzone_agent.cli import main
sys.argv = ["moodzone", "--help"]
try:
    main()
finally:
    heavy = {"numpy", "scipy", "av", "onnxruntime", "mutagen", "sqlite3", "sklearn"} & set(sys.modules)
    assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(tmp_path), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    for command in COMMANDS:
        assert re.search(rf"^│ {command} +\w", done.stdout, re.MULTILINE)
    assert "Exit codes" in done.stdout
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(tmp_path: Path, command: str) -> None:
    shown = fine(tmp_path, command, "--help")
    assert f"Usage: moodzone {command}" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["scan"], "PATHS"),
        (["scan", "/no/such/folder"], "/no/such/folder does not exist"),
        (["scan", "--jobs", "-1", "/"], "--jobs"),
        (["scna", "/"], "scan"),
        (["write"], "--all"),
        (["write", "--all", "/"], "--all"),
        (["write", "--all"], "no library yet"),
        (["write", "--all", "--to", "vinyl"], "tags"),
        (["undo", "7"], "no run 7"),
        (["list"], "no library yet"),
        (["list", "--zone", "blue"], "purple"),
        (["label", "song.mp3"], "yellow, green, purple or none"),
        (["label", "green"], "name at least one file"),
        (["calibrate"], "no library yet"),
        (["calibrate", "--shares", "50,50"], "three percentages"),
        (["model", "diff"], "number"),
        (["model", "diff", "0"], "no library yet"),
    ],
)
def test_wrong_use_is_told_with_a_hint(tmp_path: Path, arguments: list[str], hint: str) -> None:
    done = run(tmp_path, *arguments)
    assert done.returncode == 2
    assert hint.lower() in " ".join(done.stderr.replace("│", " ").split()).lower()
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_wrong_setting_is_told(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("[tags]\nfield = 'lyrics'\n")
    done = run(tmp_path, "scan", tmp_path)
    assert done.returncode == 2
    assert "tags.field must be one of comment" in done.stderr
    assert run(tmp_path, "doctor").returncode == 1


@pytest.fixture
def odd_names(world: World, originals: Path) -> list[Path]:
    """Good and bad files, some with names that are hard to handle."""
    good = ["new\nline.flac", "rocket 🚀.flac", "[red]markup[red].flac", "n" * 245 + ".flac"]
    if os.name != "nt":
        good.append(os.fsdecode(b"caf\xe9 \xff.flac"))
    paths = [world.add(originals / "1.flac", name) for name in good]
    for name, content in {
        "empty.mp3": b"",
        "text.mp3": b"just words\n" * 99,
        "concat.mp3": b"ffconcat version 1.0\nfile 'rocket.flac'\n",
        "cut.flac": (originals / "1.flac").read_bytes()[:900],
        "\x1b[31mred.mp3": b"escape codes",
        "cover.jpg": b"\xff\xd8",
        "notes.txt": b"words",
        "._rocket.flac": b"x",
    }.items():
        (world.music / name).write_bytes(content)
    if hasattr(os, "mkfifo"):
        os.mkfifo(world.music / "pipe.mp3")
        (world.music / "loop").symlink_to(world.music)
    return paths


@posix
def test_every_file_is_accounted_for(world: World, odd_names: list[Path]) -> None:
    broken = {"empty.mp3", "text.mp3", "concat.mp3", "cut.flac", "\x1b[31mred.mp3"}
    world.library.close()
    done = run(world.home, "scan", world.music, "--json", "--jobs", "1")
    assert (done.returncode, done.stderr) == (1, "")
    told = lines(done.stdout)
    assert all(list(line) == SCAN_KEYS for line in told)
    by_name = {os.path.relpath(line["path"], world.music): line for line in told}
    assert len(by_name) == len(told)
    assert {name for name, line in by_name.items() if line["status"] == "ok"} == {
        path.name for path in odd_names
    }
    assert {name for name, line in by_name.items() if line["status"] == "failed"} == broken
    assert {name for name, line in by_name.items() if line["status"] == "skipped"} == {
        ".",
        "._rocket.flac",
        "pipe.mp3",
        "loop",
    }
    assert by_name["."]["reason"].startswith("2 files")
    for line in told:
        assert Path(line["path"]).is_absolute()
        assert os.path.lexists(line["path"])
        assert bool(line["reason"]) == (line["status"] != "ok")
        if line["status"] == "ok":
            assert line["changed"] is True
            assert line["zone"] == max(line["probabilities"], key=line["probabilities"].get)
            assert list(line["probabilities"]) == ["YELLOW", "GREEN", "PURPLE"]
            assert sum(line["probabilities"].values()) == pytest.approx(1, abs=1e-4)
            assert line["confidence"] == max(line["probabilities"].values())
            assert 1 <= line["arousal"] <= 9
            assert 1 <= line["valence"] <= 9
            assert line["duration"] == pytest.approx(3, abs=0.1)
        else:
            assert line["zone"] is None
    assert len({line["audio_id"] for line in told if line["status"] == "ok"}) == 1

    again = run(world.home, "scan", world.music)
    assert again.returncode == 1
    good = len(odd_names)
    assert f"{good + 10} files: {good} rated, 5 failed, 5 skipped" in again.stdout
    assert f"rated 0 new or changed, {good} unchanged" in again.stdout
    assert "skipped 2: other kinds of file" in again.stdout
    for name in broken:
        shown = name.replace("\x1b", r"\x1b")
        assert f"failed {world.music}/{shown}: {by_name[name]['reason']}\n" in again.stdout
    assert "\x1b" not in again.stdout


@posix
def test_odd_names_are_written_shown_and_undone(world: World, odd_names: list[Path]) -> None:
    before = {path: path.read_bytes() for path in odd_names}
    world.scan()
    world.library.close()
    written = fine(world.home, "write", "--all")
    assert f"{len(odd_names)} written · 0 unchanged · 0 skipped · 0 failed" in written
    assert all(read_state(path).mark is not None for path in odd_names)
    shown = fine(world.home, "show", odd_names[0])
    assert r"new\nline.flac" in shown
    assert "[red]markup[red].flac" in shown
    assert f"{len(odd_names)} restored byte for byte" in fine(world.home, "undo")
    assert {path: path.read_bytes() for path in odd_names} == before


@posix
def test_what_may_not_be_read_is_named(world: World, originals: Path) -> None:
    path = world.add(originals / "1.flac")
    (world.music / "shut").mkdir(mode=0)
    path.chmod(0)
    with no_root():
        results = world.scan()
    assert {name: result.status for name, result in results.items()} == {"1.flac": "failed", "shut": "failed"}
    assert all("denied" in result.reason.lower() for result in results.values())


def test_scan_write_correct_and_undo(world: World, originals: Path) -> None:
    """The loop that the README shows, with real workers."""
    paths = [world.add(originals / name) for name in ("0.mp3", "1.flac", "2.m4a")]
    before = digests(world.music)
    world.library.close()
    shown = fine(world.home, "scan", world.music, "--dry-run", "--jobs", "2")
    assert "3 files: 3 rated, 0 failed, 0 skipped" in shown
    assert "3 would be written" in shown
    assert "before: 8A - 7\n   after:  8A - 7 #" in shown
    assert digests(world.music) == before
    assert "3 written" in fine(world.home, "scan", world.music, "--write")
    state = read_state(paths[1])
    assert state.mark is not None
    assert state.text == f"8A - 7 {state.mark.token}"
    other = next(zone for zone in Zone if zone is not state.mark.zone)
    tagged = mutagen.File(paths[1])
    tagged["comment"] = [f"8A - 7 #{other}"]
    tagged.save()
    refused = fine(world.home, "scan", world.music, "--write", "--jobs", "1")
    assert "1 new or changed, 2 unchanged" in refused
    assert f"kept {paths[1]}: somebody put #{other} into its comment" in refused

    assert "1 track labelled" in fine(world.home, "label", paths[1], other.lower())
    assert "1 written · 2 unchanged" in fine(world.home, "write", world.music)
    [line] = [line for line in lines(fine(world.home, "list", "--json")) if line["label"]]
    assert (line["paths"], line["zone"], line["unsure"]) == ([str(paths[1])], other, False)
    assert "yours" in fine(world.home, "show", paths[1])
    assert "1 restored byte for byte" in fine(world.home, "undo")
    runs = lines(fine(world.home, "undo", "--list", "--json"))
    assert [(run["kind"], run["files"], run["undone"]) for run in runs] == [
        ("undo", 1, 0),
        ("write", 1, 1),
        ("write", 3, 0),
    ]
    undone = fine(world.home, "undo")
    assert "2 restored byte for byte" in undone
    assert f"only our marks were taken out\n  {paths[1]}\n" in undone
    assert "nothing to undo" in fine(world.home, "undo")
    after = digests(world.music)
    assert {name for name in before if after[name] != before[name]} == {"1.flac"}


def test_labels(world: World, originals: Path) -> None:
    one, two = scanned(world, originals, "0.mp3", "1.flac")
    (world.music / "bad.mp3").write_bytes(b"no music")
    fine(world.home, "label", one, two, "PURPLE")
    told = lines(fine(world.home, "list", "--zone", "purple", "--json"))
    assert [line["label"] for line in told] == ["PURPLE", "PURPLE"]
    assert "no such tracks" in fine(world.home, "list", "--unsure")
    fine(world.home, "label", one, "none")
    fine(world.home, "label", "--confirm", one)
    with Library.open(world.home / "library.sqlite") as library:
        events = [(event.zone, str(event.origin)) for event in library.labels(library.track_of(one).audio_id)]  # type: ignore[union-attr]
    assert [zone for zone, _ in events[:2]] == ["PURPLE", None]
    assert events[2][1] == "confirmed"
    for arguments, hint in (
        ([world.music, "green"], "is a folder"),
        ([world.music / "bad.mp3", "green"], "scan it first"),
        ([one, world.music / "none.mp3", "green"], "scan it first"),
    ):
        done = run(world.home, "label", *arguments)
        assert done.returncode == 2
        assert hint in done.stderr
    assert json.loads(fine(world.home, "show", "--json", one))["label"] == events[2][0]


@pytest.mark.skipif(sys.platform == "win32", reason="opens a terminal as POSIX does")
def test_a_table_fits_the_terminal_and_names_are_whole_elsewhere(world: World, originals: Path) -> None:
    path = world.add(originals / "1.flac")
    title = "A title of an hour " * 8 + "ends"
    file = mutagen.File(path)
    file["title"] = [title]
    file.save()
    scanned(world, originals, "0.mp3")
    code, shown = on_terminal(world.home, "list")
    table = [Text.from_ansi(line) for line in shown.splitlines()]
    assert (code, len(table)) == (0, 3)
    assert max(line.cell_len for line in table) <= 80
    assert "Somebody – Track 0" in shown
    assert "A title of" in shown
    assert title not in shown
    piped = fine(world.home, "list")
    assert len(piped.splitlines()) == 3
    assert f"Somebody – {title}" in piped


def test_output_survives_a_pipe_without_unicode(world: World, originals: Path) -> None:
    scanned(world, originals, "1.flac")
    done = run(world.home, "list", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Somebody ? Track 1" in done.stdout


def test_doctor(world: World, originals: Path) -> None:
    scanned(world, originals, "1.flac")
    shown = fine(world.home, "doctor")
    assert f"✓ Library: 1 tracks in {world.home / 'library.sqlite'}" in shown
    assert "✗" not in shown
    (world.home / "library.sqlite").write_bytes(b"SQLite format 3\0" + b"rubbish" * 1000)
    done = run(world.home, "doctor", "--json")
    assert done.returncode == 1
    assert [line["check"] for line in lines(done.stdout) if not line["ok"]] == ["Library"]


def test_doctor_before_the_first_scan_makes_nothing(tmp_path: Path) -> None:
    assert "✗" not in fine(tmp_path / "home", "doctor")
    assert not (tmp_path / "home").exists()


def test_doctor_names_collections_before_the_first_scan_and_those_that_wait_for_consent(
    tmp_path: Path,
) -> None:
    xml = tmp_path / "rekordbox.xml"
    xml.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<DJ_PLAYLISTS Version="1.0.0"><COLLECTION Entries="0"/>'
        "</DJ_PLAYLISTS>"
    )
    database = tmp_path / "Library" / "Pioneer" / "rekordbox" / "master.db"
    database.parent.mkdir(parents=True)
    database.write_bytes(b"encrypted")
    done = run(tmp_path / "moodzone", "doctor", "--json", HOME=str(tmp_path), USERPROFILE=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    told = {line["check"]: line["detail"] for line in lines(done.stdout)}
    assert told["rekordbox-xml"] == f"{xml} (1.0.0)"
    assert told["rekordbox-db"].startswith(f"{database}: found, not in use; ")
    assert "`read = true` or `write = true` under [rekordbox_db] in the settings" in told["rekordbox-db"]
    assert not (tmp_path / "moodzone").exists()


def test_remove(world: World, originals: Path) -> None:
    paths = scanned(world, originals, "0.mp3", "1.flac")
    before = digests(world.music)
    fine(world.home, "label", paths[0], "purple")
    fine(world.home, "write", "--all")
    refused = run(world.home, "remove")
    assert refused.returncode == 2
    assert "--labels" in refused.stderr
    assert "2 would be freed of marks" in fine(world.home, "remove", "--dry-run")
    labels = world.home.parent / "labels.csv"
    models = Registry(world.home / "models")
    models.promote(models.add(other_bundle(world.home.parent / "bundle")))
    (world.home / ".mz-0123abcd.tmp").write_text("")
    assert "2 freed of marks" in fine(world.home, "remove", "--labels", labels, "--yes")
    assert digests(world.music) == before
    assert not world.home.exists()
    assert "PURPLE" in labels.read_text()


def test_remove_can_be_repeated_as_it_was(world: World, originals: Path) -> None:
    [path] = scanned(world, originals, "1.flac")
    fine(world.home, "label", path, "purple")
    fine(world.home, "write", "--all")
    aside = path.rename(world.home.parent / "aside.flac")
    labels = world.home.parent / "labels.csv"
    failed = run(world.home, "remove", "--labels", labels, "--yes")
    assert (failed.returncode, failed.stderr) == (1, "")
    assert "library, models, journal and settings are kept" in failed.stdout
    aside.rename(path)
    assert "1 freed of marks" in fine(world.home, "remove", "--labels", labels, "--yes")
    assert "PURPLE" in labels.read_text()
    assert not world.home.exists()


def test_what_can_no_longer_be_undone_is_told(world: World, originals: Path) -> None:
    one, two = scanned(world, originals, "0.mp3", "1.flac")
    (world.home / "settings.toml").write_text("[journal]\nmax_megabytes = 0\n")
    fine(world.home, "write", one)
    done = run(world.home, "write", two)
    assert (done.returncode, "1 written" in done.stdout) == (0, True)
    assert done.stderr == "can no longer be undone, as journal.keep_days and max_megabytes say: run 1\n"


@posix
@pytest.mark.parametrize("answer", ["n", "y"])
def test_the_first_write_on_a_terminal_asks_once(world: World, originals: Path, answer: str) -> None:
    scanned(world, originals, "0.mp3", "1.flac", "2.m4a", "3.ogg", "4.opus", "5.aiff")
    before = digests(world.music)
    code, shown = on_terminal(world.home, "write", "--all", answer=answer)
    assert shown.count("before:") == shown.count("after:") == 5
    assert re.search(r"6 files of [\d.]+ [kMG]B", shown)
    if answer == "n":
        assert code == 3
        assert digests(world.music) == before
        assert "6 written" in fine(world.home, "write", "--all", "--yes")
    else:
        assert code == 0
        assert "6 written" in shown
        code, shown = on_terminal(world.home, "write", "--all")
        assert (code, "[y/N]" in shown) == (0, False)


@posix
def test_progress_on_a_terminal_leaves_the_summary_only(world: World, originals: Path) -> None:
    world.add(originals / "1.flac")
    world.library.close()
    code, shown = on_terminal(world.home, "scan", world.music)
    assert code == 0
    assert "0/1" in shown
    assert re.search(r"the model is unsure of [01]\s*$", shown)


@posix
def test_stopped_scan_keeps_what_is_done_and_leaves_no_process(world: World, originals: Path) -> None:
    for index in range(16):
        make_track(world.music / f"{index}.wav", seed=index, seconds=4 + index / 100)
    world.library.close()
    process = start(world.home, "scan", world.music, "--json", "--jobs", "1")
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    os.killpg(process.pid, signal.SIGINT)
    rest, errors = process.communicate(timeout=60)  # ends when the last holder of the pipe has ended
    assert process.returncode == 3
    assert errors.splitlines() == ["moodzone: stopped; everything finished so far is kept"]
    done = [first, *lines(rest)]
    assert 1 <= len(done) < 16
    with Library.open(world.home / "library.sqlite") as world.library:
        results = world.scan()
        analysed = {name for name, kind in world.reads if kind == "analysed"}
        assert analysed.isdisjoint(Path(line["path"]).name for line in done)
        assert {str(result.status) for result in results.values()} == {"ok"}
        assert len(results) == 16


@posix
def test_stopped_write_leaves_nothing_half_written(world: World, originals: Path) -> None:
    for index in range(40):
        world.add(originals / f"{index % 7}{ENDINGS[index % 7]}", f"{index}{ENDINGS[index % 7]}")
    before = digests(world.music)
    world.scan()
    world.library.close()
    process = start(world.home, "write", "--all", "--json")
    assert process.stdout is not None
    process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 3
    assert errors.splitlines() == ["moodzone: stopped; everything finished so far is kept"]
    stopped = digests(world.music)
    assert set(stopped) == set(before)
    changed = {name for name in before if stopped[name] != before[name]}
    assert 1 <= len(changed) < 40
    assert all(read_state(world.music / name).mark for name in changed)
    assert f"{len(changed)} restored byte for byte" in fine(world.home, "undo")
    assert digests(world.music) == before


@posix
def test_a_reader_that_has_enough_is_no_error(world: World, originals: Path) -> None:
    for index in range(300):
        (world.music / f"._{index}.mp3").write_bytes(b"x")
    world.library.close()
    process = start(world.home, "scan", world.music, "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    with process.stderr as errors:
        assert errors.read() == ""
    process.wait(timeout=60)


def test_no_connection_is_opened(world: World, originals: Path, tmp_path: Path) -> None:
    """In the workers, too: Python loads sitecustomize in every process."""
    (tmp_path / "sitecustomize.py").write_text(
        f"""
import sys
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.bind"):
        with open({str(tmp_path / "log")!r}, "a") as log:
            print(event, arguments, file=log)
sys.addaudithook(hook)
open({str(tmp_path / "seen")!r}, "a").write("x")
"""
    )
    world.add(originals / "1.flac")
    world.library.close()
    path = os.pathsep.join((str(tmp_path), str(ROOT)))
    for arguments in (["scan", str(world.music), "--write"], ["undo"]):
        assert run(world.home, *arguments, PYTHONPATH=path).returncode == 0
    assert len((tmp_path / "seen").read_text()) >= 3
    assert not (tmp_path / "log").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there, its telemetry leaves no file")
def test_the_model_runs_without_telemetry(world: World, originals: Path, tmp_path: Path) -> None:
    """ONNX Runtime keeps what it would send, and a number for the computer, in a file under the home."""
    world.add(originals / "1.flac")
    world.library.close()
    # It is silent by itself where these say that it is tested.
    not_a_test = {name: "" for name in os.environ if name == "CI" or name.endswith("_CI")}
    home = tmp_path / "home"
    home.mkdir()
    done = run(world.home, "scan", world.music, HOME=str(home), XDG_CACHE_HOME="", **not_a_test)
    assert done.returncode == 0
    assert list(home.rglob("*")) == []


def test_two_writers_do_not_meet(world: World, originals: Path) -> None:
    scanned(world, originals, "1.flac")
    before = digests(world.music)
    with world.journal.start("write"):
        done = run(world.home, "write", "--all")
    assert done.returncode == 1
    assert "Another MoodZone writes files" in done.stderr
    assert digests(world.music) == before


def test_a_library_that_is_damaged_is_set_aside_and_made_anew(world: World) -> None:
    world.library.close()
    (world.home / "library.sqlite").write_bytes(b"rubbish" * 1000)
    done = run(world.home, "scan", world.music)
    assert done.returncode == 0
    assert "was damaged" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.read_bytes() for path in world.home.glob("library damaged*")] == [b"rubbish" * 1000]


@pytest.mark.slow
def test_demo(tmp_path: Path) -> None:
    shown = fine(tmp_path, "demo", "--keep", tmp_path / "demo", "--svg", tmp_path / "demo.svg")
    assert "✓ every file is byte for byte what it was" in shown
    assert len(list((tmp_path / "demo" / "music").iterdir())) == 9
    assert "<svg" in (tmp_path / "demo.svg").read_text(encoding="utf-8")
    again = run(tmp_path, "demo", "--keep", tmp_path / "demo")
    assert again.returncode == 2
    assert "new folder" in again.stderr
    shutil.rmtree(tmp_path / "demo")
