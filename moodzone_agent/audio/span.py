"""Which bytes of a file are audio rather than tags that other programs put around it.

FFmpeg takes some of these tags for audio: APEv2 with a large picture, Lyrics3 or an appended ID3v2.4 tag become
packets, and anything that makes the file longer than its Xing header says changes duration and padding. So it
is shown the bytes between the tags only.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, BinaryIO

from exporters.tags.envelope import audio_end, leading_end, trailing_tags
from exporters.tags.splice import Source
from moodzone_agent.audio.container import HEAD_BYTES, sniff
from moodzone_agent.errors import TagError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


def audio_span(file: BinaryIO) -> tuple[int, int]:
    """Where audio with its container begins and ends, in bytes from the file's start.

    In front, ID3v2 and APEv2 tags are left out of any file; at the end ID3v1, APE, Lyrics3 and ID3v2.4 tags where
    no container says where the audio ends: MP3 and FLAC. Where a tag's size is malformed, all bytes count.
    """
    source = Source(file)
    try:
        start = min(_behind_ape(source, leading_end(source)), source.size)
        if sniff(source.peek(start, HEAD_BYTES)) in {"mp3", "flac", None}:
            return start, audio_end(source, trailing_tags(source, start))
    except TagError:
        return 0, source.size
    return start, source.size


def _behind_ape(source: Source, start: int) -> int:
    """The offset behind an APEv2 tag that starts here; its header counts the footer, but not itself."""
    header = source.peek(start, 32)
    return start + 32 + int.from_bytes(header[12:16], "little") if header[:8] == b"APETAGEX" else start


class AudioBytes(io.RawIOBase):
    """The bytes of a file from `start` to `end`, as if they were all of it."""

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self._file = file
        self._start = start
        self._size = end - start
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        return self._place

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        wanted = max(0, min(len(view), self._size - self._place))
        self._file.seek(self._start + self._place)
        data = self._file.read(wanted)
        view[: len(data)] = data
        self._place += len(data)
        return len(data)
