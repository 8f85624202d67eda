"""Which tracks to judge by ear, and how they are played."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import wave
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from moodzone_agent.errors import AudioError
from moodzone_agent.library.records import TrackRecord
from moodzone_agent.types import ZONES

SECONDS: Final = 20
"""Played of each track, from its middle."""
_RATE: Final = 44_100
_PATIENCE_SECONDS: Final = 2
_EXCERPT: Final = "MOODZONE_EXCERPT"

Command = list[str]


@dataclass(frozen=True, slots=True)
class _Kind:
    """A program that plays."""

    name: str
    command: Callable[[str, str, float], Command]
    """From the program's path, the file and the start in seconds."""
    needs_excerpt: bool = False
    """It can't begin in the middle, or plays WAV only, so it is given the part as a WAV file."""


def _vlc(program: str, file: str, start: float) -> Command:
    part = [f"--start-time={start:.1f}", f"--stop-time={start + SECONDS:.1f}"]
    return [program, "--intf", "dummy", "--quiet", "--no-video", "--play-and-exit", *part, file]


def _plain(program: str, file: str, _: float) -> Command:
    return [program, file]


_KINDS: Final = (
    _Kind(
        "ffplay",
        lambda program, file, start: [
            *(program, "-nodisp", "-autoexit", "-loglevel", "quiet"),
            *("-ss", f"{start:.1f}", "-t", str(SECONDS), "-i", file),
        ],
    ),
    _Kind(
        "mpv",
        lambda program, file, start: [
            *(program, "--no-video", "--really-quiet", f"--start={start:.1f}", f"--length={SECONDS}", file)
        ],
    ),
    _Kind("cvlc", _vlc),
    _Kind("vlc", _vlc),
    _Kind("afplay", _plain, needs_excerpt=True),
    _Kind(
        "powershell",
        # The file's name comes by the environment, where nothing in it can be taken for a command.
        lambda program, _file, _start: [
            *(program, "-NoProfile", "-NonInteractive", "-Command"),
            f"(New-Object Media.SoundPlayer $env:{_EXCERPT}).PlaySync()",
        ],
        needs_excerpt=True,
    ),
    _Kind("pw-play", _plain, needs_excerpt=True),
    _Kind("paplay", _plain, needs_excerpt=True),
    _Kind("aplay", _plain, needs_excerpt=True),
)
"""In the order in which they are preferred."""


class Playing:
    """A track that is being played."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def failed(self) -> bool:
        """Whether the player gave up by itself."""
        return bool(self._process.poll())

    def stop(self) -> None:
        """End the player; one that doesn't listen is killed."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Player:
    """The first player that is found on this machine."""

    def __init__(self, kind: _Kind, program: str) -> None:
        self.name = kind.name
        self._kind = kind
        self._program = program

    @classmethod
    def find(cls) -> Player | None:
        """None where there is no player."""
        for kind in _KINDS:
            program = shutil.which(kind.name)
            if program is not None:
                return cls(kind, program)
        return None

    @contextmanager
    def play(self, path: Path, duration: float | None) -> Iterator[Playing]:
        """Play the middle of a track until the block ends. Errors: `AudioError` if that can't be begun."""
        start = max(0.0, ((duration or 0.0) - SECONDS) / 2)
        with TemporaryDirectory(prefix="moodzone-", ignore_cleanup_errors=True) as folder:
            file = path
            if self._kind.needs_excerpt:
                file = Path(folder) / "excerpt.wav"
                cut_excerpt(path, file, start)
            try:
                process = subprocess.Popen(
                    self._kind.command(self._program, str(file), start),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=os.environ | {_EXCERPT: str(file)},
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # Windows only
                )
            except OSError as error:
                raise AudioError(f"{self.name} cannot be started ({error.strerror})") from error
            playing = Playing(process)
            try:
                yield playing
            finally:
                playing.stop()


def cut_excerpt(path: Path, wav: Path, start: float) -> None:
    """Write some seconds of a track, stereo and 16 bits, into a new WAV file. Errors: `AudioError`."""
    import av

    resampler = av.AudioResampler(format="s16", layout="stereo", rate=_RATE)
    left = SECONDS * _RATE
    try:
        with path.open("rb") as music, av.open(music, "r") as container, wave.open(str(wav), "wb") as out:
            out.setnchannels(2)
            out.setsampwidth(2)
            out.setframerate(_RATE)
            if start:
                container.seek(round(start * av.time_base))
            for frame in container.decode(audio=0):
                for piece in resampler.resample(frame):
                    samples = piece.to_ndarray().reshape(-1, 2)[:left]
                    out.writeframes(samples.tobytes())
                    left -= len(samples)
                if left <= 0:
                    break
    except (av.error.FFmpegError, OSError, ValueError, IndexError) as error:
        raise AudioError(f"cannot be played ({error})") from error


def tracks_to_judge(tracks: Iterable[TrackRecord], count: int, seed: int) -> list[TrackRecord]:
    """Tracks without a label that can be played, of each zone as many as there are, in an order that tells nothing.

    Another seed gives others.
    """
    chance = random.Random(seed)
    by_zone: dict[object, list[TrackRecord]] = {zone: [] for zone in ZONES}
    for track in tracks:
        if track.estimate is not None and track.label is None and track.paths:
            by_zone[track.estimate.zone].append(track)
    for group in by_zone.values():
        chance.shuffle(group)
    chosen: list[TrackRecord] = []
    while len(chosen) < count and any(by_zone.values()):
        chosen += [group.pop() for group in by_zone.values() if group][: count - len(chosen)]
    chance.shuffle(chosen)
    return chosen
