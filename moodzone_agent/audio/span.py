"""Which bytes of a file are audio rather than tags that other programs put around it.

FFmpeg takes some of these tags for audio: APEv2 with a large picture, Lyrics3 or an appended ID3v2.4 tag become
packets, and anything that makes the file longer than its Xing header says changes duration and padding. So it
is shown the bytes between the tags only.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, Final

from exporters.tags.envelope import audio_end, leading_end, trailing_tags
from exporters.tags.id3 import tag_length
from exporters.tags.splice import Source
from moodzone_agent.audio.container import HEAD_BYTES, sniff
from moodzone_agent.errors import TagError

_ARRIVING_BYTES: Final = 4096
"""What is taken at once of what arrives: 0.1 s of an MP3 at 320 kb/s."""
_LAST_BYTES: Final = 2048
"""Held back of what arrives, since it may be a tag that only its end announces: ID3v1 or APEv1."""
_LONGEST_TAG: Final = 1 << 24
_LONGEST_LYRICS: Final = 1 << 20
_TAG_STARTS: Final = re.compile(rb"APETAGEX|LYRICSBEGIN|ID3\x04")


def audio_span(file: BinaryIO) -> tuple[int, int]:
    """Where audio with its container begins and ends, in bytes from the file's start.

    In front, ID3v2 and APEv2 tags are left out of any file; at the end ID3v1, APE, Lyrics3 and ID3v2.4 tags where
    no container says where the audio ends: MP3 and FLAC. Where a tag's size is malformed, all bytes count.
    """
    source = Source(file)
    try:
        start = min(_behind_ape(source, leading_end(source)), source.size)
        if _is_open_ended(source.peek(start, HEAD_BYTES)):
            return start, audio_end(source, trailing_tags(source, start))
    except TagError:
        return 0, source.size
    return start, source.size


def _is_open_ended(head: bytes) -> bool:
    return sniff(head) in {"mp3", "flac", None}


def _behind_ape(source: Source, start: int) -> int:
    return start + _ape_length(source.peek(start, 32))


def _ape_length(header: bytes) -> int:
    """Of the APEv2 tag with this header, or 0; it counts the footer, but not itself."""
    return 32 + int.from_bytes(header[12:16], "little") if header[:8] == b"APETAGEX" else 0


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


class ArrivingBytes:
    """The bytes between the tags of what arrives, each given on once it is known to be audio.

    The tags are those of `audio_span`, but for APEv1 tags of more than 2 kB at the end, which nothing announces, and
    tags beyond 16 MB.
    """

    def __init__(self, receive: Callable[[int], bytes]) -> None:
        """`receive(size)` waits for bytes and returns at most `size`, none at the end, like `os.read`."""
        self._receive = receive
        self._held = bytearray()
        self._needed = 0
        """Bytes to be held before the tag that seems to begin with them can be told from audio."""
        self._ended = False
        self._open_ended = False
        self.is_stopped = False
        """Whether Ctrl-C has ended it."""

    def skip_tags(self) -> bytes:
        """Go past the tags in front, leave out those behind, too; returns the first bytes, to be read again."""
        while length := self._leading_tag():
            while length and (self._held or self._fill()):
                length -= len(self._take(length))
        head = self._peek(HEAD_BYTES)
        self._open_ended = _is_open_ended(head)
        if sniff(head) == "mp3":
            self._forget_size()
        return head

    def read(self, size: int) -> bytes:
        """What there is, at most `size` bytes; waits for the first, and returns none at the end."""
        while not (count := self._count_audio()) and not self._ended:
            self._fill()
        return self._take(min(size, count))

    def _take(self, size: int) -> bytes:
        data = bytes(self._held[:size])
        del self._held[:size]
        return data

    def _peek(self, size: int) -> bytes:
        while len(self._held) < size and self._fill():
            pass
        return bytes(self._held[:size])

    def _fill(self) -> bool:
        """Wait for more; False at the end, when the tags there are cut off."""
        data = b""
        if not self._ended:
            try:
                data = self._receive(_ARRIVING_BYTES)
            except KeyboardInterrupt:  # which would be lost on its way through FFmpeg
                self.is_stopped = True
        self._held += data
        if not data and not self._ended:
            self._ended = True
            if self._open_ended:
                source = Source(io.BytesIO(self._held))
                with suppress(TagError):
                    del self._held[audio_end(source, trailing_tags(source, 0)) :]
        return bool(data)

    def _count_audio(self) -> int:
        """How many of the bytes held can't be part of a tag at the end."""
        if self._ended or not self._open_ended:
            return len(self._held)
        if len(self._held) < self._needed:
            return 0
        start = reach = -1
        for match in _TAG_STARTS.finditer(self._held):
            if match.start() > reach:  # the tag before isn't the last, and there is no other behind it
                start = match.start()
            reach = max(reach, match.start() + self._tag_length(match.start()) + _LAST_BYTES)
        if reach < len(self._held):
            start = len(self._held)
        count = max(0, start - _LAST_BYTES)
        self._needed = 0 if count else reach
        return count

    def _leading_tag(self) -> int:
        header = self._peek(32)
        with suppress(TagError):
            return tag_length(header) or _ape_length(header)
        return 0

    def _tag_length(self, start: int) -> int:
        """Of what may be a tag at the end, or 0."""
        header = bytes(self._held[start : start + 32])
        length = 0
        if header.startswith(b"LYRICS"):
            length = _LONGEST_LYRICS
        elif header.startswith(b"APE"):
            length = _ape_length(header) if header[23:24] and header[23] & 0x20 else 0  # not a footer
        elif header[5:6] and header[5] & 0x10:  # with a footer
            with suppress(TagError):
                length = tag_length(header)
        return length if length <= _LONGEST_TAG else 0

    def _forget_size(self) -> None:
        """Blank the size that a Xing header states.

        FFmpeg finds that it contradicts the unknown size of a pipe, and then plays the padding at the end, too.
        """
        head = self._peek(64)
        for place in (
            13,
            21,
            36,
        ):  # behind the side information: MPEG 2 mono; MPEG 1 mono or 2 stereo; 1 stereo
            if head[place : place + 4] in (b"Xing", b"Info") and head[place + 7] & 2:
                size = place + 8 + (4 if head[place + 7] & 1 else 0)
                self._held[size : size + 4] = bytes(4)
