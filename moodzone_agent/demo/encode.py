"""Write samples into an audio file of any container that MoodZone reads, with PyAV's own encoders.

The same samples give the same bytes: dates and the encoder's version are left out. Ogg Vorbis comes from
FFmpeg's native encoder, since PyAV's wheels hold no libvorbis: stereo only, of modest quality, but Vorbis.
"""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import av
import numpy as np

from moodzone_agent.errors import AudioError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

_CONTAINERS: Final = {
    ".mp3": ("mp3", "libmp3lame"),
    ".flac": ("flac", "flac"),
    ".wav": ("wav", "pcm_s16le"),
    ".aiff": ("aiff", "pcm_s16be"),
    ".aif": ("aiff", "pcm_s16be"),
    ".m4a": ("ipod", "aac"),
    ".ogg": ("ogg", "vorbis"),
    ".opus": ("opus", "libopus"),
}
# The sample format each encoder is given, and how many bits of it count (0: floating point).
_FORMATS: Final = {
    "libmp3lame": ("fltp", 0),
    "aac": ("fltp", 0),
    "vorbis": ("fltp", 0),
    "libopus": ("flt", 0),
    "flac": ("s16", 16),
    "alac": ("s16p", 16),
    "pcm_s16le": ("s16", 16),
    "pcm_s24le": ("s32", 24),
    "pcm_s32le": ("s32", 32),
    "pcm_f32le": ("flt", 0),
    "pcm_s16be": ("s16", 16),
    "pcm_s24be": ("s32", 24),
    "pcm_s32be": ("s32", 32),
    "pcm_f32be": ("flt", 0),
}
# AIFF's own text chunks know no artist; its muxer writes ID3 when told, and others ignore the option.
_MUXING: Final = {"fflags": "+bitexact", "write_id3v2": "1"}
_LAYOUTS: Final = {1: "mono", 2: "stereo", 6: "5.1"}
_CHUNK: Final = 65_536


def write_audio(
    path: Path,
    blocks: Iterable[NDArray[np.float32]] | NDArray[np.float32],
    *,
    rate: int = 44_100,
    codec: str | None = None,
    bit_rate: int | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Encode float samples (full scale -1 to 1), ``[n]`` or ``[n, channels]``, whole or in blocks.

    The suffix of `path` names the container (.mp3, .flac, .wav, .aiff, .m4a, .ogg, .opus) and, where `codec`
    does not, the encoder. Others fit too: ``pcm_s24le``, ``pcm_s32le`` and ``pcm_f32le`` in WAV, their ``be``
    twins in AIFF, ``alac`` in M4A, ``libopus`` and ``flac`` in Ogg. Integer formats hold
    ``round(x * 2**(bits - 1))``, clipped. A rate that the encoder lacks is resampled to the next higher one.
    `tags` go by FFmpeg's names (title, artist, comment, ...).

    Raises UsageError where there are no samples, and for a suffix, codec, rate or number of channels (1, 2, 6)
    that will not do; AudioError where the encoder refuses; OSError where the file cannot be written.
    """
    if path.suffix.lower() not in _CONTAINERS:
        raise UsageError(f"Cannot write '{path.suffix}' files; choose one of {', '.join(_CONTAINERS)}.")
    container, usual = _CONTAINERS[path.suffix.lower()]
    codec = codec or usual
    if codec not in _FORMATS:
        raise UsageError(f"Cannot encode with '{codec}'; choose one of {', '.join(_FORMATS)}.")
    several = iter([blocks] if isinstance(blocks, np.ndarray) else blocks)
    first = _columns(next((block for block in several if len(block)), np.zeros((0, 2), np.float32)))
    if not len(first) and codec != "flac":  # the other encoders hang on nothing, or write a file that is none
        raise UsageError(f"There are no samples to write with '{codec}'.")
    if first.shape[1] not in _LAYOUTS:
        raise UsageError(f"Cannot write {first.shape[1]} channels; give 1, 2 or 6.")
    if rate <= 0:
        raise UsageError(f"The sample rate must be positive, but is {rate}.")
    try:
        # Python opens the file, because FFmpeg does not take every name that a file system does.
        with (
            path.open("w+b") as file,
            av.open(file, "w", format=container, container_options=_MUXING) as output,
        ):
            _encode(output, first, several, rate=rate, codec=codec, bit_rate=bit_rate, tags=tags or {})
    except av.FFmpegError as error:
        raise AudioError(f"The encoder {codec} refused these samples or settings: {error}.") from error


def _encode(
    output: av.container.OutputContainer,
    first: NDArray[np.float32],
    rest: Iterable[NDArray[np.float32]],
    *,
    rate: int,
    codec: str,
    bit_rate: int | None,
    tags: Mapping[str, str],
) -> None:
    layout = _LAYOUTS[first.shape[1]]
    sample_format, bits = _FORMATS[codec]
    offered = sorted(av.Codec(codec, "w").audio_rates or [rate])
    coded_rate = next((possible for possible in offered if possible >= rate), offered[-1])
    # FFmpeg calls its native Vorbis encoder experimental.
    options = {"strict": "experimental"} if codec == "vorbis" else {}
    try:
        stream = output.add_stream(codec, rate=coded_rate, options=options)
    except ValueError as error:
        raise UsageError(f"{codec} does not go into {output.format.name} files; choose another.") from error
    assert isinstance(stream, av.AudioStream)
    context = stream.codec_context
    context.layout, context.format = layout, sample_format
    context.flags |= av.codec.context.Flags.bitexact
    if bit_rate is not None:
        context.bit_rate = bit_rate
    output.metadata.update(tags)
    done = 0
    for block in itertools.chain([first], rest):
        columns = _columns(block)
        for start in range(0, len(columns), _CHUNK):
            data = _quantised(columns[start : start + _CHUNK], bits)
            rows = np.ascontiguousarray(data.T if context.format.is_planar else data.reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(rows, sample_format, layout)
            frame.rate, frame.pts, frame.time_base = rate, done, Fraction(1, rate)
            done += data.shape[0]
            output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


def _columns(block: NDArray[np.float32]) -> NDArray[np.float32]:
    return block[:, None] if block.ndim == 1 else block


def _quantised(block: NDArray[np.float32], bits: int) -> NDArray[Any]:
    """Samples as the encoder takes them; 24 bits go into the upper ones of 32."""
    if bits == 0:
        return block.astype(np.float32)
    full = 2 ** (bits - 1)
    whole = np.clip(np.rint(block.astype(np.float64) * full), -full, full - 1).astype(np.int64)
    coded: NDArray[Any] = whole.astype(np.int16) if bits == 16 else (whole << (32 - bits)).astype(np.int32)
    return coded
