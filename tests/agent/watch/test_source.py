"""The watcher on real folders, and on scripted events and a scripted clock."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirModifiedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileClosedNoWriteEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileOpenedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver, EventEmitter

from moodzone_agent.walk import Found, walk
from moodzone_agent.watch import source as source_module
from moodzone_agent.watch.source import Changes, Mode, Watcher
from tests.audio_files import write_tone

ROOT = Path(__file__).resolve().parents[3]
MUSIC = b"\xff\xfb\x90\0" + bytes(5000)
LIMIT = 30.0
"""Seconds; a machine that is busy may take long."""
NONE = Changes()

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="inotify")
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX only")
root_only = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounts a disk")


@pytest.fixture(autouse=True)
def checks_are_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "_CHECK_SECONDS", 0.2)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path.resolve() / "music"
    root.mkdir()
    return root


def fill(root: Path, *names: str, data: bytes = MUSIC) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def started(*roots: Path, **options: Any) -> Watcher:
    """A watcher whose first sweeps have been told."""
    watcher = Watcher(roots, settle_seconds=0.2, poll_seconds=0.1, **options).__enter__()
    Told(watcher, lambda told: told.sweep >= {root for root in roots if root.exists()})
    return watcher


@pytest.fixture
def watcher(root: Path) -> Iterator[Watcher]:
    with started(root) as watcher:
        assert watcher.modes()[root].mode is Mode.EVENTS
        yield watcher


class Told:
    """What a watcher told until a condition held; fails if it doesn't in time."""

    def __init__(self, watcher: Watcher, until: Callable[[Told], bool]) -> None:
        self.ready: Counter[Path] = Counter()
        self.sweep: set[Path] = set()
        self.gone: set[Path] = set()
        deadline = time.monotonic() + LIMIT
        while not until(self):
            assert time.monotonic() < deadline, vars(self)
            changes = watcher.changes(0.5)
            self.ready.update(changes.ready)
            self.sweep |= changes.sweep
            self.gone |= changes.gone


def told(watcher: Watcher, root: Path, *, ready: Iterable[str] = (), gone: Iterable[str] = ()) -> None:
    """These are told, each once, and then nothing for a while."""
    wanted = {root / name for name in ready}, {root / name for name in gone}
    told = Told(watcher, lambda told: told.ready.keys() >= wanted[0] and told.gone >= wanted[1])
    assert (told.ready, told.gone, told.sweep) == (Counter(wanted[0]), wanted[1], set())
    assert_quiet(watcher)


def assert_quiet(watcher: Watcher) -> None:
    """Nothing is told, well beyond the time that watchdog keeps a move back and files settle in."""
    assert watcher.changes(0.9) == NONE


class TestRealChanges:
    def test_created(self, watcher: Watcher, root: Path) -> None:
        fill(root, "a.mp3")
        told(watcher, root, ready={"a.mp3"})

    def test_copied_with_its_folder(self, watcher: Watcher, root: Path) -> None:
        names = {"a/1.mp3", "a/b/2.mp3", "a/b/c/3.mp3"}
        fill(root.parent / "elsewhere", *names)
        shutil.copytree(root.parent / "elsewhere", root / "new")
        told(watcher, root, ready={f"new/{name}" for name in names})

    def test_changed_in_its_place(self, watcher: Watcher, root: Path) -> None:
        fill(root, "a.mp3")
        told(watcher, root, ready={"a.mp3"})
        fill(root, "a.mp3", data=MUSIC * 2)
        told(watcher, root, ready={"a.mp3"})

    def test_replaced_by_a_hidden_copy(self, watcher: Watcher, root: Path) -> None:
        """As our own writing does it."""
        fill(root, "a.mp3")
        told(watcher, root, ready={"a.mp3"})
        fill(root, ".mz-01234567.tmp", data=MUSIC * 2)
        (root / ".mz-01234567.tmp").replace(root / "a.mp3")
        told(watcher, root, ready={"a.mp3"})

    def test_a_download_that_ends(self, watcher: Watcher, root: Path) -> None:
        fill(root, "a.mp3.part", "b.crdownload", "c.tmp", ".d.mp3")
        assert_quiet(watcher)
        (root / "a.mp3.part").rename(root / "a.mp3")
        (root / "c.tmp").unlink()
        told(watcher, root, ready={"a.mp3"})

    def test_renamed_and_moved(self, watcher: Watcher, root: Path) -> None:
        fill(root, "a.mp3", "b/c.mp3")
        told(watcher, root, ready={"a.mp3", "b/c.mp3"})
        (root / "a.mp3").rename(root / "A.mp3")
        (root / "b" / "c.mp3").rename(root / "c.mp3")
        told(watcher, root, ready={"A.mp3", "c.mp3"}, gone={"a.mp3", "b/c.mp3"})

    def test_a_folder_renamed(self, watcher: Watcher, root: Path) -> None:
        fill(root, "a/1.mp3", "a/b/2.mp3")
        told(watcher, root, ready={"a/1.mp3", "a/b/2.mp3"})
        (root / "a").rename(root / "z")
        told(watcher, root, ready={"z/1.mp3", "z/b/2.mp3"}, gone={"a"})
        fill(root, "z/b/3.mp3")
        told(watcher, root, ready={"z/b/3.mp3"})

    def test_a_folder_moved_in(self, watcher: Watcher, root: Path) -> None:
        fill(root.parent / "elsewhere", "1.mp3", "b/2.mp3", ".hidden/3.mp3")
        (root.parent / "elsewhere").rename(root / "a")
        told(watcher, root, ready={"a/1.mp3", "a/b/2.mp3"})

    def test_deleted(self, watcher: Watcher, root: Path) -> None:
        fill(root, "a.mp3", "b/1.mp3", "b/c/2.mp3")
        told(watcher, root, ready={"a.mp3", "b/1.mp3", "b/c/2.mp3"})
        (root / "a.mp3").unlink()
        shutil.rmtree(root / "b")
        told(watcher, root, gone={"a.mp3", "b"})

    def test_deleted_and_written_anew(self, watcher: Watcher, root: Path) -> None:
        fill(root, "a.mp3")
        told(watcher, root, ready={"a.mp3"})
        (root / "a.mp3").unlink()
        fill(root, "a.mp3")
        told(watcher, root, ready={"a.mp3"})

    @posix
    def test_names_that_are_not_utf_8(self, watcher: Watcher, root: Path) -> None:
        name = os.fsdecode(b"\xff\xfe/\xe9.mp3")
        fill(root, name)
        told(watcher, root, ready={name})

    @posix
    def test_a_link_to_a_file_stands_for_its_target(self, watcher: Watcher, root: Path) -> None:
        fill(root.parent, "far.mp3")
        (root / "link.mp3").symlink_to("../far.mp3")
        told(watcher, root.parent, ready={"far.mp3"})

    def test_a_thousand_files_at_once(self, watcher: Watcher, root: Path) -> None:
        names = {f"{number % 50}/{number}.mp3" for number in range(1000)}
        fill(root, *names)
        told(watcher, root, ready=names)

    def test_mp4_waits_for_its_index(self, watcher: Watcher, root: Path) -> None:
        whole = write_tone(root.parent / "a.m4a").read_bytes()
        fill(root, "a.m4a", data=whole[: len(whole) // 2])
        assert_quiet(watcher)
        fill(root, "a.m4a", data=whole)
        told(watcher, root, ready={"a.m4a"})

    @linux_only
    def test_placeholders_are_not_opened(
        self, watcher: Watcher, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened: list[Path] = []
        monkeypatch.setattr(source_module, "is_complete", lambda path: opened.append(path) or True)
        with (root / "cloud.mp3").open("wb") as file:
            file.truncate(1 << 20)
        os.mkfifo(root / "pipe.mp3")
        fill(root, "a.mp3")
        told(watcher, root, ready={"a.mp3"})
        assert opened == [root / "a.mp3"]


class Recorder(FileSystemEventHandler):
    def __init__(self) -> None:
        self.events: list[FileSystemEvent] = []

    def on_any_event(self, event: FileSystemEvent) -> None:
        self.events.append(event)


@linux_only
class TestWhatWatchdogIsKnownFor:
    def test_reading_tells_of_itself_and_causes_nothing(self, root: Path) -> None:
        fill(root, "a.mp3")
        recorder = Recorder()
        with started(root) as watcher:
            observer = watcher._observer
            assert observer is not None
            watch = observer.schedule(recorder, str(root))  # with all kinds of event
            for item in walk(root):
                assert isinstance(item, Found)
                item.path.read_bytes()
            assert_quiet(watcher)
            observer.unschedule(watch)
        assert {FileOpenedEvent, FileClosedNoWriteEvent} <= {type(event) for event in recorder.events}

    def test_the_folders_emitter_dies_with_it_and_the_observer_lives_on(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(root, "a.mp3")
        with started(root) as watcher:
            observer = watcher._observer
            assert observer is not None
            [emitter] = observer.emitters
            shutil.rmtree(root)
            emitter.join(LIMIT)
            assert not emitter.is_alive()
            assert observer.is_alive()
            told = Told(watcher, lambda _: watcher.modes()[root].mode is Mode.AWAY)
            assert told.gone == set()  # they may come back with it
            assert "not there" in watcher.modes()[root].reason
            root.mkdir()
            fill(root, "b.mp3")
            told = Told(watcher, lambda told: root in told.sweep)
            assert watcher.modes()[root].mode is Mode.EVENTS
            fill(root, "c.mp3")
            Told(watcher, lambda told: root / "c.mp3" in told.ready)

    def test_folders_made_right_after_each_other(self, watcher: Watcher, root: Path) -> None:
        """Watchdog comes to some twice, and to their files perhaps without an event."""
        names = {f"{number}/a/b/c/d/e/x.mp3" for number in range(100)}
        fill(root, *names)
        told(watcher, root, ready=names)

    def test_an_emitter_that_dies_alone(self, watcher: Watcher, root: Path) -> None:
        assert watcher._observer is not None
        [emitter] = watcher._observer.emitters
        emitter.stop()
        Told(watcher, lambda told: told.sweep == {root})
        fill(root, "a.mp3")
        told(watcher, root, ready={"a.mp3"})

    def test_a_reader_that_dies(self, watcher: Watcher, root: Path) -> None:
        watcher._observer._reader.stop()  # type: ignore[union-attr]
        Told(watcher, lambda told: told.sweep == {root})
        fill(root, "a.mp3")
        told(watcher, root, ready={"a.mp3"})

    def test_a_root_that_is_renamed_and_comes_back(self, watcher: Watcher, root: Path) -> None:
        away = root.parent / "away"
        root.rename(away)
        Told(watcher, lambda _: watcher.modes()[root].mode is Mode.AWAY)
        fill(away, "a.mp3")
        assert_quiet(watcher)
        away.rename(root)
        Told(watcher, lambda told: told.sweep == {root})
        fill(root, "b.mp3")
        told(watcher, root, ready={"b.mp3"})

    def test_a_root_that_is_another_folder_now(self, watcher: Watcher, root: Path) -> None:
        """A watch stays with the folder it was put on."""
        (root.parent / "new").mkdir()
        root.rename(root.parent / "old")
        (root.parent / "new").rename(root)
        Told(watcher, lambda told: told.sweep == {root})
        fill(root.parent / "old", "a.mp3")
        fill(root, "b.mp3")
        told(watcher, root, ready={"b.mp3"})

    def test_a_folder_moved_out_tells_once_and_what_it_tells_later_is_nothing(self, root: Path) -> None:
        fill(root, "a/1.mp3", "a/b/2.mp3")
        recorder = Recorder()
        with started(root) as watcher:
            assert watcher._observer is not None
            watch = watcher._observer.schedule(recorder, str(root), recursive=True)
            (root / "a").rename(root.parent / "out")
            told(watcher, root, gone={"a"})
            assert [type(event) for event in recorder.events if "Deleted" in type(event).__name__] == [
                DirDeletedEvent
            ]
            recorder.events.clear()
            fill(root.parent / "out", "a.mp3", "b/2.mp3", data=MUSIC * 2)
            assert_quiet(watcher)
            stale = {str(event.src_path) for event in recorder.events}
            assert str(root / "a" / "b" / "2.mp3") in stale
            watcher._observer.unschedule(watch)

    def test_linked_folders_are_not_followed(self, root: Path) -> None:
        fill(root.parent / "elsewhere", "a.mp3")
        (root / "link").symlink_to(root.parent / "elsewhere")
        with started(root) as watcher:
            (root / "late").symlink_to(root.parent / "elsewhere")
            fill(root.parent / "elsewhere", "b.mp3")
            assert_quiet(watcher)

    def test_an_overflow_of_the_kernels_queue(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        from moodzone_agent.watch.inotify import _Reader

        done = threading.Event()
        handle = _Reader.handle_event

        def wait_and_handle(self: _Reader, event: Any) -> None:
            assert done.wait(LIMIT)
            handle(self, event)

        most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
        if most > 100_000:
            pytest.skip("the kernel keeps too many events")
        monkeypatch.setattr(_Reader, "handle_event", wait_and_handle)
        with started(root) as watcher:
            for number in range(most // 2 + 3000):  # the reader takes a few thousand before it waits
                os.close(os.open(root / f"{number}.mp3", os.O_CREAT | os.O_WRONLY))
            done.set()
            Told(watcher, lambda told: told.sweep == {root})
            assert "overflowed" in caplog.text
            fill(root, "new/a.mp3")
            Told(watcher, lambda told: root / "new" / "a.mp3" in told.ready)

    def test_a_full_queue_of_ours(
        self, watcher: Watcher, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(source_module, "_MOST_EVENTS", 10)
        recorder = Recorder()
        assert watcher._observer is not None
        watch = watcher._observer.schedule(recorder, str(root), recursive=True)
        fill(root, *(f"{number}.mp3" for number in range(100)))
        deadline = time.monotonic() + LIMIT
        while len(recorder.events) < 200 and time.monotonic() < deadline:
            assert watcher._inbox.qsize() <= 10
            os.sched_yield()
        watcher._observer.unschedule(watch)
        assert watcher.changes(0).sweep == {root}


@linux_only
class TestLimits:
    @pytest.mark.parametrize(
        ("number", "name"),
        [
            (errno.ENOSPC, "fs.inotify.max_user_watches"),
            (errno.EMFILE, "fs.inotify.max_user_instances"),
            (errno.EIO, "Input/output error"),
        ],
    )
    def test_no_observer(self, root: Path, number: int, name: str) -> None:
        def refuse(on_overflow: Callable[[], None]) -> BaseObserver:
            raise OSError(number, os.strerror(number))

        with started(root, observer=refuse) as watcher:
            assert watcher.modes()[root].mode is Mode.POLLING
            assert name in watcher.modes()[root].reason
            fill(root, "a/b/1.mp3")
            told(watcher, root, ready={"a/b/1.mp3"})
            (root / "a").rename(root.parent / "out")
            told(watcher, root, gone={"a"})

    @pytest.mark.parametrize(
        ("limit", "value", "later"),
        [
            ("max_inotify_instances", 0, 0),
            ("max_inotify_watches", 0, 0),
            ("max_inotify_watches", 3, 0),
            ("max_inotify_watches", 10, 8),
        ],
    )
    def test_the_kernels_own_limits(self, root: Path, limit: str, value: int, later: int) -> None:
        """In a namespace that has its own. Watchdog says nothing when only some folders of a root find no place."""
        fill(root, *(f"{number}/a.mp3" for number in range(5)))
        code = f"""
            import sys
            from pathlib import Path
            from moodzone_agent.watch import source
            source._CHECK_SECONDS = 0.2
            root = Path(sys.argv[1])
            with source.Watcher([root], settle_seconds=0.1, poll_seconds=0.1) as watcher:
                if {later}:
                    assert watcher.modes()[root].mode is source.Mode.EVENTS
                    for number in range({later}):
                        (root / f"new {{number}}").mkdir()
                for _ in range(300):
                    swept = watcher.changes(0.1).sweep
                    if watcher.modes()[root].mode is source.Mode.POLLING and swept:
                        break
                print(watcher.modes()[root].reason)
                (root / "4" / "late.mp3").write_bytes({MUSIC!r})
                for _ in range(300):
                    if root / "4" / "late.mp3" in watcher.changes(0.1).ready:
                        print("seen")
                        break
        """
        done = subprocess.run(
            [
                *("unshare", "--user", "--map-root-user", "sh", "-c"),
                *(f'echo {value} > /proc/sys/user/{limit} && exec "$@"', "sh"),
                *(sys.executable, "-c", textwrap.dedent(code), root),
            ],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        if "unshare" in done.stderr or "/proc/sys/user" in done.stderr:
            pytest.skip("no namespaces for users")
        wanted = limit.replace("max_inotify_", "fs.inotify.max_user_")
        assert wanted in done.stdout, done.stderr
        assert done.stdout.endswith("seen\n")


class Drive:
    """An empty disk that can be plugged in at a path."""

    def __init__(self) -> None:
        self.points: list[Path] = []

    def plug_in(self, point: Path) -> None:
        command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(point)]
        if not shutil.which("mount") or subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("cannot mount a disk")
        self.points.append(point)

    def pull_out(self, point: Path) -> None:
        subprocess.run(["umount", point], check=True)
        self.points.remove(point)


@pytest.fixture
def drive() -> Iterator[Drive]:
    """Plugs an empty disk in at a path, or pulls it out."""
    drive = Drive()
    yield drive
    for point in list(drive.points):
        drive.pull_out(point)


@linux_only
@root_only
class TestDrives:
    @pytest.mark.parametrize("inside", ["", "music"])
    def test_unplugged_and_back(self, root: Path, inside: str, drive: Drive) -> None:
        drive.plug_in(root)
        watched = root / inside
        watched.mkdir(exist_ok=True)
        fill(watched, "a.mp3")
        with started(watched) as watcher:
            drive.pull_out(root)
            if inside:
                Told(watcher, lambda _: watcher.modes()[watched].mode is Mode.AWAY)
                assert_quiet(watcher)
            else:  # the empty folder where it was; that the drive is away, the library knows
                told = Told(watcher, lambda told: told.sweep == {watched})
                assert told.gone == set()
            drive.plug_in(root)
            watched.mkdir(exist_ok=True)
            Told(watcher, lambda told: told.sweep == {watched})
            fill(watched, "b.mp3")
            Told(watcher, lambda told: watched / "b.mp3" in told.ready)

    def test_plugged_in_below_a_root(self, root: Path, drive: Drive) -> None:
        (root / "usb").mkdir()
        with started(root) as watcher:
            drive.plug_in(root / "usb")
            Told(watcher, lambda told: told.sweep == {root})
            fill(root, "usb/a.mp3")
            told(watcher, root, ready={"usb/a.mp3"})
            drive.pull_out(root / "usb")
            told_ = Told(watcher, lambda told: told.sweep == {root})
            assert told_.gone == set()

    def test_a_share_below_a_root_is_polled(
        self, root: Path, drive: Drive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (root / "nas").mkdir()
        drive.plug_in(root / "nas")
        monkeypatch.setattr(
            source_module, "why_poll", lambda path, mounted: "a share" * (path == root / "nas")
        )
        with started(root) as watcher:
            [poller] = watcher._sources[root].pollers
            assert poller._root == root / "nas"
            fill(root, "nas/a.mp3")
            Told(watcher, lambda told: root / "nas" / "a.mp3" in told.ready)

    def test_a_polled_drive_that_is_pulled_out(
        self, root: Path, drive: Drive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What the empty folder lacks is not gone."""
        monkeypatch.setattr(source_module, "why_poll", lambda path, mounted: "a share")
        drive.plug_in(root)
        fill(root, "a.mp3")
        with started(root) as watcher:
            drive.pull_out(root)
            told = Told(watcher, lambda told: told.sweep == {root})
            assert told.gone == set()
            assert_quiet(watcher)


class TestRoots:
    def test_one_that_does_not_exist_yet(self, root: Path) -> None:
        late = root / "late"
        with started(late) as watcher:
            assert watcher.modes()[late].mode is Mode.AWAY
            assert_quiet(watcher)
            late.mkdir()
            Told(watcher, lambda told: told.sweep == {late})
            fill(late, "a.mp3")
            told(watcher, late, ready={"a.mp3"})

    def test_inside_each_other(self, root: Path) -> None:
        """The inner one is named outright, so that it may be hidden."""
        inner = root / ".inner"
        inner.mkdir()
        with started(root, inner) as watcher:
            fill(inner, "a.mp3")
            fill(root, "b.mp3")
            told(watcher, root, ready={".inner/a.mp3", "b.mp3"})
            shutil.rmtree(inner)
            Told(watcher, lambda _: watcher.modes()[inner].mode is Mode.AWAY)
            assert watcher.modes()[root].mode is Mode.EVENTS

    def test_a_file(self, root: Path) -> None:
        song = root / "song.xyz"
        fill(root, "song.xyz")
        with started(song) as watcher:
            assert watcher.modes()[song].mode is Mode.POLLING
            fill(root, "other.mp3")
            fill(root, ".new", data=MUSIC * 2)
            (root / ".new").replace(song)
            told(watcher, root, ready={"song.xyz"})
            song.unlink()
            Told(watcher, lambda _: watcher.modes()[song].mode is Mode.AWAY)
            fill(root, "song.xyz")
            Told(watcher, lambda told: told.sweep == {song})

    @posix
    def test_a_link(self, root: Path) -> None:
        link = root.parent / "link"
        link.symlink_to(root)
        with started(link) as watcher:
            fill(root, "a.mp3")
            told(watcher, root, ready={"a.mp3"})
            (root.parent / "other").mkdir()
            link.unlink()
            link.symlink_to("other")
            Told(watcher, lambda told: told.sweep == {link})
            fill(root.parent, "other/b.mp3")
            told(watcher, root.parent, ready={"other/b.mp3"})

    @posix
    def test_a_folder_and_a_link_to_it(self, root: Path) -> None:
        link = root.parent / "link"
        link.symlink_to(root)
        with started(root, link) as watcher:
            fill(root, "a.mp3")
            told(watcher, root, ready={"a.mp3"})
            link.unlink()
            Told(watcher, lambda _: watcher.modes()[link].mode is Mode.AWAY)
            fill(root, "b.mp3")
            told(watcher, root, ready={"b.mp3"})

    def test_other_roots(self, root: Path) -> None:
        for name in "abc":
            (root / name).mkdir()
        with started(root / "a", root / "b") as watcher:
            fill(root, "a/1.mp3")
            watcher.set_roots([root / "b", root / "c"])
            assert set(watcher.modes()) == {root / "b", root / "c"}
            assert Told(watcher, lambda told: bool(told.sweep)).sweep == {root / "c"}
            fill(root, "a/2.mp3", "b/3.mp3", "c/4.mp3")
            told(watcher, root, ready={"b/3.mp3", "c/4.mp3"})

    def test_another_filter(self, root: Path) -> None:
        with started(root, keep=lambda path, root, is_folder: path.suffix == ".flac") as watcher:
            fill(root, "a.mp3", "b.flac", data=b"ID3" + MUSIC)
            told(watcher, root, ready={"b.flac"})


class TestWaiting:
    def test_it_costs_next_to_nothing(self, watcher: Watcher) -> None:
        before = time.process_time()
        assert watcher.changes(3) == NONE
        assert time.process_time() - before < 0.03  # with checks 25 times as often as in use

    def test_woken_by_a_thread(self, watcher: Watcher) -> None:
        started_at = time.monotonic()
        threading.Timer(0.1, watcher.wake).start()
        assert watcher.changes(LIMIT) == NONE
        assert time.monotonic() - started_at < LIMIT / 2
        watcher.wake()
        assert watcher.changes(LIMIT) == NONE
        assert time.monotonic() - started_at < LIMIT / 2

    @posix
    def test_woken_by_a_signal(self, watcher: Watcher) -> None:
        before = signal.signal(signal.SIGALRM, lambda *_: watcher.wake())
        try:
            started_at = time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            assert watcher.changes(LIMIT) == NONE
            assert time.monotonic() - started_at < LIMIT / 2
        finally:
            signal.signal(signal.SIGALRM, before)

    def test_a_stream_until_it_is_stopped(self, watcher: Watcher, root: Path) -> None:
        stop = threading.Event()
        fill(root, "a.mp3")
        seen = []
        for changes in watcher.stream(stop, 0.5):
            seen.append(changes)
            if changes:
                stop.set()
        assert seen[-1].ready == {root / "a.mp3"}
        assert not any(seen[:-1])

    @linux_only
    @pytest.mark.parametrize("polled", [False, True])
    def test_nothing_is_left_when_closed(
        self, root: Path, polled: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if polled:
            monkeypatch.setattr(source_module, "why_poll", lambda path, mounted: "a share")
        fill(root, "a/b.mp3", "c/d.mp3")
        process = psutil.Process()
        before = process.num_fds(), threading.active_count()
        with started(root, root / "a") as watcher:
            (root / "a").rename(root.parent / "out")  # so that watchdog keeps a move back
            fill(root, "c/e.mp3")
            assert threading.active_count() > before[1]
            closing = time.monotonic()
        assert time.monotonic() - closing < 1
        assert (process.num_fds(), threading.active_count()) == before
        assert {state.mode for state in watcher.modes().values()} == {Mode.AWAY}


class _Idle(EventEmitter):
    def queue_events(self, timeout: float) -> None:
        self.stopped_event.wait()


class Script:
    """A clock and an observer that say what the test tells them."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.observer = BaseObserver(_Idle)
        self.handlers: list[FileSystemEventHandler] = []

        def schedule(handler: FileSystemEventHandler, path: str, **options: Any) -> Any:
            self.handlers.append(handler)
            return BaseObserver.schedule(self.observer, handler, path, **options)

        self.observer.schedule = schedule  # type: ignore[method-assign, assignment]

    def tell(self, *events: FileSystemEvent) -> None:
        for event in events:
            self.handlers[-1].dispatch(event)


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def scripted(root: Path, script: Script) -> Iterator[Watcher]:
    with Watcher(
        [root], settle_seconds=2, clock=lambda: script.now, observer=lambda _: script.observer
    ) as watcher:
        assert watcher.changes(0) == Changes(sweep=frozenset({root}))
        yield watcher


class TestScripted:
    def test_a_file_that_grows(self, scripted: Watcher, script: Script, root: Path) -> None:
        song = root / "a.mp3"
        for size in range(1, 6):
            fill(root, "a.mp3", data=MUSIC * size)
            script.tell(FileCreatedEvent(str(song)))
            script.now += 2
            assert scripted.changes(0) == NONE  # it had grown since the look before
        script.now += 1.9
        assert scripted.changes(0) == NONE
        script.now += 0.1
        assert scripted.changes(0) == Changes(ready=frozenset({song}))
        script.tell(FileModifiedEvent(str(song)), FileClosedEvent(str(song)))
        script.now += 10
        assert scripted.changes(0) == NONE

    def test_reading(self, scripted: Watcher, script: Script, root: Path) -> None:
        fill(root, "a.mp3")
        script.tell(
            FileOpenedEvent(str(root / "a.mp3")),
            FileClosedNoWriteEvent(str(root / "a.mp3")),
            DirModifiedEvent(str(root)),
            DirCreatedEvent(str(root)),
        )
        assert scripted._inbox.empty()

    def test_a_new_folder_that_tells_of_nothing_in_it(
        self, scripted: Watcher, script: Script, root: Path
    ) -> None:
        fill(root, "a/b/1.mp3", "a/b/.c/2.mp3", "a/3.txt")
        script.tell(DirCreatedEvent(str(root / "a")), DirCreatedEvent(str(root / "a" / "b")))
        assert scripted.changes(0) == NONE
        fill(root, "a/late.mp3")
        script.now += 2
        assert scripted.changes(0) == NONE
        script.now += 2
        assert scripted.changes(0).ready == {root / "a" / "b" / "1.mp3", root / "a" / "late.mp3"}

    def test_deep_folders_are_walked_once(
        self, scripted: Watcher, script: Script, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        walked: list[Path] = []
        monkeypatch.setattr(source_module, "walk", lambda path: walked.append(path) or walk(path))
        folders = [root / "/".join("d" * depth) for depth in range(1, 50)]
        folders[-1].mkdir(parents=True)
        script.tell(*(DirCreatedEvent(str(folder)) for folder in folders))
        script.now += 2
        scripted.changes(0)
        script.now += 2
        scripted.changes(0)
        assert walked == [folders[0]]

    def test_gone_is_what_stays_absent(self, scripted: Watcher, script: Script, root: Path) -> None:
        fill(root, "back.mp3", "c/1.mp3")
        script.tell(
            FileMovedEvent(str(root / "a.mp3"), str(root / ".trash-0")),
            FileDeletedEvent(str(root / "back.mp3")),
            FileDeletedEvent(str(root / "b" / "1.mp3")),
            DirDeletedEvent(str(root / "b")),
            FileDeletedEvent(str(root / "list.m3u")),
            DirMovedEvent(str(root / "z"), str(root / "c")),
        )
        assert scripted.changes(0) == NONE
        script.now += 2
        assert scripted.changes(0).gone == {root / "a.mp3", root / "b", root / "z"}
        script.now += 2
        assert scripted.changes(0).ready == {root / "c" / "1.mp3"}

    def test_deletions_without_end_are_told_in_between(
        self, scripted: Watcher, script: Script, root: Path
    ) -> None:
        gone: set[Path] = set()
        for number in range(100):
            script.tell(FileDeletedEvent(str(root / f"{number}.mp3")))
            gone |= scripted.changes(0).gone
            script.now += 1
        assert len(gone) >= 70

    def test_nothing_is_gone_with_its_root(self, scripted: Watcher, script: Script, root: Path) -> None:
        script.tell(FileDeletedEvent(str(root / "a.mp3")))
        scripted.changes(0)
        root.rmdir()
        script.tell(DirDeletedEvent(str(root)))
        script.now += 2
        assert scripted.changes(0) == NONE
        assert scripted.modes()[root].mode is Mode.AWAY

    def test_a_name_from_before_a_folder_was_moved_away(
        self, scripted: Watcher, script: Script, root: Path
    ) -> None:
        script.tell(FileClosedEvent(str(root / "a" / "1.mp3")), FileCreatedEvent(str(root / "a" / "2.mp3")))
        script.tell(FileClosedEvent(str(root.parent / "1.mp3")))
        script.now += 4
        assert scripted.changes(0) == NONE

    def test_what_cannot_be_opened_is_told(
        self, scripted: Watcher, script: Script, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The scan finds the reason."""

        def refuse(path: Path) -> bool:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(source_module, "is_complete", refuse)
        fill(root, "a.mp3")
        script.tell(FileCreatedEvent(str(root / "a.mp3")))
        scripted.changes(0)
        script.now += 2
        assert scripted.changes(0).ready == {root / "a.mp3"}

    def test_ten_thousand_files_cost_ten_times_a_thousand(
        self, scripted: Watcher, script: Script, root: Path
    ) -> None:
        """Counted, not timed: each is looked at thrice, at its event, when due and when told."""
        names = [f"{number}.mp3" for number in range(10_000)]
        fill(root, *names, data=MUSIC[:10])
        for name in names:
            script.tell(FileCreatedEvent(str(root / name)), FileClosedEvent(str(root / name)))
        found = scripted._found
        looks = 0

        def count(path: Path) -> Found | None:
            nonlocal looks
            looks += 1
            return found(path)

        scripted._found = count  # type: ignore[method-assign]
        assert scripted.changes(0) == NONE
        script.now += 2
        assert len(scripted.changes(0).ready) == 10_000
        assert looks == 30_000

    def test_closing_twice(self, scripted: Watcher) -> None:
        scripted.close()
        scripted.close()
