from __future__ import annotations

import inspect
import json
import os
import socket
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moodzone_agent import walk as walk_module
from moodzone_agent.walk import Found, Skip, Skipped, Unreadable, is_passed_over, look, walk

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX only")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path.resolve() / "music"
    root.mkdir()
    return root


def fill(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def found(root: Path) -> list[str]:
    return [str(item.path.relative_to(root)) for item in walk(root) if isinstance(item, Found)]


def skipped(root: Path) -> dict[str, Skip]:
    return {str(item.path.relative_to(root)): item.why for item in walk(root) if isinstance(item, Skipped)}


def test_order_depends_on_names_only(root: Path) -> None:
    fill(root, "b.mp3", "z/1.mp3", "a/2.mp3", "a.mp3", "a/b/3.mp3", "a/1.mp3", "B.mp3")
    assert found(root) == ["B.mp3", "a.mp3", "b.mp3", "a/1.mp3", "a/2.mp3", "a/b/3.mp3", "z/1.mp3"]


def test_which_files_are_worth_opening(root: Path) -> None:
    endings = [
        "mp3",
        "flac",
        "wav",
        "wave",
        "aif",
        "aiff",
        "aifc",
        "m4a",
        "mp4",
        "aac",
        "ogg",
        "oga",
        "opus",
        "MP3",
    ]
    audio = {f"{ending}.{ending}" for ending in endings}
    unknown = {"no ending", "song.wma", "song.mp3.bak", "trailing."}
    other = {"cover.jpg", "list.m3u8", "disc.cue", "song.mp3.asd", "collection.nml", "readme.TXT", "film.mkv"}
    fill(root, *audio, *unknown, *other)
    items = list(walk(root))
    assert {item.path.name: item.sniff for item in items if isinstance(item, Found)} == {
        **dict.fromkeys(audio, False),
        **dict.fromkeys(unknown, True),
    }
    assert [item for item in items if not isinstance(item, Found)] == [
        Skipped(root, Skip.NOT_MUSIC, len(other))
    ]


def test_empty_files_are_found(root: Path) -> None:
    (root / "empty.mp3").touch()
    [item] = walk(root)
    assert isinstance(item, Found)
    assert item.stat.st_size == 0


def test_what_is_left_alone_and_why(root: Path) -> None:
    expected = {
        "._song.mp3": Skip.APPLE_DOUBLE,
        ".hidden.mp3": Skip.HIDDEN,
        ".git/song.mp3": Skip.HIDDEN,
        "@eaDir/song.mp3": Skip.HIDDEN,
        ".Trash-1000/song.mp3": Skip.TRASH,
        ".Trashes/song.mp3": Skip.TRASH,
        "$RECYCLE.BIN/song.mp3": Skip.TRASH,
        "System Volume Information/song.mp3": Skip.TRASH,
        "song.mp3.part": Skip.DOWNLOAD,
        "song.mp3.crdownload": Skip.DOWNLOAD,
        "song.tmp": Skip.DOWNLOAD,
        "safari.mp3.download/song.mp3": Skip.DOWNLOAD,
        ".song.mp3.icloud": Skip.PLACEHOLDER,
        "PIONEER/USBANLZ/P001/ANLZ0000.mp3": Skip.PLAYER_DATA,
        "Engine Library/Database2/song.mp3": Skip.PLAYER_DATA,
    }
    kept = [
        "Contents/song.mp3",
        "Engine Library/Music/song.mp3",
        "Pioneer/song.mp3",
        "mix.part/song.mp3",
        "trash.mp3",
    ]
    fill(root, *expected, *kept)
    assert sorted(found(root)) == sorted(kept)
    outermost = skipped(root)
    for name, why in expected.items():
        parts = Path(name).parts
        assert why in {outermost.get("/".join(parts[:length])) for length in range(1, len(parts) + 1)}, name
    assert len(outermost) == len(expected)


def test_what_is_named_outright_is_looked_at(root: Path) -> None:
    fill(root, ".hidden/.song", "cover.jpg")
    [hidden] = walk(root / ".hidden" / ".song")
    [picture] = walk(root / "cover.jpg")
    assert isinstance(hidden, Found)
    assert isinstance(picture, Found)
    assert hidden.sniff
    assert picture.sniff
    fill(root / ".hidden", "song.mp3")
    assert found(root / ".hidden") == ["song.mp3"]


def test_a_root_that_is_not_there(root: Path) -> None:
    [item] = walk(root / "nowhere")
    assert isinstance(item, Unreadable)
    assert item.reason


def test_a_look_at_one_path_agrees_with_the_walk(root: Path) -> None:
    fill(
        root,
        "1.mp3",
        "a/2.mp3",
        "a/.b/3.mp3",
        "a/4.mp3.part",
        "cover.jpg",
        "x.download/5.mp3",
        "PIONEER/6.mp3",
    )
    fill(root, "PIONEER/rekordbox/7.mp3", "c/._8.mp3", "c/9.mp3")
    if os.name != "nt":
        (root / "link.mp3").symlink_to("a/2.mp3")
        (root / "a" / "up").symlink_to("..")
    walked = set(found(root))
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        seen = look(path, root)
        assert (isinstance(seen, Found) and seen.path == path) == (name in walked), name
        if path.is_dir() and not path.is_symlink():
            entered = isinstance(seen, Path)
            assert entered != is_passed_over(path, root, is_folder=True), name
            assert entered == any(walked_name.startswith(f"{name}/") for walked_name in walked), name
        elif not path.is_symlink():
            assert is_passed_over(path, root, is_folder=False) == (name not in walked), name
    assert look(root / "nowhere.mp3", root) is None
    assert isinstance(look(root / "a" / ".b" / "3.mp3", root / "a" / ".b"), Found)
    assert is_passed_over(root / "was.mp3.crdownload", root, is_folder=False)
    assert not is_passed_over(root / "was.mp3", root, is_folder=False)


@posix
class TestLinks:
    def test_links_to_folders_are_not_followed(self, root: Path) -> None:
        fill(root, "a/song.mp3")
        (root / "a" / "up").symlink_to("..")
        (root / "again").symlink_to("a")
        assert found(root) == ["a/song.mp3"]
        assert skipped(root) == {"a/up": Skip.FOLDER_LINK, "again": Skip.FOLDER_LINK}

    def test_a_link_as_root_is_followed(self, root: Path) -> None:
        fill(root, "a/song.mp3")
        (root / "link").symlink_to("a")
        assert [item.path for item in walk(root / "link")] == [root / "a" / "song.mp3"]

    def test_a_link_to_a_file_stands_for_its_target_once(self, root: Path) -> None:
        fill(root, "song.mp3")
        fill(root.parent, "elsewhere/far.mp3")
        (root / "1.mp3").symlink_to("song.mp3")
        for name in ("2.mp3", "3.mp3"):
            (root / name).symlink_to("../elsewhere/far.mp3")
        paths = [item.path for item in walk(root) if isinstance(item, Found)]
        assert paths == [root.parent / "elsewhere" / "far.mp3", root / "song.mp3"]
        assert skipped(root) == {"1.mp3": Skip.FILE_LINK, "3.mp3": Skip.FILE_LINK}

    def test_a_target_in_a_folder_that_is_skipped_is_found_by_its_link(self, root: Path) -> None:
        fill(root, ".store/song.mp3")
        (root / "song.mp3").symlink_to(".store/song.mp3")
        assert found(root) == [".store/song.mp3"]

    def test_links_that_lead_nowhere(self, root: Path) -> None:
        (root / "gone.mp3").symlink_to("nothing")
        (root / "round.mp3").symlink_to("round.mp3")
        assert skipped(root) == {"gone.mp3": Skip.DANGLING, "round.mp3": Skip.DANGLING}


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or not which("mount"), reason="mounts a folder"
)
def test_a_folder_that_holds_itself_is_entered_once(root: Path) -> None:
    """As on a share whose server resolves links, here by a bind mount."""
    fill(root, "a/song.mp3", "a/self/keep")
    inner = root / "a" / "self"
    if subprocess.run(["mount", "--bind", root, inner], check=False, capture_output=True).returncode:
        pytest.skip("may not mount")
    try:
        assert found(root) == ["a/song.mp3"]
        assert skipped(root) == {"a/self": Skip.LOOP}
    finally:
        subprocess.run(["umount", inner], check=True)


@posix
def test_pipes_sockets_and_devices_are_never_opened(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(root / "pipe.mp3")
    (root / "null.mp3").symlink_to("/dev/null")
    (root / "link.mp3").symlink_to("pipe.mp3")
    monkeypatch.chdir(root)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.mp3")
        assert set(skipped(root).values()) == {Skip.SPECIAL}
        assert len(skipped(root)) == 4
        assert found(root) == []
        assert list(walk(root / "pipe.mp3")) == [Skipped(root / "pipe.mp3", Skip.SPECIAL)]


@pytest.mark.skipif(sys.platform != "linux", reason="sparse files")
def test_a_file_without_a_block_is_a_placeholder_unless_it_is_small(root: Path) -> None:
    for name, size in (("cloud.mp3", 1 << 20), ("small.mp3", 4096)):
        with (root / name).open("wb") as file:
            file.truncate(size)
    fill(root, "real.mp3")
    if (root / "cloud.mp3").stat().st_blocks:
        pytest.skip("the file system has no sparse files")
    assert found(root) == ["real.mp3", "small.mp3"]
    assert skipped(root) == {"cloud.mp3": Skip.PLACEHOLDER}


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"st_flags": 0x40000000}, Skip.PLACEHOLDER),
        ({"st_file_attributes": 0x400000}, Skip.PLACEHOLDER),
        ({"st_file_attributes": 0x1000}, Skip.PLACEHOLDER),
        ({"st_file_attributes": 0x2}, Skip.HIDDEN),
        ({"st_reparse_tag": 0xA0000003}, Skip.FOLDER_LINK),
        ({"st_file_attributes": 0x20, "st_flags": 0, "st_reparse_tag": 0}, None),
    ],
)
def test_attributes_of_macos_and_windows(attributes: dict[str, int], expected: Skip | None) -> None:
    class Status:
        st_mode, st_size, st_blocks = 0o100644, 1 << 20, 2048

    for name, value in attributes.items():
        setattr(Status, name, value)
    assert walk_module._skip_by_status(Status()) is expected  # type: ignore[arg-type]


@posix
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(
    st.sets(
        st.binary(min_size=1, max_size=246).filter(
            lambda name: not set(name) & set(b"/\0") and name[:1] != b"."
        ),
        max_size=6,
    )
)
def test_every_name_is_found(root: Path, names: set[bytes]) -> None:
    with TemporaryDirectory(dir=root) as home:
        folder = Path(home) / os.fsdecode("Ünïcode 🎛 \n".encode() + b"\xff")
        folder.mkdir()
        for name in names:
            (folder / os.fsdecode(name + b".mp3")).touch()
        assert {os.fsencode(item.path.name) for item in walk(Path(home))} == {
            name + b".mp3" for name in names
        }


def test_a_deep_tree_needs_no_recursion(root: Path) -> None:
    depth = 50 if os.name == "nt" else 300
    fill(root, "d/" * depth + "song.mp3")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 40)
    try:
        paths = [item.path for item in walk(root)]
    finally:
        sys.setrecursionlimit(limit)
    assert [len(path.relative_to(root).parts) for path in paths] == [depth + 1]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, as pytest's own is not."""
    with TemporaryDirectory() as name:
        folder = Path(name).resolve()
        folder.chmod(0o755)
        yield folder


@posix
def test_folders_that_cannot_be_read_are_told_and_the_walk_goes_on(open_folder: Path) -> None:
    fill(open_folder, "a/song.mp3", "shut/song.mp3", "listed/song.mp3", "z.mp3")
    (open_folder / "shut").chmod(0)
    (open_folder / "listed").chmod(0o744)  # its names can be read by others, but nothing about them
    code = """
        import json, os, sys
        from pathlib import Path
        from moodzone_agent.walk import walk
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        else:
            Path(sys.argv[1], "listed").chmod(0o400)
        for item in walk(Path(sys.argv[1])):
            print(json.dumps([type(item).__name__, str(item.path), getattr(item, "reason", "")]))
        """
    try:
        told = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), open_folder],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(walk_module.__file__).parents[1],
        ).stdout
    finally:
        for name in ("shut", "listed"):
            (open_folder / name).chmod(0o755)
    assert [json.loads(line) for line in told.splitlines()] == [
        ["Found", str(open_folder / "z.mp3"), ""],
        ["Found", str(open_folder / "a/song.mp3"), ""],
        ["Unreadable", str(open_folder / "listed/song.mp3"), "Permission denied"],
        ["Unreadable", str(open_folder / "shut"), "Permission denied"],
    ]


@pytest.mark.shared
def test_every_file_of_a_real_collection_is_accounted_for(shared: Path) -> None:
    audio = shared / "data" / "deam" / "MEMD_audio"
    if not audio.is_dir():
        pytest.skip("needs DEAM")
    count = Counter(type(item) for item in walk(audio))
    assert count[Found] == sum(path.suffix == ".opus" for path in audio.iterdir()) == 1802
