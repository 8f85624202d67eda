"""One pass over a file: its packets give the audio id, its samples the analysis signal."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, NamedTuple, Self, cast

import av
import av.error
import numpy as np
import soxr
from av.audio.plane import AudioPlane
from av.container import InputContainer
from numpy.typing import NDArray

from moodzone_agent.audio.container import (
    FORMATS,
    TAIL_BYTES,
    frame_length,
    is_cut_off,
    sniff,
    states_length,
)
from moodzone_agent.audio.identity import AudioHasher
from moodzone_agent.audio.rate import SAMPLE_RATE
from moodzone_agent.audio.span import AudioBytes, audio_span
from moodzone_agent.errors import AudioError

_RATES: Final = range(1_000, 768_001)
"""Hertz that music comes in; a damaged header may state others, and blocks of a second must stay small."""
_BLOCK_SECONDS: Final = 1.0
_READ_BYTES: Final = 1 << 17
_MAX_AMPLITUDE: Final = 8.0
"""Beyond this (18 dB over full scale) a float sample is a fault, and its square could overflow."""
_MAX_BROKEN_SHARE: Final = 0.2
"""Of the packets. Where only frames' headers are broken, FFmpeg finds twice as many broken packets."""
_MIN_PRESENT_SHARE: Final = 0.8
"""A file whose audio ends earlier in what it states was cut off."""
_LEAST_MISSING_SHARE: Final = 0.005
_LEAST_MISSING_SECONDS: Final = 0.1
_LEAST_MISSING_BYTES: Final = 4096
"""Delays of encoders, and foreign bytes around the audio, stay below these."""

# FFmpeg's sample formats: NumPy type, and the factor that brings full scale to 1.
_SAMPLE_FORMATS: Final[dict[str, tuple[str, float]]] = {
    "u8": ("u1", 2.0**-7),
    "s16": ("i2", 2.0**-15),
    "s32": ("i4", 2.0**-31),
    "s64": ("i8", 2.0**-63),
    "flt": ("f4", 1.0),
    "dbl": ("f8", 1.0),
}


class AudioReader:
    """An audio file opened for one pass.

    >>> with AudioReader(path) as reader:            # doctest: +SKIP
    ...     for block in reader.blocks():            # float32, mono, 22,050 Hz, about 1 s each
    ...         accumulator.push(block)
    ...     reader.audio_id

    Errors: `AudioError` if the file isn't music, holds no audio or more than 20 % of it is broken. `OSError`
    passes through: a drive that vanishes says nothing about the file.
    """

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("rb")
        try:
            self._open()
        except BaseException:
            self._file.close()
            raise
        self.warnings: list[str] = []

    def _open(self) -> None:
        start, end = audio_span(self._file)
        if start == end:
            raise AudioError(
                "holds no audio: " + ("the file is empty" if end == 0 else "there are only tags")
            )
        self._bytes = audio = AudioBytes(self._file, start, end)
        head = audio.read(TAIL_BYTES)
        audio.seek(max(0, end - start - TAIL_BYTES))
        tail = audio.read() if sniff(head) == "ogg" else b""  # where FFmpeg looks, too
        audio.seek(0)
        self._cut_off = is_cut_off(head, tail, end - start)
        self._states_length = states_length(head)
        try:
            # Opened by handle, not by name: any name works, its ending counts for nothing, and FFmpeg reads
            # no second file.
            container = av.open(
                audio,
                "r",
                format=sniff(head),
                metadata_errors="replace",
                options={"format_whitelist": FORMATS},
                buffer_size=_READ_BYTES,
            )
        except (av.error.FFmpegError, ValueError) as error:
            audio.check()
            raise AudioError(f"not a music file that can be read ({_reason(error)})") from error
        audio.check()
        # Without a word about their length, frames that follow each other can only be counted by their bytes.
        self._is_bare = container.format.name in {"mp3", "aac"} and not self._states_length
        self._container = container
        self._stream = audio_stream(container)
        self._hasher = AudioHasher(self._stream.codec_context.codec.canonical_name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()
        self._file.close()

    @property
    def stated_duration(self) -> float | None:
        """Seconds as the container states them; may be an estimate, or None."""
        if self._stream.duration is not None and self._stream.time_base is not None:
            return float(self._stream.duration * self._stream.time_base)
        return self._container.duration / av.time_base if self._container.duration is not None else None

    @property
    def share_read(self) -> float:
        """How much of the bytes between the tags FFmpeg has taken so far, 0 to 1."""
        return self._bytes.share_read

    @property
    def audio_id(self) -> str:
        """The audio id, once `blocks` or `identify` has run to its end."""
        digest = self._hasher.hexdigest()
        if digest is None:
            raise AudioError("holds no audio")
        return digest

    def identify(self) -> str:
        """Run through the packets without decoding them, and return the audio id."""
        for packet in self._packets():
            self._hasher.update(packet)
        return self.audio_id

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """The analysis signal: mean of the channels at 22,050 Hz, float32, in blocks of about 1 s."""
        resampler = Resampler()
        decoder = Decoder(self._packets(), self._hasher, count_bytes=self._is_bare)
        bad_samples, seconds = 0, 0.0
        for samples, rate in decoder.mono_blocks():
            bad_samples += hold_within_range(samples)
            seconds += samples.size / rate
            block = resampler.push(samples, rate)
            if block.size:
                yield block
        block = resampler.flush()
        if block.size:
            yield block
        if bad_samples:
            self.warnings.append(f"{bad_samples} samples were not numbers and count as silence")
        self._judge(decoder, seconds)

    def _judge(self, decoder: Decoder, seconds: float) -> None:
        """Refuse what is mostly broken, and warn of what is missing of the rest."""
        lost = decoder.broken / max(1, decoder.broken + decoder.good)
        if lost > _MAX_BROKEN_SHARE:
            raise AudioError(f"{lost:.0%} of its audio is broken")
        size = self._bytes.seek(0, os.SEEK_END)
        stated = self.stated_duration if self._states_length else None
        ends_early = stated is not None and decoder.end < _MIN_PRESENT_SHARE * stated
        if ends_early:
            self.warnings.append(
                f"ends early: after {decoder.end:.0f} s of the {stated:.0f} s that it states"
            )
        elif self._cut_off or (self._is_bare and decoder.last_is_cut_off):
            self.warnings.append("ends early: its end was cut off")
        if self._is_bare and size - decoder.bytes > _LEAST_MISSING_BYTES:
            missing = 1 - decoder.bytes / size
        elif stated is not None and not ends_early and stated - seconds > _LEAST_MISSING_SECONDS:
            missing = 1 - seconds / stated
        else:
            missing = 0.0
        lost = max(lost, missing if missing > _LEAST_MISSING_SHARE else 0.0)
        if lost:
            self.warnings.append(f"{lost:.1%} of its audio is broken or missing")

    def _packets(self) -> Iterator[av.Packet[av.AudioStream]]:
        try:
            yield from self._container.demux(self._stream)
        except av.error.FFmpegError as error:
            self.warnings.append(f"reading stopped early ({_reason(error)})")
        self._bytes.check()


def audio_stream(container: InputContainer) -> av.AudioStream:
    """The stream that is the music, ready to be decoded on one thread.

    Errors: `AudioError`, after closing the container, if there is none or FFmpeg has no decoder for it.
    """
    if not container.streams.audio:
        container.close()
        raise AudioError("holds no audio stream")
    stream = cast(av.AudioStream, container.streams.best("audio") or container.streams.audio[0])
    try:
        stream.codec_context.thread_count = 1
        if stream.codec_context.codec.canonical_name == "flac":  # whose decoder only logs a wrong checksum
            stream.codec_context.options = {"err_detect": "crccheck+explode"}
    except (AttributeError, RuntimeError) as error:
        container.close()
        raise AudioError("is encoded in a way that this program cannot decode") from error
    return stream


def hold_within_range(samples: NDArray[np.float32]) -> int:
    """Clip samples to 18 dB over full scale, in place; returns how many weren't numbers, which become silence."""
    if samples.min() >= -_MAX_AMPLITUDE and samples.max() <= _MAX_AMPLITUDE:
        return 0
    bad = ~np.isfinite(samples)
    samples[bad] = 0
    np.clip(samples, -_MAX_AMPLITUDE, _MAX_AMPLITUDE, out=samples)
    return int(np.count_nonzero(bad))


class Decoder:
    """Packets to mono samples at the file's own rate, in blocks of about `block_seconds`."""

    def __init__(
        self,
        packets: Iterator[av.Packet[av.AudioStream]],
        hasher: AudioHasher,
        *,
        count_bytes: bool = False,
        block_seconds: float = _BLOCK_SECONDS,
    ) -> None:
        self._packets = packets
        self._hasher = hasher
        self._count_bytes = count_bytes
        self._block_seconds = block_seconds
        self.good = 0
        self.broken = 0
        self.bytes = 0
        """Of all MP3 or ADTS frames, if they are to be counted."""
        self._usual_size = 0
        self._last: av.Packet[av.AudioStream] | None = None

    @property
    def end(self) -> float:
        """Where the last packet ends, in seconds by its time stamp."""
        if self._last is None or self._last.pts is None or self._last.time_base is None:
            return 0.0
        return float((self._last.pts + (self._last.duration or 0)) * self._last.time_base)

    @property
    def last_is_cut_off(self) -> bool:
        """Whether the last packet is an MP3 or ADTS frame shorter than its header says."""
        return self._last is not None and self._last.size < (frame_length(bytes(self._last)) or 0)

    def mono_blocks(self) -> Iterator[tuple[NDArray[np.float32], int]]:
        # Frames wait until there is a block of them: a NumPy call between the decoder's costs several times what
        # it costs among its like. Not in an av.AudioFifo, which frees the layouts of unusual channels twice.
        pending: list[av.AudioFrame] = []
        count = 0
        seconds = 0.0
        kind: _Kind | None = None
        for frame in self._frames():
            this = (frame.format.name, frame.layout.nb_channels, frame.sample_rate)
            if kind is None or this != kind or count >= kind.rate * self._block_seconds:
                if kind is not None:
                    yield _downmix(pending, kind), kind.rate
                    seconds += count / kind.rate
                    pending, count = [], 0
                kind = _Kind(*this)
                if kind.rate not in _RATES:
                    raise AudioError(f"states {kind.rate} samples a second; its header may be damaged")
            pending.append(frame)
            count += frame.samples
        if kind is not None:
            samples = _downmix(pending, kind)
            padding = round(self._overhang(seconds + count / kind.rate) * kind.rate)
            yield samples[:-padding] if 0 < padding < pending[-1].samples else samples, kind.rate

    def _overhang(self, end: float) -> float:
        """Seconds from where an M4A's edit list ends the audio to `end`: FFmpeg leaves out whole packets only."""
        stream = self._last.stream if self._last is not None else None
        if stream is None or not stream.container.format.name.startswith("mov"):
            return 0.0
        return end - float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0

    def _frames(self) -> Iterator[av.AudioFrame]:
        for packet in self._packets:
            self._hasher.update(packet)
            if packet.size:
                self._last = packet
                if self._count_bytes:
                    self.bytes += self._frame_size(packet)
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                self.broken += 1
                continue
            self.good += 1
            for frame in frames:
                if frame.samples:
                    yield frame

    def _frame_size(self, packet: av.Packet[av.AudioStream]) -> int:
        """Bytes of the frame in a packet; of broken ones before it, FFmpeg leaves the bytes in front of it."""
        if frame_length(bytes(memoryview(packet)[:6])) == packet.size:
            self._usual_size = packet.size
        return min(packet.size, self._usual_size or packet.size)


class _Kind(NamedTuple):
    """What frames that are mixed together have in common."""

    format: str
    channels: int
    rate: int


@np.errstate(over="ignore", invalid="ignore")  # whoever takes the result looks for what is not finite
def _downmix(frames: list[av.AudioFrame], kind: _Kind) -> NDArray[np.float32]:
    """Mean of the channels, full scale at 1."""
    name, scale = _SAMPLE_FORMATS[kind.format.removesuffix("p")]
    dtype = np.dtype(name)
    weights = np.full(kind.channels, scale / kind.channels, np.float32)
    planes = [frame.planes for frame in frames]
    if kind.format.endswith("p"):
        # PyAV lists further planes where there are more than 8 channels, read from beyond the end of FFmpeg's list.
        parts = [frame_planes[channel] for channel in range(kind.channels) for frame_planes in planes]
        sizes = [frame.samples * dtype.itemsize for frame in frames] * kind.channels
        mixed = weights @ _joined(parts, sizes, dtype).reshape(kind.channels, -1)
    else:
        parts = [frame_planes[0] for frame_planes in planes]
        sizes = [frame.samples * dtype.itemsize * kind.channels for frame in frames]
        mixed = _joined(parts, sizes, dtype).reshape(-1, kind.channels) @ weights
    if dtype.kind == "u":
        mixed -= 1  # silence is in the middle
    return np.asarray(mixed)


def _joined(planes: Sequence[AudioPlane], sizes: Sequence[int], dtype: np.dtype[Any]) -> NDArray[np.float32]:
    """Samples of so many bytes of each plane; behind them may be room that FFmpeg had no use for."""
    data = b""
    if planes[-1].buffer_size == sizes[-1]:  # mostly so; a view of each would double the cost
        data = b"".join(planes)
    if len(data) != sum(sizes):
        data = b"".join(memoryview(plane)[:size] for plane, size in zip(planes, sizes, strict=True))
    return np.frombuffer(data, dtype).astype(np.float32, copy=False)


class Resampler:
    """To 22,050 Hz; a stream whose rate changes on its way is continued at the new rate."""

    def __init__(self) -> None:
        self._rate = SAMPLE_RATE
        self._stream: Any = None

    def push(self, samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
        head = np.empty(0, np.float32)
        if rate != self._rate:
            head = self.flush()
            self._rate = rate
            self._stream = (
                None if rate == SAMPLE_RATE else soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32")
            )
        block = samples if self._stream is None else self._stream.resample_chunk(samples)
        return np.concatenate((head, block)) if head.size else np.asarray(block, np.float32)

    def flush(self) -> NDArray[np.float32]:
        """What the filter still holds."""
        if self._stream is None:
            return np.empty(0, np.float32)
        rest = self._stream.resample_chunk(np.empty(0, np.float32), last=True)
        self._stream = None
        self._rate = SAMPLE_RATE
        return np.asarray(rest, np.float32)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
