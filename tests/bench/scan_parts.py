"""``python -m tests.bench.scan_parts FILE``: `moodzone scan` step by step; prints wall-clock and CPU time of each."""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

_NOTHING: Final = ("tests.bench.worker_jobs", "at_once")
_READ: Final = ("tests.bench.worker_jobs", "times_of_reading")
_parts: Final[dict[str, tuple[float, float]]] = {}


@contextmanager
def _part(name: str) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    _parts[name] = time.perf_counter() - wall, time.process_time() - cpu


def main(path: Path) -> None:
    """Take the steps and print their times as JSON."""
    with _part("import of the command line"):
        import moodzone_agent.cli  # noqa: F401
    with _part("import of the rest"):
        from moodzone_agent.classify.bundle import load_bundle
        from moodzone_agent.classify.ribbon import window_ribbon
        from moodzone_agent.classify.session import ZoneModel
        from moodzone_agent.config import Places, load_settings
        from moodzone_agent.console import scan_summary  # noqa: F401
        from moodzone_agent.library.store import Library
        from moodzone_agent.pipeline import scan  # noqa: F401
        from moodzone_agent.workers import AnalysisPool, Task
    with _part("import of onnxruntime and load the model"):
        places = Places.find()
        model = ZoneModel(load_bundle(), load_settings(places.settings).zones)
        model.load()
    with _part("make the library"):
        library = Library.open(places.library)
    task = Task(path, path.stat().st_size)
    with library:
        start = time.perf_counter()
        with AnalysisPool(1, job=_NOTHING) as workers:
            used = _do(workers, task)
            _parts["start of a worker"] = time.perf_counter() - start, used
        with AnalysisPool(1, job=_READ) as workers:
            wall, cpu, analysis = _do(workers, task)
            _parts["read the file"] = wall, cpu
        with _part("rate and store"), library.transaction():
            library.put_analysis(analysis)
            windows = model.rate(analysis.windows)
            estimate = model.estimate(analysis.windows, windows)
            library.put_estimate(analysis.audio_id, estimate, window_ribbon(windows, analysis.duration))
    sys.stdout.write(json.dumps(_parts) + "\n")


def _do(workers: Any, task: Any) -> Any:
    outcome = next(iter(workers.run(deque([task]))))
    if outcome.error is not None:
        raise outcome.error
    return outcome.result


if __name__ == "__main__":
    main(Path(sys.argv[1]))
