"""What rating costs: a bundle's graphs in ONNX Runtime on one thread, one row at a time and in batches."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import numpy as np

from moodzone_agent.classify.bundle import PRETRAINED, load_bundle
from moodzone_agent.classify.runtime import load_graph
from moodzone_agent.features.spec import FEATURE_NAMES
from tests.bench.machine import describe
from tests.bench.report import Figures, parser, report

_CUTS = np.array([4.0, 6.0, 4.5], np.float32)
_MOST_MEGABYTES = 16.0


def main(arguments: list[str]) -> None:
    """Print the table."""
    options = parser("model", __doc__)
    options.add_argument("--runs", type=int, default=20)
    chosen = options.parse_args(arguments)
    bundle = load_bundle()
    graph = load_graph(bundle.zone_model)
    rng = np.random.default_rng(0)
    figures = Figures("zone.onnx", {"rows": "", "CPU µs a row": ".1f", "aim": "", "met": ""})
    for rows, most in ((1, 1000.0), (64, None), (1000, 100.0)):
        features = rng.normal(0, 1, (rows, len(FEATURE_NAMES))).astype(np.float32)
        spent = [_run(graph, features) / rows * 1e6 for _ in range(chosen.runs + 1)][1:]
        row: dict[str, Any] = {"rows": str(rows), "CPU µs a row": median(spent)}
        if most is not None:
            row |= {"aim": f"<= {most:g}", "met": "yes" if median(spent) <= most else "no"}
        figures.rows.append(row)
    size = sum(path.stat().st_size for path in PRETRAINED.iterdir()) / 1e6
    bundles = Figures("The bundle that ships", {"MB": ".1f", "aim": "", "met": ""})
    bundles.rows.append(
        {"MB": size, "aim": f"<= {_MOST_MEGABYTES:g}", "met": "yes" if size <= _MOST_MEGABYTES else "no"}
    )
    report("model", describe("numpy", "onnxruntime"), [figures, bundles], chosen.json)


def _run(graph: Any, features: Any) -> float:
    start = time.process_time()
    graph.run(None, {"features": features, "cuts": _CUTS})
    return time.process_time() - start
