"""Crates."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.serato import tlv
from exporters.serato.crate import VERSION, Crate, file_name, names_of
from exporters.serato.tlv import Value
from moodzone_agent.errors import CollectionError

PATHS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), unique=True, max_size=6)


def strange() -> Crate:
    """A crate with values of unknown kinds between and within its tracks."""
    return Crate.parse(
        tlv.dump(
            [
                tlv.text("vrsn", VERSION),
                Value("zzzz", b"what"),
                tlv.nested("otrk", Value("zzzz", b"ever"), tlv.text("ptrk", "a.mp3"), tlv.number("bnew", 1)),
                Value("onew", b""),
                tlv.nested("otrk", tlv.text("ptrk", "b/ä.mp3")),
                tlv.nested("otrk", tlv.number("bnew", 1)),
            ]
        )
    )


@pytest.fixture
def genuine(serato: Path) -> list[bytes]:
    paths = [serato / "misc" / "TestCrate.crate", *serato.glob("usb_drive/_Serato_/Subcrates/*.crate")]
    return [path.read_bytes() for path in paths]


@pytest.mark.shared
def test_genuine_crates(genuine: list[bytes]) -> None:
    assert len(genuine) == 3
    for data in genuine:
        crate = Crate.parse(data)
        assert crate.dump() == data
        assert crate.tracks
        assert crate.with_tracks(crate.tracks) == crate
        assert crate.added(["Music/new.mp3"]).tracks == (*crate.tracks, "Music/new.mp3")
        assert crate.added(["Music/new.mp3"]).removed({"Music/new.mp3"}).dump() == data
        assert crate.added(crate.tracks) == crate
        turned = crate.with_tracks(crate.tracks[::-1])
        assert turned.tracks == crate.tracks[::-1]
        assert turned.with_tracks(crate.tracks).dump() == data


@pytest.mark.shared
def test_a_genuine_crate_cut_at_any_byte_is_refused_or_a_shorter_one(genuine: list[bytes]) -> None:
    for data in genuine:
        tracks = Crate.parse(data).tracks
        for end in range(len(data)):
            try:
                crate = Crate.parse(data[:end])
            except CollectionError:
                continue
            assert crate.dump() == data[:end]
            assert crate.tracks == tracks[: len(crate.tracks)]


@pytest.mark.shared
def test_smart_crates_and_databases_are_no_crates(serato: Path) -> None:
    for name, version in (("TestSmartCrate.scrate", "Smart Crate"), ("database_v2_test.bin", "2.0/")):
        with pytest.raises(CollectionError, match=version):
            Crate.parse((serato / "misc" / name).read_bytes())


def test_what_is_unknown_survives() -> None:
    crate = strange()
    assert crate.tracks == ("a.mp3", "b/ä.mp3")
    new = crate.with_tracks(["c.mp3", "a.mp3"])
    assert new.tracks == ("c.mp3", "a.mp3")
    assert [value for value in new.values if value.tag != "otrk"] == [
        value for value in crate.values if value.tag != "otrk"
    ]
    assert {crate.values[2], crate.values[5]} < set(new.values)
    assert crate.removed(["b/ä.mp3", "not there"]).values == (*crate.values[:4], crate.values[5])


@given(PATHS, PATHS)
def test_tracks_are_those_that_were_set(old: list[str], new: list[str]) -> None:
    crate = Crate.parse(Crate.new().with_tracks(old).dump())
    assert crate.tracks == tuple(old)
    assert crate.with_tracks(new).tracks == tuple(new)
    assert crate.removed(new).tracks == tuple(path for path in old if path not in new)
    added = crate.added(new)
    assert added.tracks == (*old, *(path for path in new if path not in old))


def test_one_path_twice_stays_twice() -> None:
    crate = Crate.new().with_tracks(["a", "a"])
    assert crate.tracks == ("a", "a")
    assert crate.added(["b", "b"]).tracks == ("a", "a", "b")
    assert crate.removed(["a"]).tracks == ()


def test_a_new_crate_has_a_genuine_ones_columns() -> None:
    tags = [value.tag for value in Crate.new().values]
    assert tags[:3] == ["vrsn", "osrt", "ovct"]
    assert Crate.new().values[0].text() == "1.0/Serato ScratchLive Crate"


@pytest.mark.parametrize("data", [b"", tlv.dump([Value("otrk", b"")])])
def test_a_file_without_version_is_refused(data: bytes) -> None:
    with pytest.raises(CollectionError, match="no version"):
        Crate.parse(data)


def test_another_version_is_refused_with_its_text() -> None:
    with pytest.raises(CollectionError, match=r"9\.0/New Crate"):
        Crate.parse(tlv.dump([tlv.text("vrsn", "9.0/New Crate")]))


def test_damage_within_a_track_is_refused() -> None:
    data = tlv.dump([tlv.text("vrsn", VERSION), Value("otrk", b"ptrk\0\0\0\3\0aa")])
    with pytest.raises(CollectionError, match="UTF-16"):
        Crate.parse(data)


def test_names_of_nested_crates() -> None:
    assert file_name("Mood", "Green") == "Mood%%Green.crate"
    assert names_of("Mood%%Green.crate") == ("Mood", "Green")
    assert names_of(file_name("Mood")) == ("Mood",)
