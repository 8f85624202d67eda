"""Which visible token is ours, and that every other one stays as its user typed it."""

from __future__ import annotations

from pathlib import Path

import mutagen
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from exporters.tags.edit import TagField, apply_mark, preview_text, read_state
from exporters.tags.mapping import find_tokens, has_token
from moodzone_agent.errors import TagError
from moodzone_agent.types import Mark, MarkState, Zone
from tests.audio_files import write_tone
from tests.exporters.tags.conftest import CopyTone

GREEN, PURPLE, YELLOW = Mark(Zone.GREEN), Mark(Zone.PURPLE), Mark(Zone.YELLOW)
MARKS = st.builds(Mark, st.sampled_from(Zone), st.sampled_from(MarkState))
TEXTS = st.lists(
    st.sampled_from(
        ["#GREEN", "#green", "#Green?", "#PURPLE", "#purple?", "#YELLOW?", "8A", "-", "7", "/*", "*/", "*",
         "/", " ", "  ", ",", "é", "–", "x", "#", "\n"]
    ),
    max_size=9,
).map("".join)  # fmt: skip


def comment(path: Path, text: str) -> Path:
    file = mutagen.File(path)
    file["comment"] = text
    file.save()
    return path


@pytest.mark.parametrize(
    "text",
    ["#green room set, #yellow label", "played at #GREEN stage", "#PURPLE closing #GREEN?", "#purple?"],
)
def test_a_token_of_another_zone_is_the_users_word_against_the_mark(text: str, tone: CopyTone) -> None:
    path = comment(tone("tone.flac"), text)
    before = path.read_bytes()
    state = read_state(path)
    assert state.tokens == state.user_tokens == tuple(mark for mark, _ in find_tokens(text, None))
    assert state.token == state.tokens[0]
    assert preview_text(state, YELLOW) == text
    with pytest.raises(
        TagError, match=rf"comment says #\w+\??, .*moodzone label FILE {state.token.zone.lower()}`"
    ):
        apply_mark(path, YELLOW)
    assert apply_mark(path, None) == state
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", ["opener #purple", "#Purple? closing", "#purple, #PURPLE?"])
def test_a_token_of_the_same_zone_stands_for_ours(text: str, tone: CopyTone) -> None:
    path = comment(tone("tone.flac"), text)
    before = path.read_bytes()
    assert preview_text(read_state(path), PURPLE) == text
    state = apply_mark(path, PURPLE)
    assert (state.mark, state.text) == (PURPLE, text)
    assert state.user_tokens == state.tokens
    assert apply_mark(path, None).text == text
    assert path.read_bytes() == before


def test_a_token_typed_beside_ours_is_kept_when_ours_changes(tone: CopyTone) -> None:
    path = tone("tone.flac")
    apply_mark(path, YELLOW)
    comment(path, "#YELLOW closing #Purple")
    state = read_state(path)
    assert (state.token, state.tokens, state.user_tokens) == (PURPLE, (YELLOW, PURPLE), (PURPLE,))
    with pytest.raises(TagError):
        apply_mark(path, YELLOW)
    labelled = Mark(Zone.PURPLE, MarkState.LABELLED)
    assert preview_text(state, labelled) == "#PURPLE closing #Purple"
    assert apply_mark(path, labelled).text == "#PURPLE closing #Purple"
    assert preview_text(read_state(path), None) == "closing #Purple"
    assert apply_mark(path, None).text == "closing #Purple"


def test_without_own_field_nothing_is_taken_out(tone: CopyTone) -> None:
    path = tone("tone.flac")
    apply_mark(path, PURPLE)
    file = mutagen.File(path)
    del file["moodzone"]
    file.save()
    before = path.read_bytes()
    assert apply_mark(path, None).user_tokens == (PURPLE,)
    assert path.read_bytes() == before


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("small")
    return {
        suffix: write_tone(folder / f"a{suffix}", seconds=0.1, rate=8000, metadata={"title": "–"})
        for suffix in (".flac", ".wav", ".m4a")
    }


@pytest.mark.parametrize("suffix", [".flac", ".wav", ".m4a"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS, elsewhere=TEXTS, marks=st.lists(MARKS, min_size=1, max_size=3))
def test_what_the_user_typed_survives_writing_rewriting_and_removal(
    suffix: str, text: str, elsewhere: str, marks: list[Mark], small: dict[str, Path], tmp_path: Path
) -> None:
    # A token spelled just like a mark that is written without one of ours is ours from then on.
    assume(not any(has_token(words, mark) for words in (text, elsewhere) for mark in marks))
    assume(text)  # an empty comment is taken for one that we made
    path = tmp_path / f"a{suffix}"
    path.write_bytes(small[suffix].read_bytes())
    if suffix == ".wav":
        file = mutagen.File(path)
        file.add_tags()
        file.tags.add(mutagen.id3.COMM(encoding=1, lang="eng", desc="", text=text))
        file.tags.add(mutagen.id3.TCON(encoding=1, text=elsewhere))
        file.save(v2_version=3)
    else:
        file = mutagen.File(path)
        file["\xa9cmt" if suffix == ".m4a" else "comment"] = text
        file["\xa9gen" if suffix == ".m4a" else "genre"] = elsewhere
        file.save()
    before = path.read_bytes()
    contradicted = {token.zone for token, _ in find_tokens(text, None)}
    written = False
    for mark in marks:
        state = read_state(path)
        if contradicted - {mark.zone}:
            with pytest.raises(TagError):
                apply_mark(path, mark)
            continue
        after = apply_mark(path, mark)
        written = True
        assert after.mark == mark
        assert after.text == preview_text(state, mark)
        assert read_state(path, field=TagField.GENRE).text == elsewhere or not after.tokens
    if not written:
        assert path.read_bytes() == before
    apply_mark(path, None)
    assert path.read_bytes() == before
