from __future__ import annotations

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from exporters.tags.mapping import find_tokens, with_token, without_token
from moodzone_agent.types import Mark, MarkState, Zone

GREEN = Mark(Zone.GREEN)
MARKS = st.builds(Mark, st.sampled_from(Zone), st.sampled_from(MarkState))
PIECES = st.sampled_from(
    [
        "8A",
        " - ",
        "7",
        "Energy 7",
        "12B/1A",
        "/* ",
        " */",
        "#GREEN",
        "#purple?",
        "#PURPLEHAZE",
        "x",
        " ",
        "  ",
        "\n",
        "\x00",
        "é",
        "/",
        ",",
        "#",
        "F#m",
        "1d",
        "*",
        "(",
        ")",
        "128.00",
    ]
)
TEXTS = st.one_of(st.text(max_size=40), st.lists(PIECES, max_size=12).map("".join))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "#GREEN"),
        ("nice one", "#GREEN nice one"),
        ("8A - 7", "8A - 7 #GREEN"),
        ("8A - 7 nice one", "8A - 7 #GREEN nice one"),
        ("8A", "8A #GREEN"),
        ("08A - Energy 7", "08A - Energy 7 #GREEN"),
        ("8A - Energy 10\nmore", "8A - Energy 10 #GREEN\nmore"),
        ("Energy 7", "Energy 7 #GREEN"),
        ("12B/1A - 5", "12B/1A - 5 #GREEN"),
        ("8A - 128.00 - 7", "8A - 128.00 - 7 #GREEN"),
        ("7 - 8A", "7 - 8A #GREEN"),
        ("F#m - 6", "F#m - 6 #GREEN"),
        ("1d - 5", "1d - 5 #GREEN"),
        ("8A /* Peak / Vocal */", "8A #GREEN /* Peak / Vocal */"),
        ("/* Peak / #PURPLE */", "#GREEN /* Peak / #PURPLE */"),
        ("8Abc", "#GREEN 8Abc"),
        ("13A - 7", "#GREEN 13A - 7"),
        ("A great tune", "#GREEN A great tune"),
        ("Energy 70", "#GREEN Energy 70"),
        ("   ", "#GREEN    "),
        ("#GREENHOUSE", "#GREEN #GREENHOUSE"),
        ("#PURPLEHAZE", "#GREEN #PURPLEHAZE"),
        ("x#PURPLE", "#GREEN x#PURPLE"),
        ("nice #purple one", "nice #GREEN one"),
        ("nice one #PURPLE?", "nice one #GREEN"),
        ("#PURPLE a #YELLOW b #green", "#GREEN a b"),
        ("House/#PURPLE", "House/#GREEN"),
    ],
)
def test_place_of_the_token(text: str, expected: str) -> None:
    assert with_token(text, GREEN) == expected
    assert find_tokens(expected) == [GREEN]


def test_genre_gets_the_token_at_its_end() -> None:
    assert with_token("House", GREEN, at_end=True) == "House #GREEN"
    assert with_token("", GREEN, at_end=True) == "#GREEN"


@pytest.mark.parametrize(
    ("text", "zones"),
    [
        ("#green", ["GREEN"]),
        ("#Green? #PURPLE", ["GREEN", "PURPLE"]),
        ("loud,#YELLOW;", ["YELLOW"]),
        ("#GREEN??", []),
        ("##GREEN", []),
        ("#GREEN_", []),
        ("/* #GREEN */", []),
        ("/* #GREEN", ["GREEN"]),
        ("GREEN", []),
    ],
)
def test_what_counts_as_token(text: str, zones: list[str]) -> None:
    assert [mark.zone for mark in find_tokens(text)] == zones


def test_unsure_token_has_a_question_mark() -> None:
    assert with_token("8A", Mark(Zone.PURPLE, MarkState.UNSURE)) == "8A #PURPLE?"
    assert find_tokens("#purple?") == [Mark(Zone.PURPLE, MarkState.UNSURE)]


@given(text=TEXTS, mark=MARKS, at_end=st.booleans())
@example(text=" x", mark=GREEN, at_end=False)
@example(text="8A", mark=GREEN, at_end=True)
def test_taking_out_gives_the_text_back(text: str, mark: Mark, at_end: bool) -> None:
    assume(not find_tokens(text))
    assert without_token(text) == text
    assert without_token(with_token(text, mark, at_end=at_end)) == text


@given(text=TEXTS, first=MARKS, second=MARKS, at_end=st.booleans())
def test_there_is_one_token_and_it_keeps_its_place(
    text: str, first: Mark, second: Mark, at_end: bool
) -> None:
    once = with_token(text, first, at_end=at_end)
    assert [mark.token for mark in find_tokens(once)] == [first.token]
    assert with_token(once, first, at_end=at_end) == once
    twice = with_token(once, second, at_end=at_end)
    assert without_token(twice) == without_token(once)
    if "#" not in text:
        assert twice == once.replace(first.token, second.token)


@given(text=TEXTS, mark=MARKS)
def test_nothing_else_is_ever_cut(text: str, mark: Mark) -> None:
    bare = without_token(text)
    assert without_token(with_token(text, mark)) == bare
    added = with_token(bare, mark)
    place = added.index(mark.token) if bare else 0
    assert len(added) == len(bare) + len(mark.token) + bool(bare)
    assert added.startswith(bare[: max(place - 1, 0)])


def test_very_many_tokens_do_not_take_long() -> None:
    assert without_token("#GREEN " * 200_000) == ""
