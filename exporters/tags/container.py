"""A file of any format: opening it, finding its structure, and carrying out an edit that proves harmless.

The format is recognised by the file's content, never by its name.
"""

from __future__ import annotations

import stat
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final, Literal

from exporters.filesystem import explain
from exporters.tags.envelope import leading_end
from exporters.tags.flac import FlacFile
from exporters.tags.mp4 import Mp4File
from exporters.tags.mpeg import MpegFile
from exporters.tags.ogg import OggFile
from exporters.tags.riff import AiffFile, WaveFile
from exporters.tags.splice import Source, splice
from moodzone_agent.errors import TagError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from exporters.tags.entries import EntryEdit
    from exporters.tags.layout import TaggedFile

_WAVE64: Final = b"riff.\x91\xcf\x11"
"""Start of the GUID that stands where other WAV files have RIFF."""


@contextmanager
def opened(path: Path, mode: Literal["rb", "r+b"]) -> Iterator[IO[bytes]]:
    """The open file. Raises TagError for what is no regular file, and in place of OSError."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise TagError("This is no file but a folder, pipe or device.")
        with path.open(mode) as file:
            yield file
    except OSError as error:
        raise TagError(explain(error)) from error


def parse(source: Source) -> TaggedFile:
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


def carry_out(
    file: IO[bytes],
    before: TaggedFile,
    edit: EntryEdit,
    *,
    witness: Callable[[IO[bytes]], object],
    expected: object,
) -> Source:
    """Edit the file in place, and compare audio and foreign data with what they were.

    ``witness`` is another reader's view of what is written, None where it cannot read the file; it has to be
    ``expected`` afterwards. Returns access to the new content. Raises TagError; the file may then be half
    edited.
    """
    source = Source(file)
    edits = before.edits(edit)
    if not edits:
        return source
    was_readable = witness(file) is not None
    audio, foreign = source.sha256(before.audio_spans()), before.foreign(edit)
    splice(file, edits)
    source = Source(file)
    after = parse(source)
    if source.sha256(after.audio_spans()) != audio:
        raise TagError("The edit would have changed the audio; nothing was written. Please report this file.")
    if after.foreign(edit) != foreign:
        raise TagError(
            "The edit would have changed other data; nothing was written. Please report this file."
        )
    if was_readable and witness(file) != expected:
        raise TagError(
            "Another reader would not find what was written; nothing was written. Please report this file."
        )
    return source
