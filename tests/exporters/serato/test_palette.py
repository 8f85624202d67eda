"""Stored and shown colours."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.serato import markers, markers2
from exporters.serato.palette import SeratoColour, shown_colour, stored_colour
from moodzone_agent.errors import UsageError

PICKER = """FF99FF FF99DD FF99BB FF9999 FFBB99 FFDD99 FFFF99 DDFF99 BBFF99
            99FF99 99FFBB 99FFDD 99FFFF 99DDFF 99BBFF 9999FF BB99FF DD99FF"""


def test_the_palette_is_the_pickers() -> None:
    assert [f"{stored_colour(colour.shown):06X}" for colour in SeratoColour] == PICKER.split()


@pytest.mark.shared
def test_the_colour_that_a_genuine_file_is_named_for(serato: Path) -> None:
    folder = serato / "geob_payloads" / "mp4-decoded" / "track-color-993333"
    for name, read in (("Markers2", markers2.track_colour), ("Markers_", markers.track_colour)):
        stored = read((folder / f"Serato {name}.octet-stream").read_bytes())
        assert stored is not None
        assert shown_colour(stored) == 0x993333 == SeratoColour.RED.shown


def test_the_exceptions() -> None:
    assert shown_colour(0xFFFFFF) is None
    assert stored_colour(None) == 0xFFFFFF
    assert shown_colour(0x999999) == 0x090909
    assert shown_colour(0x000000) == 0x333333


@given(st.integers(0, 0xFFFFFF))
def test_what_can_be_stored_is_shown_again(shown: int) -> None:
    try:
        stored = stored_colour(shown)
    except UsageError:
        assert shown in (0x999999, 0x99999A)
    else:
        assert 0 <= stored < 0xFFFFFF
        assert shown_colour(stored) == shown


@pytest.mark.parametrize("shown", [-1, 0x1000000, 0x999999, 0x99999A])
def test_what_cannot_be_stored_is_refused(shown: int) -> None:
    with pytest.raises(UsageError, match="993333"):
        stored_colour(shown)
