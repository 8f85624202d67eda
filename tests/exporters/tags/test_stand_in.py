"""MP3 whose comment stands in TXXX:COMMENT, as FFmpeg writes it: a new COMM says it too, and goes again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mutagen.id3
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from mutagen.id3 import COMM, TIT2, TXXX, Frame

from exporters.tags.edit import TagField, apply_mark, encoded_audio_digest, preview_text, read_state
from exporters.tags.mapping import find_tokens
from moodzone_agent.errors import TagError
from moodzone_agent.types import Mark, MarkState, Zone
from tests.exporters.tags.conftest import CopyTone
from tests.exporters.tags.test_id3 import frame, tag
from tests.exporters.tags.test_ownership import TEXTS

GREEN, PURPLE = Mark(Zone.GREEN), Mark(Zone.PURPLE, MarkState.LABELLED)
FREE = TXXX(encoding=1, desc="comment", text="8A - 6 Schön")
COPY = frame("COMM", b"\0eng\0" + "8A - 6 Schön".encode("latin-1"))
"""The COMM that MoodZone would make of it."""


def tagged(path: Path, frames: Sequence[Frame], *, version: int = 3, padding: int = 1024) -> Path:
    mutagen.id3.delete(path)
    tags = mutagen.id3.ID3()
    for one in frames:
        tags.add(one)
    tags.save(path, v2_version=version, padding=lambda _: padding)
    return path


def spliced(path: Path, *frames: bytes, padding: int) -> Path:
    """A file whose tag holds these frames in this order."""
    mutagen.id3.delete(path)
    path.write_bytes(tag(*frames, padding=padding) + path.read_bytes())
    return path


@pytest.fixture(params=[0, 1, 200, 2000], ids=lambda padding: f"padding {padding}")
def padding(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.mark.parametrize("version", [3, 4])
def test_comm_starts_with_it_and_goes_again(version: int, padding: int, tone: CopyTone) -> None:
    frames = [FREE, TIT2(encoding=1, text="Ton"), COMM(encoding=0, lang="eng", desc="iTunNORM", text="0")]
    path = tagged(tone("bare-tone.mp3"), frames, version=version, padding=padding)
    before, audio = path.read_bytes(), encoded_audio_digest(path)
    assert read_state(path).text == "8A - 6 Schön"
    for mark in (GREEN, PURPLE, Mark(Zone.YELLOW, MarkState.UNSURE)):
        preview = preview_text(read_state(path), mark)
        assert apply_mark(path, mark).text == preview == f"8A - 6 {mark.token} Schön"
        seen = mutagen.id3.ID3(path)
        assert seen["COMM::eng"].text == [preview]
        assert seen["TXXX:comment"].text == ["8A - 6 Schön"]
        assert seen["TXXX:MOODZONE"].text == [mark.field]
        marked = path.read_bytes()
        apply_mark(path, mark)
        assert path.read_bytes() == marked
    assert preview_text(read_state(path), None) == "8A - 6 Schön"
    apply_mark(path, None)
    assert path.read_bytes() == before
    assert encoded_audio_digest(path) == audio


def test_it_goes_when_the_token_moves_to_another_field(padding: int, tone: CopyTone) -> None:
    path = tagged(tone("bare-tone.mp3"), [FREE], padding=padding)
    before = path.read_bytes()
    apply_mark(path, GREEN)
    apply_mark(path, GREEN, field=TagField.GENRE)
    assert not mutagen.id3.ID3(path).getall("COMM")
    apply_mark(path, None)
    assert path.read_bytes() == before


@pytest.mark.parametrize("order", [1, -1])
def test_an_equal_comm_of_the_users_stays(order: int, padding: int, tone: CopyTone) -> None:
    free = frame("TXXX", b"\0COMMENT\0" + "8A - 6 Schön".encode("latin-1"))
    path = spliced(tone("bare-tone.mp3"), *[free, COPY][::order], padding=padding)
    before = path.read_bytes()
    apply_mark(path, GREEN)
    apply_mark(path, PURPLE)
    apply_mark(path, None)
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", ["8A - 6 #GREEN", "#green, nice"])
def test_a_token_in_it_is_the_users(text: str, tone: CopyTone) -> None:
    path = tagged(tone("bare-tone.mp3"), [TXXX(encoding=1, desc="Comment", text=text)])
    before = path.read_bytes()
    apply_mark(path, GREEN, field=TagField.GENRE)
    state = read_state(path)
    assert state.user_tokens == state.tokens == (GREEN,)
    assert preview_text(state, PURPLE) == text
    with pytest.raises(TagError, match="comment says #GREEN"):
        apply_mark(path, PURPLE)
    assert preview_text(state, GREEN) == text
    assert apply_mark(path, GREEN).text == text
    assert not mutagen.id3.ID3(path).getall("COMM")
    apply_mark(path, None)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("typed", "left"),
    [
        ("8A - 6 #GREEN Schön!", "8A - 6 Schön!"),
        ("8A - 6 #GREEN #GREEN Schön", "8A - 6 #GREEN Schön"),
        ("8A - 6 Schön", "8A - 6 Schön"),
        ("#GREEN", ""),
    ],
)
def test_what_the_user_made_of_our_comm_stays(typed: str, left: str, tone: CopyTone) -> None:
    path = tagged(tone("bare-tone.mp3"), [FREE])
    apply_mark(path, GREEN)
    edited = path.read_bytes()
    old, new = (frame("COMM", b"\0eng\0" + text.encode("latin-1")) for text in ("8A - 6 #GREEN Schön", typed))
    assert old in edited
    path.write_bytes(edited.replace(old, new) if len(old) == len(new) else resized(edited, old, new))
    apply_mark(path, GREEN)
    assert apply_mark(path, None).text == left


def resized(data: bytes, old: bytes, new: bytes) -> bytes:
    """The file with another frame, at the cost of its padding."""
    end = 10 + sum(byte << 7 * place for place, byte in enumerate(reversed(data[6:10])))
    body = data[10:end].replace(old, new)
    return data[:10] + body.ljust(end - 10, b"\0")[: end - 10] + data[end:]


def test_removed_or_changed_stand_in_leaves_our_comm(tone: CopyTone) -> None:
    for change in ("removed", "changed"):
        path = tagged(tone("bare-tone.mp3"), [FREE])
        apply_mark(path, GREEN)
        tags = mutagen.id3.ID3(path)
        tags.delall("TXXX:comment")
        if change == "changed":
            tags.add(TXXX(encoding=1, desc="COMMENT", text="9A"))
        tags.save(path, v2_version=3)
        assert apply_mark(path, PURPLE).text == "8A - 6 #PURPLE Schön"
        assert apply_mark(path, None).text == "8A - 6 Schön"


def test_stand_in_that_another_program_gave_the_new_token(tone: CopyTone) -> None:
    path = tagged(tone("bare-tone.mp3"), [FREE])
    apply_mark(path, GREEN)
    tags = mutagen.id3.ID3(path)
    tags["TXXX:comment"].text = ["8A - 6 #PURPLE Schön"]
    tags.save(path, v2_version=3)
    assert apply_mark(path, PURPLE).text == "8A - 6 #PURPLE Schön"
    assert mutagen.id3.ID3(path)["COMM::eng"].text == ["8A - 6 #PURPLE Schön"]
    apply_mark(path, None)
    assert mutagen.id3.ID3(path)["TXXX:comment"].text == ["8A - 6 #PURPLE Schön"]


MARKS = st.builds(Mark, st.sampled_from(Zone), st.sampled_from(MarkState))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=TEXTS,
    padding=st.integers(0, 300),
    edits=st.lists(st.tuples(MARKS, st.sampled_from(TagField)), min_size=1, max_size=4),
)
def test_any_text_survives_marks_and_removal(
    text: str, padding: int, edits: list[tuple[Mark, TagField]], tones: Path, tmp_path: Path
) -> None:
    assume(text)
    path = tmp_path / "a.mp3"
    path.write_bytes((tones / "bare-tone.mp3").read_bytes())
    tagged(path, [TXXX(encoding=1, desc="COMMENT", text=text)], padding=padding)
    before = path.read_bytes()
    contradicted = {token.zone for token, _ in find_tokens(text, None)}
    for mark, field in edits:
        if field is TagField.COMMENT and contradicted - {mark.zone}:
            with pytest.raises(TagError):
                apply_mark(path, mark, field=field)
            continue
        preview = preview_text(read_state(path, field=field), mark)
        assert apply_mark(path, mark, field=field).text == preview
    apply_mark(path, None)
    assert path.read_bytes() == before
