"""The ensemble as one ONNX graph, proven to agree with the trained model.

onnxmltools writes the trees. The rest is written here: skl2onnx refuses a map to normal scores, and its operator for a
kernel machine is ten times slower and, in single precision, 2e-5 off.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from moodzone_agent.classify.runtime import load_graph
from moodzone_agent.errors import BundleError
from moodzone_agent.types import Cuts
from trainer.export.graphs import OPSET, joined, kernel_sum, normal_scores, normal_share, parsed, prefixed
from trainer.pretraining.ensemble import (
    KERNEL_SHARE,
    SCALE,
    TARGETS,
    AffectEnsemble,
    KernelMachine,
    zone_probabilities,
)

PARITY: Final = 1e-5
"""The most that ONNX Runtime may differ from the trained model, in any output."""


def to_onnx(model: AffectEnsemble, spread: NDArray[np.float64], features: int) -> onnx.ModelProto:
    """The graph: inputs ``features`` [N, F] and ``cuts`` [3]; outputs ``zone_probabilities`` [N, 3],
    ``arousal`` [N] and ``valence`` [N], all float32.
    """
    parts = [
        normal_scores(model.scores, "features"),
        *(_kernel_machine(machine, name) for name, machine in zip(TARGETS, model.kernels, strict=True)),
        *(_trees(trees, name, features) for name, trees in zip(TARGETS, model.trees, strict=True)),
        _head(spread),
    ]
    return joined(
        parts,
        inputs={"features": ["N", features], "cuts": [3]},
        outputs={"zone_probabilities": ["N", 3], "arousal": ["N"], "valence": ["N"]},
    )


def check_parity(
    path: Path, model: AffectEnsemble, spread: NDArray[np.float64], windows: NDArray[np.float32]
) -> float:
    """The largest difference between the graph in ONNX Runtime and the trained model, over rows [N, F] and
    two cuts.

    Errors: `BundleError` if it exceeds `PARITY`.
    """
    session = load_graph(path)
    affect = model.predict(windows)
    worst = 0.0
    for cuts in (Cuts(), Cuts(yellow_max=4.7, purple_min=5.4, purple_min_valence=1.0)):
        expected = (zone_probabilities(affect, spread, cuts), affect[:, 0], affect[:, 1])
        inputs = np.array([cuts.yellow_max, cuts.purple_min, cuts.purple_min_valence], np.float32)
        outputs = session.run(
            ["zone_probabilities", "arousal", "valence"], {"features": windows, "cuts": inputs}
        )
        worst = max(
            worst,
            *(float(np.abs(got - want).max()) for got, want in zip(outputs, expected, strict=True)),
        )
    if not worst <= PARITY:
        raise BundleError(
            f"the exported graph differs from the trained model by {worst:.1e}, more than {PARITY:.0e}; "
            "the versions of skl2onnx, onnxmltools and xgboost may not fit each other"
        )
    return worst


def _trees(trees: Any, name: str, features: int) -> onnx.GraphProto:
    from onnxmltools.convert import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    converted = convert_xgboost(
        trees, initial_types=[("features", FloatTensorType([None, features]))], target_opset=OPSET
    )
    return prefixed(converted.graph, f"{name}_trees_")


def _kernel_machine(machine: KernelMachine, target: str) -> onnx.GraphProto:
    return prefixed(
        kernel_sum(
            "scores",
            scale=machine.weights,
            references=machine.svr.support_vectors_,
            coefficients=machine.svr.dual_coef_[0],
            constant=float(machine.svr.intercept_[0]),
            gamma=float(machine.svr._gamma),
            precision=np.float32,
        ),
        f"{target}_",
    )


def _head(spread: NDArray[np.float64]) -> onnx.GraphProto:
    """The weighted mean of the members, held within the scale, and the zones' probabilities."""
    constants: dict[str, NDArray[Any]] = {
        "half": np.array(0.5, np.float32),
        "kernel_share": np.array(KERNEL_SHARE, np.float32),
        "trees_share": np.array(1 - KERNEL_SHARE, np.float32),
        "low": np.array(SCALE[0], np.float32),
        "high": np.array(SCALE[1], np.float32),
        "one": np.array([1.0], np.float32),
        "axis_1": np.array([1], np.int64),
        "pick_yellow": np.array([0], np.int64),
        "pick_purple": np.array([1], np.int64),
        "pick_valence": np.array([2], np.int64),
        "arousal_scale": np.array([spread[0] * np.sqrt(2)], np.float32),
        "valence_scale": np.array([spread[1] * np.sqrt(2)], np.float32),
    }
    shares = (
        normal_share("below", "Sub (yellow_max, a)", "arousal_scale", "yellow"),
        normal_share("above", "Sub (a, purple_min)", "arousal_scale", "aroused"),
        normal_share("bright", "Sub (v, purple_min_valence)", "valence_scale", "pleasant"),
    )
    return parsed(
        f"""
        head (float[N, 1] arousal_kernel, float[N, 1] valence_kernel, float[N, 1] arousal_trees_variable,
        float[N, 1] valence_trees_variable, float[3] cuts)
            => (float[N, 3] zone_probabilities, float[N] arousal, float[N] valence) {{
            kernels = Concat <axis = 1> (arousal_kernel, valence_kernel)
            kernels_part = Mul (kernels, kernel_share)
            trees = Concat <axis = 1> (arousal_trees_variable, valence_trees_variable)
            trees_part = Mul (trees, trees_share)
            mean = Add (kernels_part, trees_part)
            affect = Clip (mean, low, high)
            a, v = Split <axis = 1> (affect)
            arousal = Squeeze (a, axis_1)
            valence = Squeeze (v, axis_1)
            yellow_max = Gather (cuts, pick_yellow)
            purple_min = Gather (cuts, pick_purple)
            purple_min_valence = Gather (cuts, pick_valence)
{"".join(shares)}            purple = Mul (aroused, pleasant)
            not_yellow = Sub (one, yellow)
            green = Sub (not_yellow, purple)
            zone_probabilities = Concat <axis = 1> (yellow, green, purple)
        }}
        """,
        constants,
    )
