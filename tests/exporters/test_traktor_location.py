"""A LOCATION is spelled as Traktor spells it, and names the path that it was made of."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from exporters.base import comparable
from exporters.traktor.location import SYSTEM, Location, from_location, system_volumes, to_location
from exporters.xml.splice import parse

HERE = frozenset({SYSTEM})

letters = st.sampled_from([":", " ", "&", "é", "e\u0301", "😀", '"', "|"])
posix_names = (
    st.lists(letters | st.characters(exclude_characters="/\0\\", codec="utf-8"), min_size=1, max_size=12)
    .map("".join)
    .filter(lambda name: name not in {".", ".."})
)
posix_paths = st.builds(
    lambda root, names: PurePosixPath(root, *names),
    st.sampled_from(["/", "/Users/dj", "/Volumes/My Drive", "/Volumes/a:b"]),
    st.lists(posix_names, min_size=1, max_size=5),
)
windows_names = st.text(
    st.characters(codec="utf-8", exclude_characters='<>:"/\\|?*', exclude_categories=["Cc", "Cs"]),
    min_size=1,
    max_size=12,
).filter(lambda name: name.strip("."))
windows_paths = st.builds(
    lambda root, names: PureWindowsPath(root, *names),
    st.sampled_from(["C:/", "d:/"]),
    st.lists(windows_names, min_size=1, max_size=5),
)


@given(posix_paths | windows_paths)
def test_round_trip(path: PurePath) -> None:
    assume(not path.is_relative_to(f"/Volumes/{SYSTEM}"))
    location = to_location(path)
    back = from_location(location, HERE)
    assert back is not None
    assert type(back) is type(path)
    assert str(back) == str(path)
    assert to_location(back) == location


@given(posix_paths)
def test_a_path_is_the_same_however_it_is_composed(path: PurePosixPath) -> None:
    assume(not path.is_relative_to(f"/Volumes/{SYSTEM}"))
    spelled = Location(*(unicodedata.normalize("NFD", text) for text in to_location(path)))
    back = from_location(spelled, HERE)
    assert back is not None
    assert comparable(back) == comparable(path)


pieces = st.lists(st.sampled_from(["/", ":", "/:", "//", "a", "..", ".", "\\", "D:", "\0", "é"])).map("".join)


@given(pieces, pieces, pieces)
def test_reading_takes_any_text(folder: str, file: str, volume: str) -> None:
    path = from_location(Location(folder, file, volume), HERE)
    assert path is None or (path.is_absolute() and ".." not in path.parts)


@given(pieces, pieces, pieces)
def test_what_is_read_is_written_again(folder: str, file: str, volume: str) -> None:
    location = Location(folder, file, volume)
    path = from_location(location, HERE)
    if path is not None:
        again = from_location(to_location(path), HERE)
        assert again == path


@pytest.mark.parametrize(
    ("path", "location"),
    [
        (PurePosixPath("/Users/dj/a b & c.mp3"), ("/:Users/:dj/:", "a b & c.mp3", SYSTEM)),
        (PurePosixPath("/Users/dj/AC:DC/12:30.mp3"), ("/:Users/:dj/:AC//DC/:", "12//30.mp3", SYSTEM)),
        (PurePosixPath("/a.mp3"), ("/:", "a.mp3", SYSTEM)),
        (PurePosixPath("/Volumes/USB 1/House/a.mp3"), ("/:House/:", "a.mp3", "USB 1")),
        (PurePosixPath("/Volumes/USB/a.mp3"), ("/:", "a.mp3", "USB")),
        (PurePosixPath("/Volumes/a.mp3"), ("/:Volumes/:", "a.mp3", SYSTEM)),
        (PureWindowsPath(r"D:\Music\a.mp3"), ("/:Music/:", "a.mp3", "D:")),
        (PureWindowsPath("C:/😀.mp3"), ("/:", "😀.mp3", "C:")),
    ],
)
def test_spelling(path: PurePath, location: tuple[str, str, str]) -> None:
    assert to_location(path) == Location(*location)
    assert from_location(Location(*location), HERE) == path


@pytest.mark.parametrize(
    "location",
    [
        ("", "a.mp3", "D:"),
        ("/:Music", "a.mp3", "D:"),
        ("/:Music/:", "", "D:"),
        ("/:Music/:", "a.mp3", ""),
        ("/:../:", "a.mp3", "D:"),
        ("/:Music/:", "..", SYSTEM),
        ("/:a/b/:", "c.mp3", SYSTEM),
        ("Music/:", "a.mp3", "D:"),
        ("/:a//b/:", "c.mp3", "D:"),
        ("/:Music/:", "a.mp3", "\\\\NAS\\music"),
        ("/:Music/:", "a\0.mp3", SYSTEM),
    ],
)
def test_what_names_no_file(location: tuple[str, str, str]) -> None:
    assert from_location(Location(*location), HERE) is None


@pytest.mark.parametrize(
    "path",
    [
        PurePosixPath("a.mp3"),
        PurePosixPath("/"),
        PureWindowsPath("C:/"),
        PureWindowsPath("//nas/music/a.mp3"),
    ],
)
def test_what_cannot_be_spelled(path: PurePath) -> None:
    with pytest.raises(ValueError, match="not a file of a volume"):
        to_location(path)


def test_the_systems_volume_is_known_by_its_link(tmp_path: Path) -> None:
    (tmp_path / "My Mac").symlink_to("/")
    (tmp_path / "USB").mkdir()
    assert system_volumes(tmp_path) == {"My Mac"}
    (tmp_path / "My Mac").unlink()
    assert system_volumes(tmp_path) == system_volumes(tmp_path / "none") == {SYSTEM}


def test_the_same_volume_is_a_drive_on_another_machine() -> None:
    location = Location("/:Users/:dj/:", "a.mp3", "osx")
    assert from_location(location, {"osx"}) == PurePosixPath("/Users/dj/a.mp3")
    assert from_location(location, HERE) == PurePosixPath("/Volumes/osx/Users/dj/a.mp3")


@pytest.mark.shared
def test_the_locations_of_real_collections_are_spelled_alike(shared: Path) -> None:
    """They come from Windows and macOS, Traktor 2 and 3."""
    count = 0
    for file in (shared / "fixtures" / "dj" / "traktor" / "nml19").glob("*.nml"):
        collection = parse(file.read_bytes()).root.child("COLLECTION")
        for entry in collection.children if collection is not None else ():
            found = entry.child("LOCATION")
            assert found is not None
            location = Location(*(found.attributes[name] for name in ("DIR", "FILE", "VOLUME")))
            path = from_location(location, HERE)
            if path is None:
                assert location.folder == "xxxx"  # its donor left the path out
                continue
            assert to_location(path) == location
            count += 1
    assert count > 150
