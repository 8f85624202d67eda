"""The agent: what it takes when there is nothing to do, and how soon a new track has its zone in its tag.

It runs as a process of its own beside a library of tiny files that it knows already. Then a file of five minutes is
copied into its folder. Settling, two seconds by default, is not counted.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import psutil

from exporters.tags.edit import read_state
from moodzone_agent.background import control
from moodzone_agent.config import AgentSettings, Places
from moodzone_agent.demo.encode import write_audio
from moodzone_agent.demo.music import compose, render_blocks
from moodzone_agent.features.spec import FEATURES_VERSION
from moodzone_agent.library.records import Analysis, FileRecord, FileStatus, Stamp
from moodzone_agent.library.store import Library
from moodzone_agent.types import Estimate
from tests.bench.machine import describe
from tests.bench.report import Figures, parser, report
from tests.bench.rerate import noise

_IDLE_AIM: Final = (1.0, 150.0)
"""Percent of a processor, and megabytes, for 10,000 tracks."""
_TAG_AIM: Final = 5.0
"""Seconds beyond the settling time."""


def main(arguments: list[str]) -> None:
    """Print the table."""
    options = parser("agent", __doc__)
    options.add_argument("--tracks", type=int, default=10_000)
    options.add_argument("--seconds", type=float, default=120, help="how long it is watched doing nothing")
    options.add_argument("--length", type=float, default=300, help="of the track that is copied, in seconds")
    chosen = options.parse_args(arguments)
    figures = Figures(
        f"beside {chosen.tracks:,} tracks",
        {"what": "", "CPU %": ".2f", "MB": ".0f", "s": ".1f", "aim": "", "met": ""},
    )
    with TemporaryDirectory(prefix="mz-agent-", dir=chosen.cache.parent) as folder:
        places, music = Places.under(Path(folder) / "home"), Path(folder) / "music"
        _fill(places, music, chosen.tracks)
        song = Path(folder) / "song.mp3"
        write_audio(song, render_blocks(compose(3, energy=0.7, duration=chosen.length)))
        agent = subprocess.Popen(
            [sys.executable, "-m", "moodzone_agent", "agent", "run", "--folder", str(music), "--write"],
            env={**os.environ, "MOODZONE_HOME": str(places.library.parent)},
        )
        try:
            _wait(lambda: _is_idle(places))
            process = psutil.Process(agent.pid)
            start, used = time.monotonic(), process.cpu_times()
            time.sleep(chosen.seconds)
            now = process.cpu_times()
            percent = (now.user + now.system - used.user - used.system) / (time.monotonic() - start) * 100
            memory = process.memory_info().rss / 1e6
            figures.rows.append(
                {
                    "what": "doing nothing",
                    "CPU %": percent,
                    "MB": memory,
                    "aim": f"<= {_IDLE_AIM[0]:g} %, {_IDLE_AIM[1]:g} MB",
                    "met": "yes" if percent <= _IDLE_AIM[0] and memory <= _IDLE_AIM[1] else "no",
                }
            )
            path = song.rename(music / song.name)
            start = time.monotonic()
            _wait(lambda: read_state(path).mark is not None)
            seconds = time.monotonic() - start - AgentSettings().settle_seconds
            figures.rows.append(
                {
                    "what": f"{chosen.length / 60:g} minutes of MP3, from its copy to its tag",
                    "s": seconds,
                    "aim": f"<= {_TAG_AIM:g} s",
                    "met": "yes" if seconds <= _TAG_AIM else "no",
                }
            )
        finally:
            agent.send_signal(signal.SIGTERM)
            agent.wait()
    report("agent", describe("watchdog", "psutil"), [figures], chosen.json)


def _is_idle(places: Places) -> bool:
    told = control.read_status(places)
    return (
        told is not None
        and told.state == "watching"
        and told.queue == told.waiting == 0
        and bool(told.retraining)
    )


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 600
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("the agent did not come to rest")
        time.sleep(0.05)


def _fill(places: Places, music: Path, tracks: int) -> None:
    """Files that are known, rated and carry their mark."""
    estimate = Estimate((0.2, 0.6, 0.2), 5.0, 5.0, sure=True, model="unknown")
    with Library.open(places.library) as library, library.transaction():
        for number in range(tracks):
            path = music / f"{number // 100:03}" / f"{number}.mp3"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"ID3" + bytes(100))
            audio_id = f"{number:064x}"
            features = noise(number, 4)
            library.put_analysis(Analysis(audio_id, 25.0, 128.0, (), FEATURES_VERSION, features[0], features))
            library.put_estimate(audio_id, estimate, noise(number, 2)[:, :2].clip(0, 2))
            mark = estimate.mark.field
            library.put_file(FileRecord(path, Stamp.of(path.stat()), FileStatus.OK, audio_id, mark=mark))
