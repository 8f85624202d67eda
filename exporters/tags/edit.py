"""Zone marks in the tags of one audio file: read them, or edit a private copy and prove that harmless.

The format is recognised by the file's content, never by its name. A file that cannot be edited without risk
to other programs' data is refused with a TagError whose text says why.

Of the visible tokens that is ours which is spelled as our own field's mark spells it, the first of its kind in
each text. All others are the user's: they are reported, and never changed.
"""

from __future__ import annotations

import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final, Literal

from exporters.tags.entries import Plan, TagField
from exporters.tags.envelope import leading_end
from exporters.tags.flac import FlacFile
from exporters.tags.mapping import find_tokens, has_token
from exporters.tags.mp4 import Mp4File
from exporters.tags.mpeg import MpegFile
from exporters.tags.ogg import OggFile
from exporters.tags.riff import AiffFile, WaveFile
from exporters.tags.second_opinion import own_field
from exporters.tags.splice import Source, splice
from moodzone_agent.errors import TagError
from moodzone_agent.types import Mark

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from exporters.tags.layout import TaggedFile

__all__ = ["TagField", "TagState", "apply_mark", "encoded_audio_digest", "preview_text", "read_state"]


_WAVE64: Final = b"riff.\x91\xcf\x11"
"""Start of the GUID that stands where other WAV files have RIFF."""


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
    with _opened(path, "rb") as file:
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
    with _opened(copy, "r+b") as file:
        source = Source(file)
        before = _parse(source)
        plan = _plan(before, mark, field)
        edits = before.edits(plan)
        if edits:
            was_readable = own_field(file) is not None
            audio, foreign = source.sha256(before.audio_spans()), before.foreign(plan.spellings)
            splice(file, edits)
            source = Source(file)
            after = _parse(source)
            if source.sha256(after.audio_spans()) != audio:
                raise TagError(
                    "The edit would have changed the audio; nothing was written. Please report this file."
                )
            if after.foreign(plan.spellings) != foreign:
                raise TagError(
                    "The edit would have changed other data; nothing was written. Please report this file."
                )
            if was_readable and own_field(file) != (mark.field if mark else ""):
                raise TagError(
                    "Another reader would not find what was written; nothing was written. Please report this file."
                )
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
    plan = Plan(state.mark, mark, state.field, (state.field,), inserts)
    return plan.added(state.text) if inserts else plan.replaced(state.text, state.field)


def encoded_audio_digest(path: Path) -> str:
    """Hex SHA-256 over the encoded audio, which is found by the file's structure and not decoded.

    It is equal for files that differ in their tags only. Raises TagError.
    """
    with _opened(path, "rb") as file:
        source = Source(file)
        return source.sha256(_parse(source).audio_spans())


@contextmanager
def _opened(path: Path, mode: Literal["rb", "r+b"]) -> Iterator[IO[bytes]]:
    """The open file. Raises TagError for what is no regular file, and in place of OSError."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise TagError("This is no file but a folder, pipe or device.")
        with path.open(mode) as file:
            yield file
    except OSError as error:
        raise TagError(
            f"The file could not be opened, read or written: {error.strerror or error}."
        ) from error


def _plan(tagged: TaggedFile, mark: Mark | None, field: TagField) -> Plan:
    """What to do to a file. Raises TagError if a token of the user's contradicts the mark."""
    old = Mark.from_field(tagged.texts(field).own)
    users = [
        token
        for text in tagged.texts(field).visible
        for token, is_ours in find_tokens(text, old)
        if not is_ours
    ]
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
    tagged = _parse(source)
    texts = tagged.texts(field)
    mark = Mark.from_field(texts.own)
    found = [(*token, text) for text in texts.visible for token in find_tokens(text, mark)]
    users = [(token, text) for token, is_ours, text in found if not is_ours]
    all_of_them = [(token, text) for token, _, text in found]
    token, text = next(iter([*users, *all_of_them]), (None, next(iter(texts.visible), "")))
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


def _parse(source: Source) -> TaggedFile:
    """The file's structure, by its first bytes."""
    start = leading_end(source)
    magic = source.peek(start, 12)
    if magic[:4] == b"fLaC":
        return FlacFile(source)
    for is_it, kind in (
        (magic[:4] == b"OggS", OggFile),
        (magic[:4] == b"RIFF" and magic[8:] == b"WAVE", WaveFile),
        (magic[:4] == b"FORM" and magic[8:] in (b"AIFF", b"AIFC"), AiffFile),
        (magic[4:8] == b"ftyp", Mp4File),
    ):
        if is_it and start:
            raise TagError(
                "An ID3 tag stands in front of a format that has none there. Remove it with a tag editor."
            )
        if is_it:
            return kind(source)
    if magic[:4] in (b"RF64", b"BW64"):
        raise TagError("WAV files of the RF64 kind cannot be tagged. Convert the file to FLAC or AIFF.")
    if magic[:8] == _WAVE64:
        raise TagError(
            "WAV files of the Wave64 kind (W64) cannot be tagged. Convert the file to FLAC or AIFF."
        )
    return MpegFile(source)


def _printable(text: str) -> str:
    """The text without lone surrogates, which no output could encode."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
