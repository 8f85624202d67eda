"""Samples out of every container."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import wave
from pathlib import Path

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

from moodzone_agent.audio.decode import AudioReader
from moodzone_agent.audio.rate import SAMPLE_RATE
from moodzone_agent.demo.encode import write_audio
from moodzone_agent.errors import AudioError
from tests.audio_files import write_tone

ROOT = Path(__file__).resolve().parents[3]
LOSSLESS = [  # suffix, encoder, bits (0: floating point)
    (".flac", "flac", 16),
    (".ogg", "flac", 16),
    (".wav", "pcm_s16le", 16),
    (".wav", "pcm_s24le", 24),
    (".wav", "pcm_s32le", 32),
    (".wav", "pcm_f32le", 0),
    (".aiff", "pcm_s16be", 16),
    (".aiff", "pcm_s24be", 24),
    (".m4a", "alac", 16),
]
LOSSY = [(".mp3", "libmp3lame"), (".m4a", "aac"), (".ogg", "vorbis"), (".opus", "libopus")]
every_lossless = pytest.mark.parametrize(("suffix", "codec", "bits"), LOSSLESS)
every_lossy = pytest.mark.parametrize(("suffix", "codec"), LOSSY)
Samples = NDArray[np.float32]


def noise(count: int, channels: int = 2, seed: int = 1) -> Samples:
    """Independent noise in each channel, [count, channels], within a third of full scale."""
    shape = (count, channels) if channels > 1 else (count,)
    return np.random.default_rng(seed).uniform(-0.3, 0.3, shape).astype(np.float32)


def read(path: Path) -> Samples:
    with AudioReader(path) as reader:
        return np.concatenate(list(reader.blocks()))


def rounded(samples: Samples, bits: int) -> Samples:
    full = 2.0 ** (bits - 1)
    exact = np.rint(samples.astype(np.float64) * full) / full if bits else samples
    return exact.astype(np.float32)


def pitch(samples: Samples) -> float:
    """Hertz of the strongest partial."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    return float(spectrum.argmax() * SAMPLE_RATE / samples.size)


@every_lossless
def test_lossless_at_its_own_rate_is_the_mean_of_the_channels(
    tmp_path: Path, suffix: str, codec: str, bits: int
) -> None:
    samples = noise(30_000)
    write_audio(tmp_path / f"a{suffix}", samples, rate=SAMPLE_RATE, codec=codec)
    expected = rounded(samples, bits).mean(axis=1)
    np.testing.assert_allclose(read(tmp_path / f"a{suffix}"), expected, rtol=0, atol=1e-7)


@every_lossless
def test_lossless_resampled_block_by_block_is_what_soxr_makes_of_the_whole(
    tmp_path: Path, suffix: str, codec: str, bits: int
) -> None:
    samples = noise(3 * 44_100 + 1234)
    write_audio(tmp_path / f"a{suffix}", samples, rate=44_100, codec=codec)
    expected = soxr.resample(rounded(samples, bits).mean(axis=1), 44_100, SAMPLE_RATE)
    heard = read(tmp_path / f"a{suffix}")
    assert abs(heard.size - expected.size) <= 1
    both = min(heard.size, expected.size)
    np.testing.assert_allclose(heard[:both], expected[:both], rtol=0, atol=2e-6)


@every_lossy
def test_lossy_sounds_as_the_ffmpeg_program_decodes_it(tmp_path: Path, suffix: str, codec: str) -> None:
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        pytest.skip("needs ffmpeg")
    path = write_tone(tmp_path / f"a{suffix}", seconds=2.3, codec=codec)
    rate = 48_000 if suffix == ".opus" else 44_100
    raw = subprocess.run(
        [ffmpeg, "-v", "error", "-i", path, "-f", "f32le", "-"], capture_output=True, check=True
    ).stdout
    expected = soxr.resample(np.frombuffer(raw, np.float32).reshape(-1, 2).mean(axis=1), rate, SAMPLE_RATE)
    heard = read(path)
    assert heard.size == pytest.approx(expected.size, abs=SAMPLE_RATE * 0.03)  # one packet of padding
    both = min(heard.size, expected.size) - SAMPLE_RATE // 10
    np.testing.assert_allclose(heard[:both], expected[:both], rtol=0, atol=1e-3)


@pytest.mark.parametrize(("suffix", "codec"), [*LOSSY, *((suffix, codec) for suffix, codec, _ in LOSSLESS)])
def test_duration_pitch_and_kind_of_the_signal(tmp_path: Path, suffix: str, codec: str) -> None:
    path = write_tone(tmp_path / f"a{suffix}", seconds=2.3, codec=codec)
    with AudioReader(path) as reader:
        assert reader.stated_duration == pytest.approx(2.3, abs=0.03)
        blocks = list(reader.blocks())
        assert reader.warnings == []
    assert all(block.dtype == np.float32 and block.ndim == 1 and block.size > 0 for block in blocks)
    assert max(block.size for block in blocks) < 1.2 * SAMPLE_RATE
    samples = np.concatenate(blocks)
    tolerance = 0.03 * SAMPLE_RATE if (suffix, codec) in LOSSY else 1
    assert samples.size == pytest.approx(2.3 * SAMPLE_RATE, abs=tolerance)
    assert pitch(samples) == pytest.approx(440, abs=1)


def test_channels_are_weighed_alike(tmp_path: Path) -> None:
    left, right = noise(20_000, 1, seed=1), noise(20_000, 1, seed=2)
    write_audio(tmp_path / "a.wav", np.stack((left, right), axis=1), rate=SAMPLE_RATE, codec="pcm_f32le")
    np.testing.assert_allclose(read(tmp_path / "a.wav"), (left + right) / 2, rtol=0, atol=1e-7)
    write_audio(tmp_path / "a.wav", np.stack((left, -left), axis=1), rate=SAMPLE_RATE, codec="pcm_f32le")
    assert not read(tmp_path / "a.wav").any()
    write_audio(tmp_path / "a.wav", left, rate=SAMPLE_RATE, codec="pcm_f32le")
    np.testing.assert_array_equal(read(tmp_path / "a.wav"), left)


@pytest.mark.parametrize(
    ("suffix", "codec", "bits"),
    [(".wav", "pcm_s24le", 24), (".flac", "flac", 16), (".aiff", "pcm_s16be", 16)],
)
def test_six_channels_at_96_kilohertz(tmp_path: Path, suffix: str, codec: str, bits: int) -> None:
    samples = noise(2 * 96_000, 6)
    write_audio(tmp_path / f"a{suffix}", samples, rate=96_000, codec=codec)
    expected = soxr.resample(rounded(samples, bits).mean(axis=1), 96_000, SAMPLE_RATE)
    heard = read(tmp_path / f"a{suffix}")
    assert heard.size == expected.size == 2 * SAMPLE_RATE
    np.testing.assert_allclose(heard, expected, rtol=0, atol=2e-6)


def write_wave(path: Path, samples: NDArray[np.integer], rate: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(samples.dtype.itemsize)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32])
def test_8_kilohertz_mono_by_another_writer(tmp_path: Path, dtype: type[np.integer]) -> None:
    samples = noise(16_000, 1)
    full = 2.0 ** (8 * np.dtype(dtype).itemsize - 1)
    coded = np.rint(samples * full + (full if dtype is np.uint8 else 0)).astype(dtype)
    write_wave(tmp_path / "a.wav", coded, 8_000)
    expected = soxr.resample(rounded(samples, 8 * coded.itemsize), 8_000, SAMPLE_RATE)
    np.testing.assert_allclose(read(tmp_path / "a.wav"), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("codec", ["pcm_f64le", "pcm_s64le", "pcm_alaw", "adpcm_ms"])
def test_rare_sample_formats_in_wav(tmp_path: Path, codec: str) -> None:
    ordinary = read(write_tone(tmp_path / "a.wav"))
    rare = read(write_tone(tmp_path / "b.wav", codec=codec))
    both = min(rare.size, ordinary.size)
    assert rare.size == pytest.approx(ordinary.size, abs=1000)
    tolerance = 1e-4 if codec.endswith("64le") else 0.05
    np.testing.assert_allclose(rare[:both], ordinary[:both], rtol=0, atol=tolerance)


def test_a_rate_that_changes_on_the_way_keeps_pitch_and_time(tmp_path: Path) -> None:
    path = tmp_path / "radio.mp3"
    parts = [write_tone(tmp_path / f"{rate}.mp3", seconds=2, rate=rate) for rate in (44_100, 22_050, 48_000)]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    samples = read(path)
    assert samples.size == pytest.approx(6 * SAMPLE_RATE, abs=0.2 * SAMPLE_RATE)
    for second in (0, 2, 4):
        middle = samples[int((second + 0.7) * SAMPLE_RATE) : int((second + 1.7) * SAMPLE_RATE)]
        assert pitch(middle) == pytest.approx(440, abs=2)


def test_channels_that_change_on_the_way(tmp_path: Path) -> None:
    path = tmp_path / "radio.mp3"
    parts = [write_tone(tmp_path / f"{count}.mp3", seconds=2, channels=count) for count in (2, 1, 2)]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    samples = read(path)
    assert samples.size == pytest.approx(6 * SAMPLE_RATE, abs=0.2 * SAMPLE_RATE)
    assert pitch(samples) == pytest.approx(440, abs=1)


@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".wav", ".aiff", ".m4a", ".ogg", ".opus"])
def test_the_share_read_rises_to_1(tmp_path: Path, suffix: str) -> None:
    write_audio(tmp_path / f"a{suffix}", noise(20 * 48_000), rate=48_000)
    with AudioReader(tmp_path / f"a{suffix}") as reader:
        shares = [reader.share_read for _ in reader.blocks()]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert shares[0] < 1


def test_a_sampling_rate_that_no_music_has_is_refused(tmp_path: Path) -> None:
    for rate in (50, 2_000_000_000):
        write_wave(tmp_path / "a.wav", np.zeros(5_000, np.int16), rate)
        with AudioReader(tmp_path / "a.wav") as reader, pytest.raises(AudioError, match="header"):
            list(reader.blocks())


@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".wav", ".aiff", ".m4a", ".ogg", ".opus"])
def test_the_container_counts_and_not_the_ending(tmp_path: Path, suffix: str) -> None:
    path = write_tone(tmp_path / f"right{suffix}")
    expected = read(path)
    for name in ("wrong.mp3", "wrong.flac", "wrong.m4a", "wrong.jpg", "none"):
        copy = Path(shutil.copy(path, tmp_path / name))
        np.testing.assert_array_equal(read(copy), expected)


@pytest.mark.parametrize("suffix", [".mp3", ".flac"])
def test_a_picture_larger_than_what_is_probed_hides_no_container(tmp_path: Path, suffix: str) -> None:
    path = write_tone(tmp_path / f"a{suffix}")
    expected = read(path)
    size = 3 << 20
    header = b"ID3\4\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    (tmp_path / "b.mp3").write_bytes(header + bytes(size) + path.read_bytes())
    np.testing.assert_array_equal(read(tmp_path / "b.mp3"), expected)


@pytest.mark.parametrize(
    "junk",
    [bytes(5_000), b"HTTP/1.1 200 OK\r\n\r\n", np.random.default_rng(1).bytes(20_000)],
    ids=["zeros", "text", "noise"],
)
def test_an_mp3_behind_foreign_bytes_is_found(tmp_path: Path, junk: bytes) -> None:
    path = write_tone(tmp_path / "a.mp3", seconds=3)
    path.write_bytes(junk + path.read_bytes())
    samples = read(path)
    assert samples.size == pytest.approx(3 * SAMPLE_RATE, abs=0.1 * SAMPLE_RATE)
    assert pitch(samples) == pytest.approx(440, abs=1)


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads a process's peak memory")
@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_memory_is_bounded_whatever_the_length(tmp_path: Path, kind: str) -> None:
    """Twenty minutes would be 105 MB as samples."""
    path, seconds = tmp_path / f"long.{kind}", 1200
    if kind == "wav":
        write_wave(path, np.tile(np.arange(256, dtype=np.uint8), seconds * 8_000 // 256), 8_000)
    else:
        minute = (0.2 * np.sin(np.arange(60 * SAMPLE_RATE) * 0.1)).astype(np.float32)
        write_audio(path, (minute for _ in range(seconds // 60)), rate=SAMPLE_RATE)
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from moodzone_agent.audio.decode import AudioReader

        def peak() -> int:
            lines = Path("/proc/self/status").read_text().splitlines()
            return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

        with AudioReader(Path(sys.argv[1])) as reader:
            blocks = reader.blocks()
            samples = sum(next(blocks).size for _ in range(10))
            before = peak()
            samples += sum(block.size for block in blocks)
        print(samples, peak() - before)
    """)
    done = subprocess.run(
        [sys.executable, "-c", program, path],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    samples, kilobytes = map(int, done.stdout.split())
    assert samples == pytest.approx(seconds * SAMPLE_RATE, abs=SAMPLE_RATE)
    assert kilobytes < 16_000
