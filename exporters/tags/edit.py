"""Zone marks in the tags of one audio file: read them, or edit a private copy and prove that harmless.

The format is recognised by the file's content, never by its name. A file that cannot be edited without risk
to other programs' data is refused with a TagError whose text says why.

Of the visible tokens that is ours which is spelled as our own field's mark spells it, the first of its kind in
each text. All others are the user's: they are reported, and never changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporters.tags.container import carry_out, opened, parse
from exporters.tags.entries import Plan, TagField
from exporters.tags.mapping import find_tokens, has_token
from exporters.tags.second_opinion import own_field
from exporters.tags.splice import Source
from moodzone_agent.errors import TagError
from moodzone_agent.types import Mark

if TYPE_CHECKING:
    from pathlib import Path

    from exporters.tags.entries import Texts
    from exporters.tags.layout import TaggedFile

__all__ = ["TagField", "TagState", "apply_mark", "encoded_audio_digest", "preview_text", "read_state"]


@dataclass(frozen=True, slots=True)
class TagState:
    """What a file's tags say."""

    mark: Mark | None
    """Our own field; None if it is absent or garbled."""
    token: Mark | None
    """The visible token that counts: the first of the user's, else ours; None if there is none."""
    text: str
    """The whole text that token stands in or would come to; empty if there is none."""
    artist: str
    title: str
    tag_hash: str
    """Hex SHA-256 over all tag bytes of the file."""
    field: TagField = TagField.COMMENT
    """The visible field that was looked at."""
    tokens: tuple[Mark, ...] = ()
    """All tokens in the field's texts in order; two in a WAV file with one in ID3 and one in INFO."""
    user_tokens: tuple[Mark, ...] = ()
    """Those of them that are not ours."""


def read_state(path: Path, *, field: TagField = TagField.COMMENT) -> TagState:
    """What the tags of a file say. Opens it for reading only. Raises TagError."""
    with opened(path, "rb") as file:
        return _state(Source(file), field)


def apply_mark(copy: Path, mark: Mark | None, *, field: TagField = TagField.COMMENT) -> TagState:
    """Edit a private copy in place so that it carries ``mark``, or nothing of ours for None.

    Returns the new state. A mark that is there already changes no byte. Where the field holds a token of the
    user's, one of the mark's zone stands for ours, so that only our own field is written; one of another zone
    raises TagError. A token that an earlier edit put into another field is taken out there. None takes out our
    own field, our token, and the frames, chunks and tags made for them. Audio, foreign data and mark are read
    back and compared, the mark by mutagen too. Raises TagError; the copy may then be half edited and is to be
    thrown away.
    """
    with opened(copy, "r+b") as file:
        source = Source(file)
        before = parse(source)
        expected = mark.field if mark else ""
        source = carry_out(file, before, _plan(before, mark, field), witness=own_field, expected=expected)
        state = _state(source, field)
    is_shown = (
        mark is None or field is TagField.NONE or any(token.zone is mark.zone for token in state.tokens)
    )
    if state.mark != mark or not is_shown:
        raise TagError("The mark could not be read back; nothing was written. Please report this file.")
    return state


def preview_text(state: TagState, mark: Mark | None) -> str:
    """The visible text as ``apply_mark`` would leave it; as it is where ``apply_mark`` would refuse."""
    if mark is not None and any(token.zone is not mark.zone for token in state.user_tokens):
        return state.text
    inserts = mark is not None and not state.user_tokens and state.field is not TagField.NONE
    if not inserts and state.tokens == state.user_tokens:
        return state.text
    plan = Plan(state.mark, mark, state.field, (state.field,), inserts)
    return plan.added(state.text) if inserts else plan.replaced(state.text, state.field)


def encoded_audio_digest(path: Path) -> str:
    """Hex SHA-256 over the encoded audio, which is found by the file's structure and not decoded.

    It is equal for files that differ in their tags only. Raises TagError.
    """
    with opened(path, "rb") as file:
        source = Source(file)
        return source.sha256(parse(source).audio_spans())


def _plan(tagged: TaggedFile, mark: Mark | None, field: TagField) -> Plan:
    """What to do to a file. Raises TagError if a token of the user's contradicts the mark."""
    texts = tagged.texts(field)
    old = Mark.from_field(texts.own)
    users = [token for token, is_ours, _ in _found(texts, old) if not is_ours]
    for token in users:
        if mark is not None and token.zone is not mark.zone:
            raise TagError(
                f"Its {field} says {token.token}, which is not from MoodZone. Label it with "
                f"`moodzone label FILE {token.zone.lower()}`, or take the token out of the {field}."
            )
    holders = [
        shown for shown in TagField if any(has_token(text, old) for text in tagged.texts(shown).visible)
    ]
    if field in holders:
        holders = [field]  # ours never stands in two fields, so an equal one elsewhere is the user's
    return Plan(old, mark, field, holders, inserts=mark is not None and not users)


def _state(source: Source, field: TagField) -> TagState:
    tagged = parse(source)
    texts = tagged.texts(field)
    mark = Mark.from_field(texts.own)
    found = _found(texts, mark)
    users = [(token, text) for token, is_ours, text in found if not is_ours]
    all_of_them = [(token, text) for token, _, text in found]
    token, text = next(iter([*users, *all_of_them]), (None, next(iter(texts.visible), texts.stand_in)))
    return TagState(
        mark=mark,
        token=token,
        text=_printable(text),
        artist=_printable(texts.artist),
        title=_printable(texts.title),
        tag_hash=source.sha256(tagged.tag_spans()),
        field=field,
        tokens=tuple(token for token, _ in all_of_them),
        user_tokens=tuple(token for token, _ in users),
    )


def _found(texts: Texts, mark: Mark | None) -> list[tuple[Mark, bool, str]]:
    """The tokens of a field's texts, each with whether it is ours and with the text it stands in."""
    shown = [(text, mark) for text in texts.visible] + [(texts.stand_in, None)]
    return [(*token, text) for text, ours in shown for token in find_tokens(text, ours)]


def _printable(text: str) -> str:
    """The text without lone surrogates, which no output could encode."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
