"""Which container a file is, from its first bytes. The ending of its name counts for nothing."""

from __future__ import annotations

from typing import Final

HEAD_BYTES: Final = 12
"""How many leading bytes `sniff` looks at."""

FORMATS: Final = "mp3,aac,flac,wav,w64,aiff,mov,ogg"
"""FFmpeg's names of the demuxers a file may be opened with; playlists that name other files are not among them."""


def sniff(head: bytes) -> str | None:
    """The container that a file's leading bytes announce, by FFmpeg's name, or None.

    A leading ID3v2 tag says ``mp3``, although FLAC and AIFF can follow one too; FFmpeg looks behind it.
    None does not prove that a file isn't music: an MP3 may begin with foreign bytes.
    """
    if head.startswith((b"ID3", b"APETAGEX")):
        return "mp3"
    if head.startswith(b"fLaC"):
        return "flac"
    if head.startswith(b"OggS"):
        return "ogg"
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return "wav"
    if head.startswith(b"riff.\x91\xcf\x11"):
        return "w64"
    if head.startswith(b"FORM") and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    if head[4:8] == b"ftyp":
        return "mov"
    if _is_mpeg_layer_3_header(head[:4]):
        return "mp3"
    return None


def is_cut_off(head: bytes, size: int) -> bool:
    """Whether a file of `size` bytes with this head is a WAV or AIFF file that ends before its header says.

    FFmpeg adapts a WAV file's duration to what is there. Sizes near and beyond 2 GB are what programs write that
    don't know the length yet.
    """
    if sniff(head) not in {"wav", "aiff"}:
        return False
    stated = int.from_bytes(head[4:8], "little" if head.startswith(b"R") else "big")
    return size < stated < 0x7FFF_0000  # the 8 bytes it leaves out are forgiven: programs get them wrong


def _is_mpeg_layer_3_header(head: bytes) -> bool:
    """ISO 11172-3, 2.4.1.3: sync, a known version, layer III, a valid bit rate and sampling rate."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    return version != 1 and layer == 1 and head[2] >> 4 not in (0, 15) and head[2] >> 2 & 3 != 3
