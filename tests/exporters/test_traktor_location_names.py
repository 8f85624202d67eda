"""Names that trip over the separators of a LOCATION, and the keys that playlists name tracks by."""

from __future__ import annotations

from pathlib import Path, PurePath, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.traktor.location import SYSTEM, Location, from_location, to_location
from exporters.xml.splice import parse

NAMES = frozenset({SYSTEM})
colons = st.text(st.sampled_from(":.a"), min_size=1, max_size=5).filter(lambda name: name not in {".", ".."})


@given(st.lists(colons, min_size=1, max_size=4))
def test_names_of_colons_come_back(names: list[str]) -> None:
    path = PurePosixPath("/", *names)
    assert from_location(to_location(path), NAMES) == path


@pytest.mark.parametrize(
    ("path", "location"),
    [
        (PurePosixPath("/a:b/:c:/d:"), Location("/:a//b/://c///:", "d//", SYSTEM)),
        (PurePosixPath("/::/x"), Location("/://///:", "x", SYSTEM)),
        (PurePosixPath("/Volumes/A:B/a.mp3"), Location("/:", "a.mp3", "A//B")),
    ],
)
def test_spelling_of_colons(path: PurePath, location: Location) -> None:
    assert to_location(path) == location
    assert from_location(location, NAMES) == path


def test_a_key_strings_all_together() -> None:
    location = to_location(PurePosixPath("/Volumes/Transcend/DJing/09 Change.mp3"))
    assert location.key == "Transcend/:DJing/:09 Change.mp3"


@pytest.mark.shared
def test_real_locations_are_spelled_alike_on_the_machine_they_come_from(shared: Path) -> None:
    """They come from Traktor on Windows and macOS; one whose DIR was made up names no file."""
    found = [
        Location(*(at.attributes[name] for name in ("DIR", "FILE", "VOLUME")))
        for path in (shared / "fixtures" / "dj" / "traktor").glob("**/*.nml")
        if (collection := parse(path.read_bytes()).root.child("COLLECTION"))
        for entry in collection.children
        if (at := entry.child("LOCATION"))
    ]
    genuine = {location for location in found if location.folder != "xxxx"}
    assert len(genuine) > 100
    names = frozenset({"osx", "Macintosh HD"})
    for location in genuine:
        path = from_location(location, names)
        assert path is not None
        assert to_location(path, location.volume) == location
