"""One pass over a file: its packets give the audio id, its samples the analysis signal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self, cast

import av
import av.error
import numpy as np
import soxr
from av.audio.plane import AudioPlane
from numpy.typing import NDArray

from moodzone_agent.audio.container import FORMATS, HEAD_BYTES, is_cut_off, sniff
from moodzone_agent.audio.identity import AudioHasher
from moodzone_agent.audio.span import AudioBytes, audio_span
from moodzone_agent.errors import AudioError

SAMPLE_RATE: Final = 22_050
"""Hertz of the analysis signal."""

_RATES: Final = range(1_000, 768_001)
"""Hertz that music comes in; a damaged header may state others, and blocks of a second must stay small."""
_BLOCK_SECONDS: Final = 1.0
_MAX_AMPLITUDE: Final = 8.0
"""Beyond this (18 dB over full scale) a float sample is a fault, and its square could overflow."""
_MAX_BROKEN_SHARE: Final = 0.05
_MIN_PRESENT_SHARE: Final = 0.8
"""Stated durations of MP3 files without a Xing header are estimates; below this the file was cut off."""

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

    Errors: `AudioError` if the file isn't music, holds no audio or more than 5 % of it is broken. `OSError`
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
        audio = AudioBytes(self._file, start, end)
        head = audio.read(HEAD_BYTES)
        audio.seek(0)
        self._cut_off = is_cut_off(head, end - start)
        try:
            # Opened by handle, not by name: any name works, its ending counts for nothing, and FFmpeg reads
            # no second file.
            container = av.open(
                audio,
                "r",
                format=sniff(head),
                metadata_errors="replace",
                options={"format_whitelist": FORMATS},
            )
        except (av.error.FFmpegError, ValueError) as error:
            raise AudioError(f"not a music file that can be read ({_reason(error)})") from error
        if not container.streams.audio:
            container.close()
            raise AudioError("holds no audio stream")
        self._container = container
        self._stream = container.streams.best("audio") or container.streams.audio[0]
        try:
            self._stream.codec_context.thread_count = 1
        except (AttributeError, RuntimeError) as error:
            container.close()
            raise AudioError("is encoded in a way that this program cannot decode") from error
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
        resampler = _Resampler()
        decoder = _Decoder(self._packets(), self._hasher)
        bad_samples, seconds = 0, 0.0
        for samples, rate in decoder.mono_blocks():
            finite = np.isfinite(samples)
            if not finite.all():
                bad_samples += int(samples.size - np.count_nonzero(finite))
                samples = np.where(finite, samples, np.float32(0))  # noqa: PLW2901
            seconds += samples.size / rate
            block = resampler.push(np.clip(samples, -_MAX_AMPLITUDE, _MAX_AMPLITUDE), rate)
            if block.size:
                yield block
        block = resampler.flush()
        if block.size:
            yield block
        if bad_samples:
            self.warnings.append(f"{bad_samples} samples were not numbers and count as silence")
        if decoder.broken:
            share = decoder.broken / (decoder.broken + decoder.good)
            if share > _MAX_BROKEN_SHARE:
                raise AudioError(f"{share:.0%} of its audio is broken")
            self.warnings.append(f"{share:.1%} of its audio is broken and was left out")
        stated = self.stated_duration
        if stated is not None and seconds < _MIN_PRESENT_SHARE * stated:
            self.warnings.append(f"ends early: {seconds:.0f} s of the {stated:.0f} s that it states")
        elif self._cut_off:
            self.warnings.append("ends early: the file is shorter than its header says")

    def _packets(self) -> Iterator[av.Packet[Any]]:
        try:
            yield from self._container.demux(self._stream)
        except av.error.FFmpegError as error:
            self.warnings.append(f"reading stopped early ({_reason(error)})")


class _Decoder:
    """Packets to mono samples at the file's own rate, in blocks of about 1 s."""

    def __init__(self, packets: Iterator[av.Packet[Any]], hasher: AudioHasher) -> None:
        self._packets = packets
        self._hasher = hasher
        self.good = 0
        self.broken = 0

    def mono_blocks(self) -> Iterator[tuple[NDArray[np.float32], int]]:
        pending: list[NDArray[Any]] = []
        count = 0
        shape: tuple[str, int, int] | None = None
        for frame in self._frames():
            this = (frame.format.name, frame.layout.nb_channels, frame.sample_rate)
            if shape is not None and (this != shape or count >= shape[2] * _BLOCK_SECONDS):
                yield _downmix(pending, shape), shape[2]
                pending, count = [], 0
            shape = this
            pending.append(_samples(frame, this))
            count += frame.samples
        if shape is not None and pending:
            yield _downmix(pending, shape), shape[2]

    def _frames(self) -> Iterator[av.AudioFrame]:
        for packet in self._packets:
            self._hasher.update(packet)
            try:
                frames = cast(list[av.AudioFrame], packet.decode())
            except av.error.FFmpegError:
                self.broken += 1
                continue
            self.good += 1
            for frame in frames:
                if frame.sample_rate not in _RATES:
                    raise AudioError(
                        f"states {frame.sample_rate} samples a second; its header may be damaged"
                    )
                if frame.samples:
                    yield frame


def _samples(frame: av.AudioFrame, shape: tuple[str, int, int]) -> NDArray[Any]:
    """A copy of one frame's samples, [samples, channels] if interleaved, else [channels, samples]."""
    name, channels, _ = shape
    dtype = np.dtype(_SAMPLE_FORMATS[name.removesuffix("p")][0])
    if not name.endswith("p"):
        return _plane(frame.planes[0], dtype, frame.samples * channels).reshape(-1, channels).copy()
    return np.stack([_plane(plane, dtype, frame.samples) for plane in frame.planes])


def _plane(plane: AudioPlane, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    return np.frombuffer(memoryview(plane), dtype, count)


@np.errstate(over="ignore", invalid="ignore")  # whoever takes the result looks for what is not finite
def _downmix(parts: list[NDArray[Any]], shape: tuple[str, int, int]) -> NDArray[np.float32]:
    """Mean of the channels, full scale at 1."""
    name, channels, _ = shape
    _, scale = _SAMPLE_FORMATS[name.removesuffix("p")]
    planar = name.endswith("p")
    samples = np.concatenate(parts, axis=1 if planar else 0)
    axis = 0 if planar else 1
    if samples.dtype == np.float32 and channels == 2:
        # Twice as fast as mean() for what nearly every file is.
        left, right = (samples[0], samples[1]) if planar else (samples[:, 0], samples[:, 1])
        return np.asarray((left + right) * np.float32(0.5))
    mixed = samples.mean(axis=axis, dtype=np.float64 if samples.dtype.itemsize > 4 else np.float32)
    if samples.dtype.kind == "u":
        mixed -= 128
    return np.asarray(mixed * scale, np.float32)


class _Resampler:
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
