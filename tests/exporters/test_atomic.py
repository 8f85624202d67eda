"""An edit replaces a file whole, keeps what belongs to it, and on any trouble leaves it as it was."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exporters import atomic
from exporters.atomic import Times, edit_file
from exporters.filesystem import hash_file
from exporters.journal import TEMP_NAME, Journal
from exporters.undo import undo
from moodzone_agent.errors import FileChangedError, FileError, JournalError, TagError

ROOT = Path(__file__).resolve().parents[2]
OLD = b"TAG old" + bytes(range(256)) * 50
NEW = b"TAG new and longer" + OLD[7:]
OLD_TIME = 1_500_000_000_123_456_789
NOBODY = 65534

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="as Linux does it")
root_only = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to mount or to drop it"
)


def to_new(copy: Path) -> None:
    copy.write_bytes(NEW)


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    return folder


@pytest.fixture
def track(music: Path) -> Path:
    path = music / "track.mp3"
    path.write_bytes(OLD)
    os.utime(path, ns=(OLD_TIME, OLD_TIME))
    return path


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


def edit(
    journal: Journal, path: Path, change: Callable[[Path], None] = to_new, times: Times = Times.NUDGE
) -> bool:
    with journal.start("write") as run:
        return edit_file(path, change, run, times=times)


def refused(journal: Journal, path: Path, change: Callable[[Path], None] = to_new) -> str:
    """The reason why an edit failed; the file and its folder were seen to be as before."""
    before, names = path.read_bytes(), sorted(path.parent.iterdir())
    with pytest.raises(FileError) as caught:
        edit(journal, path, change)
    assert path.read_bytes() == before
    assert sorted(path.parent.iterdir()) == names
    assert journal.runs() == []
    return str(caught.value)


def run_python(code: str, *arguments: object) -> str:
    """Run code in a process of its own, which may limit itself or drop root; returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(code), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


PRELUDE = """
import os, sys
from pathlib import Path
from exporters.atomic import edit_file
from exporters.journal import Journal
from moodzone_agent.errors import FileError, JournalError
journal, path = Journal(Path(sys.argv[1])), Path(sys.argv[2])

def edit(change):
    try:
        with journal.start("write") as run:
            print(edit_file(path, change, run))
    except (FileError, JournalError) as error:
        print(f"{type(error).__name__}: {error}")
"""


EDIT_AS_NOBODY = f"""
os.setgroups([]), os.setgid({NOBODY}), os.setuid({NOBODY})
edit(lambda copy: copy.write_bytes(b"new"))
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may write to; pytest's own are closed to them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


def test_replaces_the_file(journal: Journal, track: Path) -> None:
    seen = []

    def look(copy: Path) -> None:
        seen.append(copy)
        assert track.read_bytes() == copy.read_bytes() == OLD
        to_new(copy)
        assert track.read_bytes() == OLD

    assert edit(journal, track, look)
    assert track.read_bytes() == NEW
    assert list(track.parent.iterdir()) == [track]
    assert seen[0].parent == track.parent
    assert TEMP_NAME.fullmatch(seen[0].name)
    (entry,) = journal.entries(1)
    assert entry.old_sha256 == hashlib.sha256(OLD).hexdigest()
    assert entry.new_sha256 == hashlib.sha256(NEW).hexdigest()


def test_an_edit_that_changes_nothing_writes_nothing(journal: Journal, track: Path) -> None:
    before = track.stat()
    assert not edit(journal, track, lambda copy: copy.touch())
    assert not edit(journal, track, lambda copy: None)
    after = track.stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_ctime_ns) == (
        before.st_ino,
        before.st_mtime_ns,
        before.st_ctime_ns,
    )
    assert journal.runs() == []


def test_times(journal: Journal, track: Path) -> None:
    edit(journal, track, times=Times.NUDGE)
    assert track.stat().st_mtime_ns == OLD_TIME + 2_000_000_000
    edit(journal, track, lambda copy: void(copy.write_bytes(OLD)), times=Times.KEEP)
    assert track.stat().st_mtime_ns == OLD_TIME + 2_000_000_000
    before = time.time_ns()
    edit(journal, track, times=Times.NOW)
    assert before - 1_000_000_000 <= track.stat().st_mtime_ns <= time.time_ns()


def void(_: object) -> None:
    pass


def test_nudge_keeps_the_order_by_date(journal: Journal, music: Path) -> None:
    tracks = [music / name for name in "dacb"]
    for index, path in enumerate(tracks):
        path.write_bytes(OLD)
        os.utime(path, ns=(OLD_TIME, OLD_TIME + index))
    for path in tracks:
        edit(journal, path)
    assert sorted(music.iterdir(), key=lambda path: path.stat().st_mtime_ns) == tracks


@linux_only
def test_mode_and_extended_attributes_are_kept(journal: Journal, track: Path) -> None:
    track.chmod(0o640)
    try:
        os.setxattr(track, "user.rating", b"5 stars\x00")
    except OSError:
        pytest.skip("a file system without extended attributes")
    edit(journal, track)
    assert stat.S_IMODE(track.stat().st_mode) == 0o640
    assert os.getxattr(track, "user.rating") == b"5 stars\x00"


@linux_only
def test_the_access_list_is_kept_and_none_is_added(journal: Journal, track: Path) -> None:
    def access_list(user: int) -> bytes:
        """Owner and user may read and write: version 2, then tag, rights and id of each entry."""
        entries = [(1, 6, -1), (2, 6, user), (4, 4, -1), (16, 6, -1), (32, 4, -1)]
        return (2).to_bytes(4, "little") + b"".join(
            tag.to_bytes(2, "little")
            + rights.to_bytes(2, "little")
            + (who & 0xFFFF_FFFF).to_bytes(4, "little")
            for tag, rights, who in entries
        )

    plain = track.with_name("plain.mp3")
    plain.write_bytes(OLD)
    try:
        os.setxattr(track.parent, "system.posix_acl_default", access_list(4321))
        os.setxattr(track, "system.posix_acl_access", access_list(1234))
    except OSError:
        pytest.skip("a file system without access lists")
    edit(journal, track)
    edit(journal, plain)
    assert os.getxattr(track, "system.posix_acl_access") == access_list(1234)
    assert os.listxattr(plain) == []


@root_only
def test_the_owner_is_kept(journal: Journal, track: Path) -> None:
    os.chown(track, 1234, 4321)
    edit(journal, track)
    assert (track.stat().st_uid, track.stat().st_gid) == (1234, 4321)


@pytest.mark.parametrize(
    "name", ["ü" * 120, "new\nline 🎧.mp3", os.fsdecode(b"latin-\xe9.mp3"), ".hidden", " "]
)
def test_any_name(journal: Journal, music: Path, name: str) -> None:
    try:
        (music / name).write_bytes(OLD)
    except OSError:
        pytest.skip("not a name on this system")
    assert edit(journal, music / name)
    assert (music / name).read_bytes() == NEW
    assert journal.entries(1)[0].path == (music / name).resolve()


def test_an_error_of_the_edit_passes_and_leaves_the_file(journal: Journal, track: Path) -> None:
    def fail(copy: Path) -> None:
        to_new(copy)
        raise TagError("cannot be spliced")

    assert refused(journal, track, fail) == "cannot be spliced"


def test_an_interrupt_leaves_the_file(journal: Journal, track: Path) -> None:
    def interrupt(copy: Path) -> None:
        to_new(copy)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        edit(journal, track, interrupt)
    assert track.read_bytes() == OLD
    assert list(track.parent.iterdir()) == [track]


@pytest.mark.parametrize("moment", ["before the edit", "after the edit", "in place, with the old time"])
def test_what_another_program_wrote_meanwhile_stays(journal: Journal, track: Path, moment: str) -> None:
    theirs = b"TAG of another program" + OLD[22:]

    def meddle(copy: Path) -> None:
        if moment == "after the edit":
            to_new(copy)
        before = track.stat()
        with track.open("r+b") as file:
            file.write(theirs)
        if moment == "in place, with the old time":
            os.utime(track, ns=(before.st_atime_ns, before.st_mtime_ns))
        if moment != "after the edit":
            to_new(copy)

    with pytest.raises(FileChangedError):
        edit(journal, track, meddle)
    assert track.read_bytes() == theirs
    assert list(track.parent.iterdir()) == [track]
    assert journal.runs() == []


def test_a_file_that_another_program_replaced_meanwhile_stays(journal: Journal, track: Path) -> None:
    def meddle(copy: Path) -> None:
        to_new(copy)
        other = track.with_name("other")
        shutil.copy2(track, other)
        other.replace(track)

    with pytest.raises(FileChangedError):
        edit(journal, track, meddle)
    assert track.read_bytes() == OLD


def test_a_change_within_one_tick_of_a_coarse_clock_is_noticed(track: Path) -> None:
    old_sha256 = hash_file(track)
    track.write_bytes(NEW)
    with pytest.raises(FileChangedError):
        atomic._check_unchanged(track, track.stat(), old_sha256)


def test_an_interrupt_right_after_the_replacement_does_not_lose_the_way_back(
    journal: Journal, track: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def replace_and_interrupt(source: Path, target: Path) -> None:
        replace(source, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", replace_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        edit(journal, track)
    monkeypatch.undo()
    assert track.read_bytes() == NEW
    undo(journal, take_out=lambda copy, entry: None)
    assert track.read_bytes() == OLD


def test_a_file_that_vanished_meanwhile_does_not_come_back(journal: Journal, track: Path) -> None:
    def meddle(copy: Path) -> None:
        to_new(copy)
        track.rename(track.with_name("moved.mp3"))

    with pytest.raises(FileError, match="vanished"):
        edit(journal, track, meddle)
    assert list(track.parent.iterdir()) == [track.with_name("moved.mp3")]


def test_missing_file(journal: Journal, music: Path) -> None:
    with pytest.raises(FileError, match="vanished"):
        edit(journal, music / "missing.mp3")


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a right there")
def test_a_symbolic_link_stays_and_its_target_is_edited(
    journal: Journal, track: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link.mp3"
    link.symlink_to(track)
    assert edit(journal, link)
    assert link.is_symlink()
    assert track.read_bytes() == NEW
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(FileError, match="symbolic link"):
        edit(journal, loop)


def test_hard_links_are_refused(journal: Journal, track: Path) -> None:
    os.link(track, track.with_name("same.mp3"))
    assert "2 hard links" in refused(journal, track)


def test_a_hard_link_made_meanwhile_is_refused(journal: Journal, track: Path) -> None:
    def meddle(copy: Path) -> None:
        to_new(copy)
        os.link(track, track.with_name("same.mp3"))

    with pytest.raises(FileChangedError):
        edit(journal, track, meddle)
    assert track.samefile(track.with_name("same.mp3"))


def test_a_file_marked_read_only_is_refused_even_for_root(journal: Journal, track: Path) -> None:
    track.chmod(0o444)
    assert "read-only" in refused(journal, track)
    track.chmod(0o644)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_special_files_are_refused(journal: Journal, music: Path) -> None:
    os.mkfifo(music / "pipe.mp3")
    for path in (music / "pipe.mp3", music):
        with pytest.raises(FileError, match="regular"):
            edit(journal, path)


@root_only
@pytest.mark.parametrize(
    ("mode", "folder_mode", "reason"),
    [
        (0o644, 0o777, "read-only"),
        (0o666, 0o755, "in a read-only folder"),
        (0o666, 0o1777, "belongs to another"),
    ],
    ids=["file", "folder", "sticky folder"],
)
def test_no_permission(open_folder: Path, mode: int, folder_mode: int, reason: str) -> None:
    music = open_folder / "music"
    music.mkdir()
    track = music / "track.mp3"
    track.write_bytes(OLD)
    track.chmod(mode)
    music.chmod(folder_mode)
    said = run_python(
        EDIT_AS_NOBODY,
        open_folder / "journal",
        track,
    )
    assert said.startswith(f"FileError: {reason}")
    assert track.read_bytes() == OLD
    assert list(music.iterdir()) == [track]


@root_only
def test_a_file_that_would_change_its_owner_is_refused(open_folder: Path) -> None:
    music = open_folder / "music"
    music.mkdir()
    track = music / "track.mp3"
    track.write_bytes(OLD)
    track.chmod(0o666)
    os.chown(music, NOBODY, NOBODY)
    said = run_python(
        EDIT_AS_NOBODY,
        open_folder / "journal",
        track,
    )
    assert said.startswith("FileError: belongs to another user")
    assert (track.stat().st_uid, track.read_bytes()) == (0, OLD)
    assert list(music.iterdir()) == [track]


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
@pytest.mark.parametrize("moment", ["copy", "edit"])
def test_a_copy_that_does_not_fit(journal: Journal, track: Path, moment: str) -> None:
    track.write_bytes(bytes(100_000))
    limit = 50_000 if moment == "copy" else 150_000
    said = run_python(
        f"""
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
        edit(lambda copy: copy.write_bytes(bytes(200_000)))
        """,
        journal.folder,
        track,
    )
    assert said.startswith("FileError: larger than its drive")
    assert track.read_bytes() == bytes(100_000)
    assert list(track.parent.iterdir()) == [track]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 200 KB in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("cannot mount a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


@root_only
@linux_only
def test_the_musics_disk_is_full(journal: Journal, small_disk: Path) -> None:
    track = small_disk / "track.mp3"
    track.write_bytes(bytes(120_000))
    assert refused(journal, track).startswith("disk full")


@root_only
@linux_only
def test_the_journals_disk_is_full(small_disk: Path, track: Path) -> None:
    # First the patch does not fit, then not even the promise to touch the file.
    noise = os.urandom(400_000)
    track.write_bytes(noise)
    with pytest.raises(JournalError, match="No space left"):
        edit(Journal(small_disk / "journal"), track)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    with pytest.raises(JournalError, match="No space left"):
        edit(Journal(small_disk / "journal"), track)
    assert track.read_bytes() == noise
    assert list(track.parent.iterdir()) == [track]
    filler.unlink()
    assert edit(Journal(small_disk / "journal"), track, lambda copy: void(copy.write_bytes(noise + b"tag")))


@root_only
@linux_only
def test_the_drive_is_read_only(journal: Journal, small_disk: Path) -> None:
    track = small_disk / "track.mp3"
    track.write_bytes(OLD)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert "read-only" in refused(journal, track)


@linux_only
def test_everything_is_on_the_medium_in_the_order_that_a_power_cut_needs(
    journal: Journal, track: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noting_fsync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        events.append(TEMP_NAME.sub("copy", name))
        fsync(descriptor)

    def noting_replace(source: Path, target: Path) -> None:
        events.append("replace")
        replace(source, target)

    def noting_edit(copy: Path) -> None:
        events.append("edit")
        to_new(copy)

    with journal.start("write") as run:
        monkeypatch.setattr(os, "fsync", noting_fsync)
        monkeypatch.setattr(os, "replace", noting_replace)
        edit_file(track, noting_edit, run)
        monkeypatch.undo()
    assert events == ["run.jsonl", "edit", "patches", "run.jsonl", "copy", "replace", track.parent.name]


def test_importing_it_is_cheap() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", f"import sys, {atomic.__name__}; print('numpy' in sys.modules)"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout.strip() == "False"
