"""Audio that arrives as it is made: a pipe, which can't be wound back and ends when it ends."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Final, Self

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from moodzone_agent.audio.container import FORMATS, sniff
from moodzone_agent.audio.decode import Decoder, Resampler, audio_stream, hold_within_range
from moodzone_agent.audio.identity import AudioHasher
from moodzone_agent.audio.span import ArrivingBytes
from moodzone_agent.errors import AudioError

_BLOCK_SECONDS: Final = 0.1
_READ_BYTES: Final = 4096
"""What FFmpeg takes at once, and looks at before the first sample: of its own accord it would wait for megabytes."""
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
        self._receiver = _Receiver(descriptor)
        try:
            self._open(raw)
        except BaseException:
            self._receiver.close()
            raise

    def _open(self, raw: RawFormat | None) -> None:
        self._source = source = ArrivingBytes(self._receiver.read)
        options = {"format_whitelist": FORMATS}
        if raw is None:
            head = source.skip_tags()
            name = sniff(head)
            if not head:
                raise AudioError("nothing arrived")
        else:
            name = raw.encoding
            options |= {
                "format_whitelist": raw.encoding,
                "sample_rate": str(raw.rate),
                "ch_layout": f"{raw.channels}C",
            }
        if name is not None:
            options["probesize"] = str(_READ_BYTES)
        try:
            self._container = av.open(
                source, "r", format=name, options=options, buffer_size=_READ_BYTES, metadata_errors="replace"
            )
        except (av.error.FFmpegError, ValueError) as error:
            raise AudioError(f"not music that can be read as it arrives ({error})") from error
        self._stream = audio_stream(self._container)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()
        self._receiver.close()

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


class _Receiver:
    """Reads from a descriptor until Ctrl-C.

    From here to `close`, Ctrl-C raises nothing where it strikes: FFmpeg calls for bytes, and an exception would be lost
    on its way through it. The next or the waiting `read` raises instead. Not on Windows, where pipes can't be waited
    for together, nor outside the main thread.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._before: signal._HANDLER = None
        self._stopped = self._stop = -1
        is_heard = (
            signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
        )  # else a shell runs it in the background
        in_main_thread = threading.current_thread() is threading.main_thread()
        if is_heard and in_main_thread and sys.platform != "win32":
            self._stopped, self._stop = os.pipe()
            self._before = signal.signal(signal.SIGINT, self._note)

    def read(self, size: int) -> bytes:
        """At most `size` bytes, none at the end. Raises KeyboardInterrupt once Ctrl-C was pressed."""
        if self._stopped >= 0:
            ready, _, _ = select.select((self._descriptor, self._stopped), (), ())
            if self._stopped in ready:
                raise KeyboardInterrupt
        return os.read(self._descriptor, size)

    def close(self) -> None:
        """Have Ctrl-C do again what it did before."""
        if self._stopped >= 0:
            signal.signal(signal.SIGINT, self._before)
            os.close(self._stopped)
            os.close(self._stop)
            self._stopped = -1

    def _note(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        os.write(self._stop, b"c")
