"""Which bytes of a file are audio rather than tags that other programs put around it.

FFmpeg takes some of these tags for audio: APEv2 with a large picture, Lyrics3 or an appended ID3v2.4 tag become
packets, and anything that makes the file longer than its Xing header says changes duration and padding. So it
is shown the bytes between the tags only.
"""

from __future__ import annotations

import io
import os
from typing import BinaryIO

from exporters.tags.envelope import audio_end, leading_end, trailing_tags
from exporters.tags.splice import Source
from moodzone_agent.audio.container import HEAD_BYTES, sniff
from moodzone_agent.errors import TagError


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
        self.error: OSError | None = None
        """Of the disk; it looks like the end of the file, since FFmpeg would try again and again, or hide it."""

    def check(self) -> None:
        """Raise the error that the disk has shown, if any."""
        if self.error is not None:
            raise self.error

    @property
    def share_read(self) -> float:
        """The place in it, 0 to 1."""
        return min(1.0, self._place / self._size)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        return self._place

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes: FFmpeg asks for as many as a damaged header says, gigabytes too."""
        if self.error is not None:
            return b""
        left = max(0, self._size - self._place)
        try:
            self._file.seek(self._start + self._place)
            data = self._file.read(left if size < 0 else min(size, left))
        except OSError as error:
            self.error = error
            return b""
        self._place += len(data)
        return data
