"""neworder.pref."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.serato.crate_order import CrateOrder
from moodzone_agent.errors import CollectionError

TEXT = "[begin record]\n[crate]House\n[crate]House%%Deep\n[other]kept\n[end record]\n"
every_writing = pytest.mark.parametrize(
    "text", [TEXT, "\ufeff" + TEXT, TEXT.replace("\n", "\r\n"), TEXT.rstrip("\n"), "first\n" + TEXT + "last"]
)


def encoded(text: str) -> bytes:
    return text.encode("utf-16-be")


@every_writing
def test_a_crate_comes_and_goes(text: str) -> None:
    order = CrateOrder.parse(encoded(text))
    assert order.dump() == encoded(text)
    assert order.crates == ("House", "House%%Deep")
    added = order.added("Grün")
    ending = "\r\n" if "\r" in text else "\n"
    assert added.dump() == encoded(text.replace("[end", f"[crate]Grün{ending}[end"))
    assert CrateOrder.parse(added.dump()).crates == ("House", "House%%Deep", "Grün")
    assert added.removed("Grün").dump() == encoded(text)
    assert order.added("House") == order
    assert order.removed("Hou") == order


def test_a_new_order() -> None:
    assert CrateOrder.new().added("A").dump() == encoded("[begin record]\n[crate]A\n[end record]\n")


@pytest.mark.parametrize("text", ["", "[begin record]\n", "[end record]\n[begin record]\n", TEXT + TEXT])
def test_what_has_no_record_is_refused(text: str) -> None:
    with pytest.raises(CollectionError):
        CrateOrder.parse(encoded(text))


@given(st.integers(0, 2 * len(TEXT)), st.binary(max_size=4))
def test_damage_is_refused_or_kept(place: int, damage: bytes) -> None:
    data = encoded(TEXT)
    data = data[:place] + damage + data[place + 2 :]
    try:
        order = CrateOrder.parse(data)
    except CollectionError:
        return
    assert order.dump() == data
