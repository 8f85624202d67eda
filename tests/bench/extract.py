"""CPU time of one pass over a file, beside decoding alone and beside other programs.

Every program has a process of its own, kept to one thread where it can be, and one run before the first that counts.
The runs take turns, so that what else the machine does hits all alike. Other programs are measured on the MP3 only;
`pip install -e .[bench]` installs them.
"""

from __future__ import annotations

from argparse import Namespace
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from tests.bench import music
from tests.bench.machine import describe, installed, one_thread
from tests.bench.process import JobError, JobProcess, Measured
from tests.bench.report import Figures, Value, parser, report

_PACKAGES: Final = {
    "librosa": "librosa",
    "bliss": "bliss-audio",
    "essentia": "essentia",
    "opensmile": "opensmile",
}
_OURS: Final = "ours"
_DECODE: Final = "decode only"
_EVERYTHING: Final = "everything"
_FEATURES: Final = "features"
_COLUMNS: Final = {
    "work": "",
    "CPU s": ".3f",
    "least": ".3f",
    "wall s": ".3f",
    "x decode": ".2f",
    "- decode": ".3f",
    "ours/it": ".3f",
    "aim": "",
    "met": "",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    title: str
    program: str
    """The process it runs in."""
    job: str
    share: float | None = None
    """What everything of ours may cost of it at most."""
    warm: bool = True
    """Otherwise each run is the first of a new process, with its imports."""


_ROWS: Final = (
    Row("decode only (PyAV)", _OURS, _DECODE, share=2.0),
    Row("identity only", _OURS, "identity"),
    Row("identity, decode, downmix, resample", _OURS, "signal"),
    Row("everything", _OURS, _EVERYTHING),
    Row("feature work alone", _OURS, _FEATURES),
    Row("librosa, one shared STFT, with load", "librosa", "librosa, shared", share=1 / 2),
    Row("librosa, one call per feature", "librosa", "librosa, calls"),
    Row("the same, first call and import", "librosa", "librosa, calls", warm=False),
    Row("bliss-audio", "bliss", "bliss", share=0.7),
    Row("Essentia MusicExtractor", "essentia", "essentia", share=1 / 15),
    Row("openSMILE ComParE 2016 LLD", "opensmile", "opensmile", share=1 / 30),
)
_FEATURES_SECONDS: Final = 0.2 / 300
"""The most that feature work may cost, per second of audio."""


def main(arguments: list[str]) -> None:
    """Measure, print, save."""
    options = _parse(arguments)
    one_thread()
    machine = describe("av", "numpy", "scipy", "soxr", *_PACKAGES.values())
    tables = []
    mp3_extra: float | None = None
    for container in ("mp3", "flac", "m4a"):
        path = music.track(options.cache, f".{container}", options.seconds)
        wanted = options.against if container == "mp3" else []
        rows = [row for row in _ROWS if row.program in (_OURS, *wanted)]
        results, failures = _measure(path, rows, options)
        cpu = {row: median(run.cpu for run in runs) for row, runs in results.items()}
        ours = {row.job: value for row, value in cpu.items() if row.program == _OURS}
        decode, everything = ours[_DECODE], ours[_EVERYTHING]
        kbps = path.stat().st_size * 8 / options.seconds / 1000
        figures = Figures(
            f"{container.upper()}, {options.seconds:g} s, {kbps:.0f} kb/s; medians of {options.runs} runs",
            _COLUMNS,
        )
        for row in rows:
            if row in failures:
                figures.rows.append({"work": row.title, "aim": failures[row]})
                continue
            value: dict[str, Value] = {
                "work": row.title,
                "CPU s": cpu[row],
                "least": min(run.cpu for run in results[row]),
                "wall s": median(run.wall for run in results[row]),
                "x decode": cpu[row] / decode,
                "- decode": cpu[row] - decode,
                "ours/it": everything / cpu[row],
            }
            if row.share is not None and mp3_extra is None:
                value |= _aim(f"everything <= {row.share:.3g} x", everything <= row.share * cpu[row])
            elif row.job == _EVERYTHING and mp3_extra is not None:
                value |= _aim(f"- decode <= MP3's {mp3_extra:.3f}", cpu[row] - decode <= mp3_extra)
            elif row.job == _FEATURES:
                limit = _FEATURES_SECONDS * options.seconds
                value |= _aim(f"<= {limit:.3g} s", cpu[row] <= limit)
            figures.rows.append(value)
        tables.append(figures)
        mp3_extra = everything - decode if mp3_extra is None else mp3_extra
    report("extract", machine, tables, options.json)


def _parse(arguments: list[str]) -> Namespace:
    options = parser("extract", __doc__)
    options.add_argument("--runs", type=int, default=5, metavar="N", help="runs to take the median of")
    options.add_argument("--seconds", type=float, default=300.0, help="length of the piece")
    options.add_argument(
        "--against", default=",".join(_PACKAGES), metavar="LIST", help='of %(default)s; "" for none'
    )
    parsed = options.parse_args(arguments)
    parsed.against = [name for name in parsed.against.split(",") if name]
    if unknown := sorted({*parsed.against} - {*_PACKAGES}):
        options.error(f"--against knows {', '.join(_PACKAGES)}, not {', '.join(unknown)}")
    return parsed


def _measure(
    path: Path, rows: list[Row], options: Namespace
) -> tuple[dict[Row, list[Measured]], dict[Row, str]]:
    """The runs of each row, and what became of those that could not run."""
    failures = {
        row: "not installed"
        for row in rows
        if row.program in _PACKAGES and not installed(_PACKAGES[row.program])
    }
    results: dict[Row, list[Measured]] = defaultdict(list)
    with ExitStack() as stack:
        processes: dict[str, JobProcess] = {}
        for run in range(-1, options.runs):  # the first only warms up
            for row in rows:
                if row in failures or (run < 0 and not row.warm):
                    continue
                try:
                    if not row.warm:
                        with JobProcess() as process:
                            measured = process.measure(row.job, path, options.seconds)
                    else:
                        if row.program not in processes:
                            processes[row.program] = stack.enter_context(JobProcess())
                        measured = processes[row.program].measure(row.job, path, options.seconds)
                except JobError as error:
                    if row.program == _OURS:
                        raise
                    failures[row] = str(error)
                    continue
                if run >= 0:
                    results[row].append(measured)
    return results, failures


def _aim(what: str, met: bool) -> dict[str, Value]:
    return {"aim": what, "met": "yes" if met else "no"}
