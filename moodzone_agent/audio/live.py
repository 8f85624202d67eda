"""Audio that arrives as it is made: a pipe, which can't be wound back and ends when it ends."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from moodzone_agent.audio.container import FORMATS, HEAD_BYTES, sniff
from moodzone_agent.audio.decode import Decoder, Resampler, hold_within_range
from moodzone_agent.audio.identity import AudioHasher
from moodzone_agent.errors import AudioError

_BLOCK_SECONDS: Final = 0.1
_READ_BYTES: Final = 4096
"""What is waited for at most: 0.1 s of an MP3 at 320 kb/s."""
_PROBE_BYTES: Final = 4 * _READ_BYTES
"""What FFmpeg may look at before the first sample; of its own accord it would wait for megabytes."""
_ID3_HEADER_BYTES: Final = 10
_SKIPPED_AT_ONCE: Final = 1 << 16
RAW_ENCODINGS: Final = (
    "u8",
    "s16le",
    "s16be",
    "s24le",
    "s24be",
    "s32le",
    "s32be",
    "f32le",
    "f32be",
    "f64le",
    "f64be",
)
"""Of samples, by FFmpeg's names: unsigned, signed or float, bits, byte order."""


@dataclass(frozen=True, slots=True)
class RawFormat:
    """Samples without a container."""

    encoding: str
    """One of `RAW_ENCODINGS`."""
    rate: int
    """Hertz."""
    channels: int


class LiveReader:
    """Decodes audio from a file descriptor while it arrives.

    Errors: `AudioError` if it isn't music that can be read so, or holds no audio.
    """

    def __init__(self, descriptor: int, raw: RawFormat | None = None) -> None:
        self._source = source = _Arriving(descriptor)
        options = {"format_whitelist": FORMATS, "probesize": str(_PROBE_BYTES)}
        if raw is None:
            head = source.skip_id3()
            name = sniff(head)
            if not head:
                raise AudioError("nothing arrived")
        else:
            name = raw.encoding
            options |= {
                "format_whitelist": raw.encoding,
                "sample_rate": str(raw.rate),
                "ch_layout": f"{raw.channels}c",
            }
        try:
            self._container = av.open(
                source, "r", format=name, options=options, buffer_size=_READ_BYTES, metadata_errors="replace"
            )
        except (av.error.FFmpegError, ValueError) as error:
            raise AudioError(f"not music that can be read as it arrives ({error})") from error
        with ExitStack() as failed:
            failed.callback(self._container.close)
            if not self._container.streams.audio:
                raise AudioError("holds no audio stream")
            self._stream = self._container.streams.audio[0]
            self._stream.codec_context.thread_count = 1
            failed.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    @property
    def is_stopped(self) -> bool:
        """Whether Ctrl-C has ended the audio."""
        return self._source.is_stopped

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """The analysis signal: mean of the channels at 22,050 Hz, float32, in blocks of 0.1 s."""
        resampler = Resampler()
        decoder = Decoder(
            self._packets(),
            AudioHasher(self._stream.codec_context.codec.canonical_name),
            block_seconds=_BLOCK_SECONDS,
        )
        for samples, rate in decoder.mono_blocks():
            hold_within_range(samples)
            block = resampler.push(samples, rate)
            if block.size:
                yield block
        if not decoder.good and self._container.format.name.startswith("mov"):
            raise AudioError(
                "the index of this M4A is behind its audio, so it can't be read as it arrives: "
                "name the file instead of piping it"
            )
        block = resampler.flush()
        if block.size:
            yield block

    def _packets(self) -> Iterator[av.Packet[av.AudioStream]]:
        try:
            yield from self._container.demux(self._stream)
        except av.error.FFmpegError:
            return  # the sender stopped in the middle; what came counts


class _Arriving(io.RawIOBase):
    """The bytes of a descriptor, given on as soon as there are any."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._ahead = b""
        """Read, but not given on yet."""
        self.is_stopped = False
        """By Ctrl-C, which ends the audio."""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self.is_stopped:
            return b""
        if not self._ahead:
            try:
                return os.read(self._descriptor, size if 0 < size <= _READ_BYTES else _READ_BYTES)
            except KeyboardInterrupt:  # which would be lost on its way through FFmpeg
                self.is_stopped = True
                return b""
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        return data

    def skip_id3(self) -> bytes:
        """Go past ID3v2 tags in front, and return the first bytes behind them; they will be read again."""
        while True:
            head = self._peek(max(HEAD_BYTES, _ID3_HEADER_BYTES))
            if (
                not head.startswith(b"ID3")
                or len(head) < _ID3_HEADER_BYTES
                or any(b & 0x80 for b in head[6:10])
            ):
                return head
            size = _ID3_HEADER_BYTES + sum(
                byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True)
            )
            size += _ID3_HEADER_BYTES if head[5] & 0x10 else 0  # its footer
            while size > 0 and self._peek(1):
                size -= len(self.read(min(size, _SKIPPED_AT_ONCE)))

    def _peek(self, count: int) -> bytes:
        while len(self._ahead) < count:
            data = os.read(self._descriptor, _READ_BYTES)
            if not data:
                break
            self._ahead += data
        return self._ahead[:count]
