"""Which container a file is, from its first bytes. The ending of its name counts for nothing."""

from __future__ import annotations

from typing import Final

HEAD_BYTES: Final = 12
"""How many leading bytes `sniff` looks at."""

TAIL_BYTES: Final = 65_307
"""The longest page of an Ogg file, so that its last one begins within as many bytes from the end."""

_KILOBITS_1: Final = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KILOBITS_2: Final = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
"""Bit rates of layer III in MPEG 1, and in MPEG 2 and 2.5."""

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


def is_cut_off(head: bytes, tail: bytes, size: int) -> bool:
    """Whether a WAV, AIFF or Ogg file of `size` bytes that begins and ends so is shorter than it once was.

    `tail`: its last `TAIL_BYTES`. FFmpeg adapts the stated durations of these to what is there. Sizes in WAV and
    AIFF near and beyond 2 GB are what programs write that don't know the length yet.
    """
    container = sniff(head)
    if container == "ogg":
        return _lacks_last_page(tail)
    if container not in {"wav", "aiff"}:
        return False
    stated = int.from_bytes(head[4:8], "little" if head.startswith(b"R") else "big")
    return size < stated < 0x7FFF_0000  # the 8 bytes it leaves out are forgiven: programs get them wrong


def states_length(head: bytes) -> bool:
    """Whether a file that begins so says how long it is; FFmpeg guesses from the bit rate where it doesn't.

    `head`: its first `TAIL_BYTES`. MP3 says so in a frame before the first (Xing, Info, VBRI), ADTS never.
    """
    match sniff(head):
        case "mp3":
            return any(name in head for name in (b"Xing", b"Info", b"VBRI"))
        case "flac":
            return bool(head[21] & 0x0F or any(head[22:26])) if len(head) >= 26 else False
        case None:
            return False
    return True


def frame_length(frame: bytes) -> int | None:
    """The bytes that an MPEG layer III or ADTS frame has by its header (ISO 11172-3, 13818-7), or None."""
    if len(frame) >= 6 and frame[0] == 0xFF and frame[1] & 0xF6 == 0xF0:
        return (frame[3] & 3) << 11 | frame[4] << 3 | frame[5] >> 5
    if not _is_mpeg_layer_3_header(frame[:4]):
        return None
    version = frame[1] >> 3 & 3  # 3: MPEG 1, 2: MPEG 2, 0: MPEG 2.5
    rate = (44_100, 48_000, 32_000)[frame[2] >> 2 & 3] >> {3: 0, 2: 1, 0: 2}[version]
    kilobits = (_KILOBITS_1 if version == 3 else _KILOBITS_2)[frame[2] >> 4]
    return (144_000 if version == 3 else 72_000) * kilobits // rate + (frame[2] >> 1 & 1)


def _lacks_last_page(tail: bytes) -> bool:
    """RFC 3533, 6: only the last page has the flag 4; after a cut, another is the last or has not all its bytes."""
    start = tail.rfind(b"OggS")
    page = tail[start:]
    if start < 0:
        return False
    if len(page) < 27:
        return True
    return not page[5] & 4 or len(page) < 27 + page[26] + sum(page[27 : 27 + page[26]])


def _is_mpeg_layer_3_header(head: bytes) -> bool:
    """ISO 11172-3, 2.4.1.3: sync, a known version, layer III, a valid bit rate and sampling rate."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    return version != 1 and layer == 1 and head[2] >> 4 not in (0, 15) and head[2] >> 2 & 3 != 3
