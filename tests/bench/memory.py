"""Peak memory of `moodzone scan` with one worker, for a 10-s clip, a 5-minute track and a 2-hour mix.

Read from /proc while the program runs, so it needs Linux.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from tests.bench import music, program
from tests.bench.machine import describe
from tests.bench.report import Figures, parser, report

_TRACK: Final = "5 minutes"
_MIX: Final = "2 hours"
_MOST: Final = 160.0
_MOST_GROWTH: Final = 10.0
_POLL_SECONDS: Final = 0.01


def main(arguments: list[str]) -> None:
    """Measure, print, save."""
    options = parser("memory", __doc__)
    parsed = options.parse_args(arguments)
    if sys.platform != "linux":
        options.error("memory is read from /proc, which this system doesn't have")
    files = {
        "10 s": music.track(parsed.cache, ".mp3", 10),
        _TRACK: music.track(parsed.cache, ".mp3", 300),
        _MIX: music.mix(parsed.cache, 2),
    }
    machine = describe("av", "numpy", "scipy", "soxr", "onnxruntime")
    figures = Figures(
        "Peak resident memory, 10^6 bytes",
        {
            "MP3": "",
            "worker MB": ".1f",
            "main MB": ".1f",
            "audio s": ".1f",
            "wall s": ".2f",
            "aim": "",
            "met": "",
        },
    )
    peaks = {}
    for name, path in files.items():
        main_peak, peaks[name], line, wall = _scan(path)
        figures.rows.append(
            {
                "MP3": name,
                "worker MB": peaks[name],
                "main MB": main_peak,
                "audio s": line["duration"],
                "wall s": wall,
                "aim": f"<= {_MOST:g} MB",
                "met": "yes" if peaks[name] <= _MOST else "no",
            }
        )
    growth = peaks[_MIX] - peaks[_TRACK]
    figures.rows.append(
        {
            "MP3": f"{_MIX} - {_TRACK}",
            "worker MB": growth,
            "aim": f"<= {_MOST_GROWTH:g} MB",
            "met": "yes" if growth <= _MOST_GROWTH else "no",
        }
    )
    report("memory", machine, [figures], parsed.json)


def _scan(path: Path) -> tuple[float, float, dict[str, Any], float]:
    """Peaks of the main process and of its biggest child, the line it printed, and the seconds it took."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        scan = program.Scan(Path(folder), path, "--jobs", "1")
        main = scan.process.pid
        peaks: dict[int, float] = {}
        while scan.process.poll() is None:
            for pid in (main, *_children(main)):
                peaks[pid] = max(peaks.get(pid, 0.0), _peak_megabytes(pid))
            time.sleep(_POLL_SECONDS)
        wall = time.perf_counter() - start
        line = scan.first_line()
        scan.end()
    return peaks.pop(main), max(peaks.values()), line, wall


def _children(pid: int) -> list[int]:
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            children += map(int, (task / "children").read_text(encoding="ascii").split())
        except FileNotFoundError:
            continue
    return children


def _peak_megabytes(pid: int) -> float:
    """0 for a process that is gone or going."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    for line in status.splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0
