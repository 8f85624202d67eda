"""What arrives through a pipe gives the samples of the same file."""

from __future__ import annotations

import base64
import os
import struct
import threading
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from mutagen.flac import FLAC, Picture
from mutagen.mp4 import MP4, MP4Cover
from mutagen.oggopus import OggOpus
from mutagen.oggvorbis import OggVorbis
from numpy.typing import NDArray

from moodzone_agent.audio.decode import AudioReader
from moodzone_agent.audio.live import LiveReader, RawFormat
from moodzone_agent.audio.rate import SAMPLE_RATE
from moodzone_agent.errors import AudioError
from tests.agent.audio.foreign_tags import LEADING, PICTURE, TRAILING
from tests.audio_files import SUFFIXES, write_tone

if TYPE_CHECKING:
    from collections.abc import Iterator

Samples = NDArray[np.float32]


@contextmanager
def pipe(data: bytes) -> Iterator[int]:
    """A descriptor through which the data come while they are read."""
    read, write = os.pipe()

    def send() -> None:
        with os.fdopen(write, "wb") as file:
            try:
                file.write(data)
            except BrokenPipeError:
                return

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield read
    finally:
        os.close(read)
        sender.join()


def arrive(data: bytes, raw: RawFormat | None = None) -> Samples:
    with pipe(data) as descriptor, LiveReader(descriptor, raw) as reader:
        return np.concatenate(list(reader.blocks()))


def read(path: Path) -> Samples:
    with AudioReader(path) as reader:
        return np.concatenate(list(reader.blocks()))


def faststart(path: Path) -> Path:
    """The same packets with the index in front."""
    target = path.with_name(f"fast_{path.name}")
    with (
        av.open(path) as source,
        av.open(target, "w", format="ipod", options={"movflags": "faststart"}) as out,
    ):
        stream = out.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    return target


@pytest.mark.parametrize("suffix", [*SUFFIXES, "mono mp3", "22 kHz mp3"])
def test_the_samples_are_those_of_the_file(suffix: str, tmp_path: Path) -> None:
    if suffix.endswith(" mp3"):
        rate, channels = (44_100, 1) if "mono" in suffix else (22_050, 2)
        path = write_tone(tmp_path / "a.mp3", seconds=7.3219, rate=rate, channels=channels)
    else:
        path = write_tone(tmp_path / f"a{suffix}", seconds=7.3219)
    if suffix == ".m4a":
        path = faststart(path)
    # Blocks of other lengths come out of the resampler rounded otherwise.
    np.testing.assert_allclose(arrive(path.read_bytes()), read(path), rtol=0, atol=1e-6)


@pytest.mark.parametrize("suffix", [".mp3", ".flac"])
@pytest.mark.parametrize("name", [*LEADING, *TRAILING])
def test_tags_around_it_change_nothing(suffix: str, name: str, tmp_path: Path) -> None:
    path = write_tone(tmp_path / f"a{suffix}", seconds=2)
    tagged = LEADING.get(name, b"") + path.read_bytes() + TRAILING.get(name, b"")
    np.testing.assert_allclose(arrive(tagged), read(path), rtol=0, atol=1e-6)


def test_an_mp3_behind_foreign_bytes_is_found(tmp_path: Path) -> None:
    path = write_tone(tmp_path / "a.mp3", seconds=3)
    path.write_bytes(np.random.default_rng(1).bytes(20_000) + path.read_bytes())
    assert arrive(path.read_bytes()).size == pytest.approx(3 * SAMPLE_RATE, abs=0.1 * SAMPLE_RATE)


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".opus", ".m4a"])
def test_a_picture_larger_than_what_is_probed_hides_nothing(suffix: str, tmp_path: Path) -> None:
    path = write_tone(tmp_path / f"a{suffix}", seconds=2)
    expected = read(path)
    tagged = {".flac": FLAC, ".ogg": OggVorbis, ".opus": OggOpus, ".m4a": MP4}[suffix](path)
    if suffix == ".m4a":
        tagged["covr"] = [MP4Cover(PICTURE)]
    else:
        picture = Picture()
        picture.data = PICTURE
        tagged["metadata_block_picture"] = base64.b64encode(picture.write()).decode()
    tagged.save()
    path = faststart(path) if suffix == ".m4a" else path
    np.testing.assert_allclose(arrive(path.read_bytes()), expected, rtol=0, atol=1e-6)


def test_an_index_behind_the_audio_is_told(tmp_path: Path) -> None:
    data = write_tone(tmp_path / "a.m4a", seconds=5).read_bytes()
    with pytest.raises(AudioError, match="index"):
        arrive(data)


def test_what_broke_off_counts_as_far_as_it_came(tmp_path: Path) -> None:
    path = write_tone(tmp_path / "a.mp3", seconds=4)
    data = path.read_bytes()
    samples = arrive(data[: len(data) // 2])
    assert samples.size == pytest.approx(2 * SAMPLE_RATE, abs=0.1 * SAMPLE_RATE)


@pytest.mark.parametrize(
    ("encoding", "code"),
    [
        ("u8", lambda x: ((x * 127).round() + 128).astype("u1").tobytes()),
        ("s16le", lambda x: (x * 32767).round().astype("<i2").tobytes()),
        ("s16be", lambda x: (x * 32767).round().astype(">i2").tobytes()),
        ("s24le", lambda x: b"".join(struct.pack("<i", int(v))[:3] for v in (x * 8388607).ravel())),
        ("s32be", lambda x: (x.astype("f8") * 2147483647).round().astype(">i4").tobytes()),
        ("f32le", lambda x: x.astype("<f4").tobytes()),
        ("f64be", lambda x: x.astype(">f8").tobytes()),
    ],
)
@pytest.mark.parametrize("channels", [1, 2, 3, 6, 9])
def test_raw_samples(encoding: str, code: Callable[[Samples], bytes], channels: int) -> None:
    samples = np.random.default_rng(1).uniform(-0.5, 0.5, (3000, channels)).astype(np.float32)
    heard = arrive(code(samples), RawFormat(encoding, SAMPLE_RATE, channels))
    tolerance = 0.01 if encoding == "u8" else 1e-4
    np.testing.assert_allclose(heard, samples.mean(axis=1), rtol=0, atol=tolerance)


@pytest.mark.parametrize("data", [b"", b"words, no music " * 4000, LEADING["ID3v2.3 with art"]], ids=len)
def test_no_music(data: bytes) -> None:
    with pytest.raises(AudioError):
        arrive(data)
