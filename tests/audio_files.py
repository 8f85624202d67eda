"""Small audio files of every format, made with PyAV."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

CODECS = {
    ".mp3": "libmp3lame",
    ".flac": "flac",
    ".m4a": "aac",
    ".ogg": "vorbis",
    ".opus": "libopus",
    ".wav": "pcm_s16le",
    ".aiff": "pcm_s16be",
}
SUFFIXES = tuple(CODECS)


def write_tone(
    path: Path,
    *,
    seconds: float = 1.0,
    rate: int = 44100,
    channels: int = 2,
    codec: str | None = None,
    metadata: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a tone of 440 Hz with a slow tremolo; return the path.

    The container follows the suffix, the codec too unless named (such as ``alac`` for .m4a or ``pcm_s24le`` for .wav).
    Opus is always 48 kHz, Vorbis always stereo. ``options`` are the container's, such as ``{"movflags": "faststart"}``.
    """
    codec = codec or CODECS[path.suffix]
    rate = 48000 if codec == "libopus" else rate
    time = np.arange(round(seconds * rate)) / rate
    tone = 0.3 * np.sin(2 * np.pi * 440 * time) * (1 + 0.5 * np.sin(2 * np.pi * 2 * time))
    samples = np.tile(tone.astype(np.float32), (channels, 1))
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
    with av.open(path, "w", options={"fflags": "+bitexact"} | (options or {})) as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream(codec, rate=rate, layout=layout, options={"strict": "experimental"})
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        stream.codec_context.open()
        resampler = av.AudioResampler(stream.format, layout, rate, frame_size=stream.codec_context.frame_size)
        for resampled in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(resampled))
        container.mux(stream.encode(None))
    return path


def write_adts(path: Path, *, seconds: float = 1.0) -> Path:
    """Write the same tone as bare AAC, whose frames follow each other without a container; return the path."""
    source = write_tone(path.with_suffix(".m4a"), seconds=seconds)
    with av.open(source) as container, av.open(path, "w", format="adts") as output:
        stream = output.add_stream_from_template(container.streams.audio[0])
        for packet in container.demux(container.streams.audio[0]):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    source.unlink()
    return path
