"""The audio id: a hash of the encoded audio, blind to every tag.

The packets of the audio stream already exclude tags that the container knows. What FFmpeg's MP3 and
FLAC demuxers hand on as if it were audio is cut by position: APEv2, Lyrics3, ID3v1 and an appended ID3v2.4
tag at the end of the file.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any, BinaryIO, Final

import av

_MAX_TRAILERS: Final = 16
_FORMATS_WITH_TRAILERS: Final = frozenset({"mp3", "flac"})


class AudioHasher:
    """Collects the packets of one audio stream into its audio id."""

    def __init__(self, codec: str, audio_end: int | None) -> None:
        self._hash = hashlib.blake2b(codec.encode(), digest_size=16)
        self._end = audio_end
        self._empty = True

    def update(self, packet: av.Packet[Any]) -> bool:
        """Take one demuxed packet in; False if it lies wholly behind the end of the audio."""
        data = memoryview(packet)
        if self._end is not None and packet.pos is not None and packet.pos + len(data) > self._end:
            data = data[: max(0, self._end - packet.pos)]
        if not data:
            return False
        self._hash.update(data)
        self._empty = False
        return True

    def hexdigest(self) -> str | None:
        """The audio id, 32 hex digits; None where no packet came: without audio there is no identity."""
        return None if self._empty else self._hash.hexdigest()


def audio_end(file: BinaryIO, container: str) -> int | None:
    """Where the audio ends in an MP3 or FLAC file, in bytes from its start; None for other containers.

    Walks back over any sequence of ID3v1 (and its extension), APEv1/2, Lyrics3 (v1 and v2) and appended
    ID3v2.4. The file's position is left where it was.
    """
    if container not in _FORMATS_WITH_TRAILERS:
        return None
    position = file.tell()
    end = file.seek(0, os.SEEK_END)
    for _ in range(_MAX_TRAILERS):
        length = _trailer_length(file, end)
        if not 0 < length <= end:
            break
        end -= length
    file.seek(position)
    return end


def _trailer_length(file: BinaryIO, end: int) -> int:
    """The length of the tag that ends at `end`, 0 if none does."""
    start = max(0, end - 128)
    file.seek(start)
    tail = file.read(end - start)
    if len(tail) == 128 and tail.startswith(b"TAG"):
        extended = max(0, end - 128 - 227)
        file.seek(extended)
        return 128 + 227 if file.read(4) == b"TAG+" and end >= 128 + 227 else 128
    if tail[-32:-24] == b"APETAGEX":
        size = int.from_bytes(tail[-20:-16], "little")
        flags = int.from_bytes(tail[-12:-8], "little")
        return size + (32 if flags & 1 << 31 else 0)
    if tail[-9:] == b"LYRICS200" and tail[-15:-9].isdigit():
        return int(tail[-15:-9]) + 15
    if tail[-9:] == b"LYRICSEND":
        return _lyrics3_v1_length(file, end)
    if tail[-10:-7] == b"3DI":
        size = 0
        for byte in tail[-4:]:
            size = size << 7 | byte & 0x7F
        return size + 20
    return 0


def _lyrics3_v1_length(file: BinaryIO, end: int) -> int:
    """Lyrics3 v1 states no size: at most 5,100 bytes of text behind the word LYRICSBEGIN."""
    start = max(0, end - 5100 - 20)
    file.seek(start)
    begin = file.read(end - start).rfind(b"LYRICSBEGIN")
    return end - start - begin if begin >= 0 else 0
