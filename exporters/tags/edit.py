"""Zone marks in the tags of one audio file: read them, or edit a private copy and prove that harmless.

The format is recognised by the file's content, never by its name. A file that cannot be edited without risk
to other programs' data is refused with a TagError whose text says why. Only the chosen visible field is
looked at: to move the token to another field, take the mark out with the old one first.
"""

from __future__ import annotations

import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Literal

from exporters.tags.entries import TagField, new_text
from exporters.tags.envelope import leading_end
from exporters.tags.flac import FlacFile
from exporters.tags.mapping import find_tokens
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


@dataclass(frozen=True, slots=True)
class TagState:
    """What a file's tags say."""

    mark: Mark | None
    """Our own field; None if it is absent or garbled."""
    token: Mark | None
    """The visible token; of several that whose zone is not that of ``mark``, since the user typed it."""
    text: str
    """The whole text the token stands in or would come to; empty if there is none."""
    artist: str
    title: str
    tag_hash: str
    """Hex SHA-256 over all tag bytes of the file."""
    field: TagField = TagField.COMMENT
    """The visible field that was looked at."""


def read_state(path: Path, *, field: TagField = TagField.COMMENT) -> TagState:
    """What the tags of a file say. Opens it for reading only. Raises TagError."""
    with _opened(path, "rb") as file:
        return _state(Source(file), field)


def apply_mark(copy: Path, mark: Mark | None, *, field: TagField = TagField.COMMENT) -> TagState:
    """Edit a private copy in place so that it carries ``mark``, or nothing of ours for None.

    Returns the new state. A mark that is there already changes no byte. None takes out our own field, the
    token in the chosen field, and the frames, chunks and tags made for them. Audio, foreign data and mark are
    read back and compared, the mark by mutagen too. Raises TagError; the copy may then be half edited and is
    to be thrown away.
    """
    with _opened(copy, "r+b") as file:
        source = Source(file)
        before = _parse(source)
        edits = before.edits(mark, field)
        if edits:
            was_readable = own_field(file) is not None
            audio, foreign = source.sha256(before.audio_spans()), before.foreign(field)
            splice(file, edits)
            source = Source(file)
            after = _parse(source)
            if source.sha256(after.audio_spans()) != audio:
                raise TagError(
                    "The edit would have changed the audio; nothing was written. Please report this file."
                )
            if after.foreign(field) != foreign:
                raise TagError(
                    "The edit would have changed other data; nothing was written. Please report this file."
                )
            if was_readable and own_field(file) != (mark.field if mark else ""):
                raise TagError(
                    "Another reader would not find what was written; nothing was written. Please report this file."
                )
        state = _state(source, field)
    shown = None if mark is None or field is TagField.NONE else mark.token
    if state.mark != mark or (state.token and state.token.token) != shown:
        raise TagError("The mark could not be read back; nothing was written. Please report this file.")
    return state


def preview_text(state: TagState, mark: Mark | None) -> str:
    """The visible text as ``apply_mark`` would leave it."""
    return state.text if state.field is TagField.NONE else new_text(state.text, mark, state.field)


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


def _state(source: Source, field: TagField) -> TagState:
    tagged = _parse(source)
    texts = tagged.texts(field)
    mark = Mark.from_field(texts.own)
    found = [(token, text) for text in texts.visible for token in find_tokens(text)]
    differing = [(token, text) for token, text in found if mark is not None and token.zone is not mark.zone]
    token, text = next(iter([*differing, *found]), (None, next(filter(None, texts.visible), "")))
    return TagState(
        mark=mark,
        token=token,
        text=_printable(text),
        artist=_printable(texts.artist),
        title=_printable(texts.title),
        tag_hash=source.sha256(tagged.tag_spans()),
        field=field,
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
    return MpegFile(source)


def _printable(text: str) -> str:
    """The text without lone surrogates, which no output could encode."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
