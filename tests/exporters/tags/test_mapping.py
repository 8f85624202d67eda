from __future__ import annotations

import mutagen.id3
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from exporters.tags.mapping import find_tokens, has_token, with_token, without_spelled, without_token
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
        "(17)",
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
    ],
)
def test_place_of_the_token(text: str, expected: str) -> None:
    assert with_token(text, GREEN) == expected
    assert find_tokens(expected, GREEN) == [(GREEN, True)]
    assert without_token(expected, GREEN) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nice #PURPLE one", "nice #GREEN one"),
        ("nice one #PURPLE", "nice one #GREEN"),
        ("House/#PURPLE", "House/#GREEN"),
        ("#purple #PURPLE? #PURPLE #PURPLE", "#purple #PURPLE? #GREEN #PURPLE"),
    ],
)
def test_ours_is_replaced_where_it_stands(text: str, expected: str) -> None:
    assert with_token(text, GREEN, Mark(Zone.PURPLE)) == expected


@pytest.mark.parametrize("text", ["#purple", "#PURPLE?", "#GREEN", "#Purple nice", "/* #PURPLE */"])
def test_what_is_spelled_otherwise_is_not_ours(text: str) -> None:
    ours = Mark(Zone.PURPLE)
    assert not has_token(text, ours)
    assert without_token(text, ours) == text
    assert [is_ours for _, is_ours in find_tokens(text, ours)] in ([], [False])


def test_without_own_field_no_token_is_ours() -> None:
    assert find_tokens("#GREEN", None) == [(GREEN, False)]
    assert without_token("#GREEN", None) == "#GREEN"


def test_genre_gets_the_token_at_its_end() -> None:
    assert with_token("House", GREEN, at_end=True) == "House #GREEN"
    assert with_token("", GREEN, at_end=True) == "#GREEN"
    assert with_token("(Electro)", GREEN, at_end=True) == "(Electro) #GREEN"


@pytest.mark.parametrize("genre", ["(17)", "(4)(141)", "(RX)", "(52)(CR)"])
def test_what_refines_a_numbered_genre_follows_without_a_space(genre: str) -> None:
    written = with_token(genre, GREEN, at_end=True)
    assert written == f"{genre}#GREEN"
    assert find_tokens(written, GREEN) == [(GREEN, True)]
    assert mutagen.id3.TCON(text=written).genres == [*mutagen.id3.TCON(text=genre).genres, "#GREEN"]
    assert without_token(written, GREEN) == genre


@pytest.mark.parametrize(
    ("text", "zones"),
    [
        ("#green", ["GREEN"]),
        ("#Green? #PURPLE", ["GREEN", "PURPLE"]),
        ("loud,#YELLOW;", ["YELLOW"]),
        ("#GREEN??", []),
        ("##GREEN", []),
        ("(17)#GREEN", ["GREEN"]),
        ("x (17)#GREEN", []),
        ("(Remix)#GREEN", []),
        ("(17)Rock)#GREEN #PURPLE (17)", ["PURPLE"]),
        ("#GREEN_", []),
        ("/* #GREEN */", []),
        ("/* #GREEN", ["GREEN"]),
        ("GREEN", []),
    ],
)
def test_what_counts_as_token(text: str, zones: list[str]) -> None:
    assert [mark.zone for mark, _ in find_tokens(text, None)] == zones


def test_unsure_token_has_a_question_mark() -> None:
    unsure = Mark(Zone.PURPLE, MarkState.UNSURE)
    assert with_token("8A", unsure) == "8A #PURPLE?"
    assert find_tokens("#PURPLE? #PURPLE", unsure) == [(unsure, True), (Mark(Zone.PURPLE), False)]


@given(text=TEXTS, marks=st.lists(MARKS, min_size=1, max_size=4), at_end=st.booleans())
@example(text=" x", marks=[GREEN], at_end=False)
@example(text="8A", marks=[GREEN], at_end=True)
def test_the_text_of_the_user_comes_back(text: str, marks: list[Mark], at_end: bool) -> None:
    assume(not find_tokens(text, None))
    written, ours = text, None
    for mark in marks:
        written, ours = with_token(written, mark, ours, at_end=at_end), mark
        assert [(token.token, is_ours) for token, is_ours in find_tokens(written, ours)] == [
            (mark.token, True)
        ]
        assert with_token(written, mark, ours, at_end=at_end) == written
        assert without_spelled(written, [mark.token]) == text
    assert without_token(written, ours) == text


@given(text=TEXTS, more=TEXTS, first=MARKS, second=MARKS)
def test_only_ours_is_ever_cut_or_changed(text: str, more: str, first: Mark, second: Mark) -> None:
    assume(not has_token(text, first))
    written = f"{text} {first.token} {more}"
    assume(has_token(written, first))  # the text may put it into a My Tag section
    assert without_token(written, first) == f"{text} {more}"
    assert with_token(written, second, first) == f"{text} {second.token} {more}"


@pytest.mark.parametrize(
    "text",
    [
        "#GREEN " * 50_000 + "/* */ " * 50_000,
        "/* " * 300_000 + "#GREEN",
        "(1)" * 100_000 + ")#GREEN" * 99_999 + " #GREEN",
    ],
)
def test_very_many_tokens_and_sections_do_not_take_long(text: str) -> None:
    assert without_spelled(text, ["#GREEN"]) == text.replace("#GREEN ", "").removesuffix(" #GREEN")
