"""A Location is spelled as rekordbox spells it, and names the path that it was made of."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.base import comparable
from exporters.rekordbox.location import from_location, to_location
from exporters.xml.splice import parse
from moodzone_agent.errors import CollectionError

posix_names = st.binary(min_size=1, max_size=20).filter(lambda name: not {0, 47} & {*name})
posix_paths = st.lists(posix_names, max_size=5).map(
    lambda names: PurePosixPath("/", *(name.decode("utf-8", "surrogateescape") for name in names))
)
windows_names = st.text(
    st.characters(codec="utf-8", exclude_characters='<>:"/\\|?*', exclude_categories=["Cc", "Cs"]),
    min_size=1,
    max_size=20,
).filter(lambda name: name.strip("."))
windows_roots = st.sampled_from(["C:/", "d:/", "//server/share/", "//NAS_1/größe (2)/", "//?/C:/"])
windows_paths = st.builds(
    lambda root, names: PureWindowsPath(root, *names), windows_roots, st.lists(windows_names, max_size=5)
)


@given(posix_paths | windows_paths)
def test_round_trip(path: PurePath) -> None:
    location = to_location(path)
    back = from_location(location)
    assert back is not None
    assert type(back) is type(path)
    assert str(back) == str(path)
    assert location.isascii()
    assert to_location(back) == location


@given(st.text())
def test_reading_takes_any_text(text: str) -> None:
    for location in (text, f"file://{text}", f"file://localhost{text}", f"file://localhost/{text}"):
        path = from_location(location)
        assert path is None or path.is_absolute()


@pytest.mark.parametrize(
    ("path", "location"),
    [
        (PurePosixPath("/Users/dj/a b & c's [d].mp3"), "/Users/dj/a%20b%20%26%20c%27s%20%5bd%5d.mp3"),
        (PurePosixPath("/!#$()+,-./@_"), "/!#$()+,-./@_"),
        (PurePosixPath('/~:;=?*%"'), "/%7e%3a%3b%3d%3f%2a%25%22"),
        (PurePosixPath("/é/e\u0301"), "/%c3%a9/e%cc%81"),
        (PurePosixPath("/\udcff"), "/%ff"),
        (PurePosixPath("/C:/a"), "/C%3a/a"),
        (PureWindowsPath(r"C:\Music\a.mp3"), "/C:/Music/a.mp3"),
        (PureWindowsPath("C:\\"), "/C:/"),
        (PureWindowsPath(r"\\server\share\a.mp3"), "//server/share/a.mp3"),
    ],
)
def test_spelling(path: PurePath, location: str) -> None:
    assert to_location(path) == f"file://localhost{location}"
    assert from_location(f"file://localhost{location}") == path


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("file:///Users/dj/%C3%A9.mp3", PurePosixPath("/Users/dj/é.mp3")),
        ("file:///C:/a.mp3", PureWindowsPath("C:/a.mp3")),
        ("FILE://LocalHost/a é?b#c.mp3", PurePosixPath("/a é?b#c.mp3")),
        ("file://nas/music/a.mp3", PureWindowsPath("//nas/music/a.mp3")),
        ("file://pc/D:/a.mp3", PureWindowsPath("D:/a.mp3")),
        ("file://localhost/100%.mp3", PurePosixPath("/100%.mp3")),
    ],
)
def test_other_spellings_are_read(location: str, path: PurePath) -> None:
    assert from_location(location) == path


@pytest.mark.parametrize(
    "location",
    [
        "file://localhostspotify:track:4uLU6hMCjMI75M1A2tKUQC",
        "file://localhostsoundcloud:tracks:1",
        "file://localhosttidal/tracks/1.mp3",
        "spotify:track:1",
        "file://localhost",
        "file://localhost/a%00b",
        "/Users/dj/a.mp3",
        "",
    ],
)
def test_what_names_no_file(location: str) -> None:
    assert from_location(location) is None


def test_what_cannot_be_spelled() -> None:
    with pytest.raises(ValueError, match="absolute"):
        to_location(PurePosixPath("a.mp3"))
    with pytest.raises(CollectionError, match="cannot hold"):
        to_location(PureWindowsPath("C:/\ud800.mp3"))


def test_two_slashes_in_front_of_a_posix_path_are_one() -> None:
    assert to_location(PurePosixPath("//Users/dj")) == "file://localhost/Users/dj"


def test_comparable() -> None:
    name = "/Zoë/Ångström.mp3"
    decomposed = unicodedata.normalize("NFD", name)
    assert decomposed != name
    assert comparable(PurePosixPath(decomposed)) == comparable(PurePosixPath(name)) == name
    assert comparable(PurePosixPath("/A")) != comparable(PurePosixPath("/a"))
    assert comparable(PureWindowsPath("c:/ZOË")) == comparable(PureWindowsPath(r"C:\zoë"))
    assert comparable(PureWindowsPath("C:/ß")) != comparable(PureWindowsPath("C:/SS"))
    assert comparable(PureWindowsPath("//s/t/A")) != comparable(PureWindowsPath("//s/t/a"))


@given(posix_paths)
def test_a_real_path_of_this_system_survives(path: PurePosixPath) -> None:
    assert os.fsencode(str(from_location(to_location(path)))) == os.fsencode(str(path))


@pytest.mark.shared
def test_the_locations_of_real_exports_are_spelled_alike(shared: Path) -> None:
    """All of them deviate in nothing; they come from Windows, rekordbox 5.6.1, 5.8.6 and 6.6.2."""
    locations = {
        track.attributes["Location"]
        for path in (shared / "fixtures" / "dj" / "rekordbox").glob("**/*.xml")
        if (collection := parse(path.read_bytes()).root.child("COLLECTION"))
        for track in collection.children
    }
    assert len(locations) == 8
    for location in locations:
        path = from_location(location)
        assert isinstance(path, PureWindowsPath)
        assert to_location(path) == location
