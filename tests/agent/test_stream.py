"""`moodzone stream`: the zone while the audio still comes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from moodzone_agent.audio.decode import AudioReader
from moodzone_agent.classify.bundle import load_bundle
from moodzone_agent.classify.pool import pool
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.demo.encode import write_audio
from moodzone_agent.demo.music import compose, render
from moodzone_agent.features.track import TrackAccumulator
from tests.agent.audio.foreign_tags import id3_frames, id3v1, id3v2

MOODZONE = [sys.executable, "-c", "from moodzone_agent.cli import main; main()", "stream"]


@pytest.fixture(scope="module")
def music() -> NDArray[np.float32]:
    return render(compose(7, energy=0.7, duration=17.0), rate=44_100).astype(np.float32)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return os.environ | {"MOODZONE_HOME": str(tmp_path_factory.mktemp("home"))}


def encoded(music: NDArray[np.float32], path: Path) -> Path:
    samples, rate = (music, 44_100)
    if path.suffix == ".opus":
        samples, rate = render(compose(7, energy=0.7, duration=17.0), rate=48_000).astype(np.float32), 48_000
    write_audio(path, samples, rate=rate)
    return path


def streamed(data: bytes, environment: dict[str, str], *options: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [*MOODZONE, "-", "--json", *options], input=data, capture_output=True, env=environment, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def scanned(path: Path) -> tuple[float, float]:
    """Arousal and valence as a scan finds them."""
    accumulator = TrackAccumulator()
    with AudioReader(path) as reader:
        for block in reader.blocks():
            accumulator.push(block)
    features = accumulator.result()
    assert features is not None
    model = ZoneModel(load_bundle())
    estimate = pool(model.rate(features.windows), sure_from=0.5, model="m")
    return estimate.arousal, estimate.valence


@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".ogg", ".opus", ".wav", ".aiff"])
def test_a_stream_ends_with_the_estimate_of_a_scan(
    suffix: str, music: NDArray[np.float32], environment: dict[str, str], tmp_path: Path
) -> None:
    path = encoded(music, tmp_path / f"a{suffix}")
    lines = streamed(path.read_bytes(), environment)
    assert [line["final"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert [line["seconds"] for line in lines[:-1]] == [0.5 * n for n in range(1, len(lines))]
    arousal, valence = scanned(path)
    assert lines[-1]["arousal"] == pytest.approx(arousal, abs=1e-4)
    assert lines[-1]["valence"] == pytest.approx(valence, abs=1e-4)
    assert lines[-1]["seconds"] == pytest.approx(17.0, abs=0.03)


def test_tags_around_the_audio_change_nothing(
    music: NDArray[np.float32], environment: dict[str, str], tmp_path: Path
) -> None:
    data = encoded(music, tmp_path / "a.mp3").read_bytes()
    plain = streamed(data, environment)[-1]
    tagged = streamed(id3v2(3, id3_frames(3, picture=bytes(300_000))) + data + id3v1(), environment)[-1]
    assert tagged == plain


def test_a_named_file_may_be_of_any_kind(
    music: NDArray[np.float32], environment: dict[str, str], tmp_path: Path
) -> None:
    """An M4A whose index comes last can be read there, but not from a pipe, which is said."""
    path = encoded(music, tmp_path / "a.m4a")
    done = subprocess.run(
        [*MOODZONE, str(path), "--json"], capture_output=True, env=environment, check=True, text=True
    )
    assert json.loads(done.stdout.splitlines()[-1])["arousal"] == pytest.approx(scanned(path)[0], abs=1e-4)
    piped = subprocess.run(
        [*MOODZONE, "-"], input=path.read_bytes(), capture_output=True, env=environment, check=False
    )
    assert piped.returncode == 1
    assert b"name the file" in piped.stderr


@pytest.mark.parametrize(("encoding", "dtype", "scale"), [("s16le", "<i2", 32767), ("f32be", ">f4", 1)])
def test_raw_samples(
    encoding: str,
    dtype: str,
    scale: float,
    music: NDArray[np.float32],
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    data = (music * scale).astype(dtype).tobytes()
    lines = streamed(data, environment, "--raw", encoding, "--rate", "44100", "--channels", "2")
    assert lines[-1]["arousal"] == pytest.approx(scanned(encoded(music, tmp_path / "a.wav"))[0], abs=0.01)


@pytest.fixture
def live(environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    options = ["-", "--json", "--raw", "s16le", "--rate", "44100", "--channels", "1"]
    process = subprocess.Popen(
        [*MOODZONE, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    with process:
        yield process
        process.kill()


def test_each_half_second_is_told_within_a_second_of_audio(
    live: subprocess.Popen[bytes], music: NDArray[np.float32]
) -> None:
    """No more than one second beyond it is sent before its line is waited for."""
    assert live.stdin is not None
    assert live.stdout is not None
    samples = (music[:, 0] * 32767).astype("<i2")
    sent = 0
    for line in range(8):
        until = int((0.5 * (line + 1) + 1.0) * 44_100)
        live.stdin.write(samples[sent:until].tobytes())
        live.stdin.flush()
        sent = until
        assert json.loads(live.stdout.readline())["seconds"] == 0.5 * (line + 1)


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent otherwise there")
def test_ctrl_c_stops_with_the_last_estimate_shown(
    live: subprocess.Popen[bytes], music: NDArray[np.float32]
) -> None:
    assert live.stdin is not None
    assert live.stdout is not None
    live.stdin.write((music[: 3 * 44_100, 0] * 32767).astype("<i2").tobytes())
    live.stdin.flush()
    assert json.loads(live.stdout.readline())["zone"] in {"YELLOW", "GREEN", "PURPLE"}
    live.send_signal(signal.SIGINT)
    assert all("zone" in json.loads(line) for line in live.stdout.read().splitlines())
    assert live.wait() == 3


@pytest.mark.parametrize(
    ("data", "options", "code", "says"),
    [
        (b"", [], 1, b"nothing arrived"),
        (b"no music at all, only words " * 2000, [], 1, b"not music"),
        (b"", ["--raw", "mp3"], 2, b"--raw"),
        (b"\0\0" * 100, ["--raw", "s16le"], 1, b"0.5 s is the least"),
    ],
)
def test_what_cannot_be_rated_says_why(
    data: bytes, options: list[str], code: int, says: bytes, environment: dict[str, str]
) -> None:
    done = subprocess.run(
        [*MOODZONE, "-", *options], input=data, capture_output=True, env=environment, check=False
    )
    assert done.returncode == code
    assert says in done.stderr
