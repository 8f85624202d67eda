"""Tagged values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.serato import tlv
from exporters.serato.tlv import Value
from moodzone_agent.errors import CollectionError

TAGS = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=4, max_size=4)
VALUES = st.lists(st.builds(Value, TAGS, st.binary(max_size=40)), max_size=8).map(tuple)


def deep(values: Iterable[Value]) -> Iterator[Value]:
    for value in values:
        yield value
        if value.tag[0] in "or":
            yield from deep(value.children())


@pytest.mark.shared
def test_every_genuine_file_gives_its_bytes_again(serato: Path) -> None:
    paths = [
        *serato.glob("misc/*.crate"),
        *serato.glob("misc/*.scrate"),
        *serato.glob("misc/database*"),
        *serato.glob("usb_drive/_Serato_/Subcrates/*"),
        serato / "usb_drive" / "_Serato_" / "database V2",
    ]
    assert len(paths) == 9
    for path in paths:
        data = path.read_bytes()
        values = tlv.parse(data)
        assert tlv.dump(values) == data
        for value in deep(values):
            if value.tag[0] in "or":
                assert tlv.dump(value.children()) == value.data
            elif value.tag == "vrsn" or value.tag[0] in "tp":
                assert tlv.text(value.tag, value.text()) == value
            else:
                assert tlv.number(value.tag, value.number()) == value


@given(VALUES)
def test_round_trip(values: tuple[Value, ...]) -> None:
    assert tlv.parse(tlv.dump(values)) == values


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_given_again(data: bytes) -> None:
    try:
        values = tlv.parse(data)
    except CollectionError:
        return
    assert tlv.dump(values) == data
    for value in values:
        for read in (value.text, value.number, value.children):
            try:
                read()
            except CollectionError:
                continue


def test_a_file_cut_at_any_byte_is_refused() -> None:
    data = tlv.dump([tlv.text("vrsn", "1.0"), tlv.nested("otrk", tlv.text("ptrk", "a.mp3"))])
    ends = {0, len(tlv.dump([tlv.text("vrsn", "1.0")])), len(data)}
    for end in set(range(len(data))) - ends:
        with pytest.raises(CollectionError, match="damaged"):
            tlv.parse(data[:end])


def test_types_follow_the_tags_first_letter() -> None:
    assert tlv.text("tsng", "Ä").data == b"\0\xc4"
    assert tlv.number("ulbl", 0xFF9999) == Value("ulbl", b"\0\xff\x99\x99")
    assert tlv.number("sbav", 513) == Value("sbav", b"\2\1")
    assert tlv.number("bhrt", 1) == Value("bhrt", b"\1")
    with pytest.raises(CollectionError, match="UTF-16"):
        Value("tsng", b"\0").text()
    with pytest.raises(CollectionError, match="no text"):
        Value("ulbl", b"\0\0").text()
    with pytest.raises(CollectionError, match="no number"):
        Value("ulbl", b"\0\0").number()
    with pytest.raises(CollectionError, match="no further values"):
        Value("tsng", b"").children()
