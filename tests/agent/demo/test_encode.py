"""Files that `write_audio` makes, read back by PyAV and ffprobe."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from moodzone_agent.demo.encode import write_audio
from moodzone_agent.demo.music import compose, render
from moodzone_agent.errors import AudioError, UsageError

LOSSLESS = [
    ("a.wav", None, 16),
    ("a.wav", "pcm_s24le", 24),
    ("a.wav", "pcm_s32le", 32),
    ("a.wav", "pcm_f32le", 0),
    ("a.aiff", None, 16),
    ("a.aif", "pcm_s24be", 24),
    ("a.flac", None, 16),
    ("a.ogg", "flac", 16),
    ("a.m4a", "alac", 16),
]
LOSSY = [("a.mp3", None), ("a.m4a", None), ("a.ogg", None), ("a.ogg", "libopus"), ("a.opus", None)]
EVERY = [(name, codec) for name, codec, _ in LOSSLESS] + LOSSY
TAGS = {"title": "Amber Tide ☃", "artist": "Juno Vega", "comment": "8A - 7"}


@pytest.fixture(scope="module")
def music() -> NDArray[np.float32]:
    return render(compose(4, energy=0.7, duration=4))


def decode(path: Path) -> tuple[NDArray[np.float64], int]:
    """Samples ``[n, channels]`` in full scale 1, and their rate."""
    with av.open(str(path)) as source:
        frames = list(source.decode(audio=0))
    rows = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
    channels = len(frames[0].layout.channels)
    samples = rows.T if frames[0].format.is_planar else rows.reshape(-1, channels)
    scale = {"i": 2.0 ** (8 * rows.itemsize - 1), "f": 1.0}[rows.dtype.kind]
    return samples / scale, frames[0].sample_rate


@pytest.mark.parametrize(("name", "codec", "bits"), LOSSLESS)
def test_lossless_files_hold_the_very_samples(
    tmp_path: Path, music: NDArray[np.float32], name: str, codec: str | None, bits: int
) -> None:
    write_audio(tmp_path / name, music, codec=codec)
    samples, rate = decode(tmp_path / name)
    expected = np.round(music.astype(np.float64) * 2 ** (bits - 1)) / 2 ** (bits - 1) if bits else music
    assert rate == 44_100
    assert np.array_equal(samples, expected)


@pytest.mark.parametrize(("name", "codec"), LOSSY)
def test_lossy_files_sound_alike(
    tmp_path: Path, music: NDArray[np.float32], name: str, codec: str | None
) -> None:
    write_audio(tmp_path / name, music, codec=codec, bit_rate=192_000)
    samples, rate = decode(tmp_path / name)
    assert rate == (48_000 if "opus" in f"{name}{codec}" else 44_100)
    assert samples.shape[1] == 2
    assert len(samples) / rate == pytest.approx(4, abs=0.05)
    level = np.sqrt(np.mean(samples**2)) / np.sqrt(np.mean(music.astype(np.float64) ** 2))
    assert level == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("name", "codec"), EVERY)
def test_same_samples_same_bytes_in_whatever_blocks(
    tmp_path: Path, music: NDArray[np.float32], name: str, codec: str | None
) -> None:
    def blocks() -> Iterator[NDArray[np.float32]]:
        yield from np.array_split(music, [1, 5000, 5000, 90_001])

    whole, pieces = tmp_path / f"whole-{name}", tmp_path / f"pieces-{name}"
    write_audio(whole, music, codec=codec, tags=TAGS)
    write_audio(pieces, blocks(), codec=codec, tags=TAGS)
    assert whole.read_bytes() == pieces.read_bytes()


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")
@pytest.mark.parametrize(("name", "codec"), EVERY)
def test_ffprobe_reads_tags_and_duration(
    tmp_path: Path, music: NDArray[np.float32], name: str, codec: str | None
) -> None:
    write_audio(tmp_path / name, music, codec=codec, tags=TAGS)
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_format", "-show_streams", str(tmp_path / name)]
    report = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    found = report["format"].get("tags", {}) | report["streams"][0].get("tags", {})
    assert TAGS.items() <= {key.lower(): value for key, value in found.items()}.items()
    assert float(report["format"]["duration"]) == pytest.approx(4, abs=0.05)


@pytest.mark.parametrize(("name", "rate", "channels"), [("a.wav", 96_000, 6), ("a.mp3", 8_000, 1)])
def test_other_rates_and_channels(tmp_path: Path, name: str, rate: int, channels: int) -> None:
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, (rate, channels)).astype(np.float32)
    write_audio(tmp_path / name, noise if channels > 1 else noise[:, 0], rate=rate)
    samples, decoded_rate = decode(tmp_path / name)
    assert decoded_rate == rate
    assert samples.shape == (rate, channels)


def test_a_rate_the_encoder_lacks_is_resampled(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.mp3", np.zeros((96_000, 2), np.float32), rate=96_000)
    samples, rate = decode(tmp_path / "a.mp3")
    assert rate == 48_000
    assert len(samples) / rate == pytest.approx(1, abs=0.05)


def test_samples_beyond_full_scale_are_clipped_but_kept_in_floats(tmp_path: Path) -> None:
    loud = np.array([[2.0, -2.0], [1.0, -1.0]], np.float32)
    write_audio(tmp_path / "a.wav", loud)
    assert np.array_equal(decode(tmp_path / "a.wav")[0] * 32_768, [[32_767, -32_768]] * 2)
    odd = np.array([[2.0], [np.nan], [-np.inf]], np.float32)
    write_audio(tmp_path / "b.wav", odd, codec="pcm_f32le")
    assert np.array_equal(decode(tmp_path / "b.wav")[0], odd, equal_nan=True)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse names that are not UTF-8")
def test_names_need_not_be_utf8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff\n\xf0\x9f\x8e\xb5.flac")
    write_audio(path, np.zeros((100, 2), np.float32))
    assert path.read_bytes().startswith(b"fLaC")


def test_nonsense_is_refused_with_its_reason(tmp_path: Path) -> None:
    silence = np.zeros((5000, 2), np.float32)
    with pytest.raises(UsageError, match=r"choose one of \.mp3"):
        write_audio(tmp_path / "a.txt", silence)
    with pytest.raises(UsageError, match="choose one of libmp3lame"):
        write_audio(tmp_path / "a.mp3", silence, codec="lame")
    with pytest.raises(UsageError, match="flac does not go into mp3"):
        write_audio(tmp_path / "a.mp3", silence, codec="flac")
    with pytest.raises(UsageError, match="3 channels"):
        write_audio(tmp_path / "a.wav", np.zeros((5000, 3), np.float32))
    with pytest.raises(UsageError, match="sample rate"):
        write_audio(tmp_path / "a.wav", silence, rate=0)
    with pytest.raises(AudioError, match="vorbis refused"):
        write_audio(tmp_path / "a.ogg", silence[:, 0])
    with pytest.raises(FileNotFoundError):
        write_audio(tmp_path / "missing" / "a.wav", silence)
