"""The ensemble as one ONNX graph, proven to agree with the trained model.

skl2onnx writes the scaler, onnxmltools the trees. The kernel machine is written here: skl2onnx's operator
for it is ten times slower and, in single precision, 2e-5 off.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnx.compose
import onnx.parser
from numpy.typing import NDArray

from moodzone_agent.errors import BundleError
from moodzone_agent.types import Cuts
from trainer.ensemble import SCALE, TARGETS, AffectEnsemble, zone_probabilities

PARITY: Final = 1e-5
"""The most that ONNX Runtime may differ from the trained model, in any output."""

_OPSET: Final = 15
"""The newest that onnxmltools writes trees for."""
_ML_OPSET: Final = 3
_IR: Final = 8


def to_onnx(model: AffectEnsemble, spread: NDArray[np.float64], features: int) -> onnx.ModelProto:
    """The graph: inputs ``features`` [N, F] and ``cuts`` [3]; outputs ``zone_probabilities`` [N, 3],
    ``arousal`` [N] and ``valence`` [N], all float32.
    """
    parts = [
        _scaler(model, features),
        _kernel_machine(model),
        *(_trees(trees, name, features) for name, trees in zip(TARGETS, model.trees, strict=True)),
        _head(spread),
    ]
    float32 = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes=[node for part in parts for node in part.node],
        name="zone",
        initializer=[constant for part in parts for constant in part.initializer],
        inputs=[
            onnx.helper.make_tensor_value_info("features", float32, ["N", features]),
            onnx.helper.make_tensor_value_info("cuts", float32, [3]),
        ],
        outputs=[
            onnx.helper.make_tensor_value_info("zone_probabilities", float32, ["N", 3]),
            onnx.helper.make_tensor_value_info("arousal", float32, ["N"]),
            onnx.helper.make_tensor_value_info("valence", float32, ["N"]),
        ],
    )
    opsets = [onnx.helper.make_opsetid("", _OPSET), onnx.helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
    joined = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=_IR, producer_name="moodzone")
    onnx.checker.check_model(joined, full_check=True)
    return joined


def check_parity(
    path: Path, model: AffectEnsemble, spread: NDArray[np.float64], windows: NDArray[np.float32]
) -> float:
    """The largest difference between the graph in ONNX Runtime and the trained model, over rows [N, F] and
    two cuts.

    Errors: `BundleError` if it exceeds `PARITY`.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
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


def _scaler(model: AffectEnsemble, features: int) -> onnx.GraphProto:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    converted = convert_sklearn(
        model.scaler,
        initial_types=[("features", FloatTensorType([None, features]))],
        final_types=[("scaled", FloatTensorType([None, features]))],
        target_opset={"": _OPSET, "ai.onnx.ml": _ML_OPSET},
    )
    graph: onnx.GraphProto = converted.graph
    return graph


def _trees(trees: Any, name: str, features: int) -> onnx.GraphProto:
    from onnxmltools.convert import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    converted = convert_xgboost(
        trees, initial_types=[("features", FloatTensorType([None, features]))], target_opset=_OPSET
    )
    return onnx.compose.add_prefix(converted, f"{name}_trees_", rename_inputs=False).graph


def _kernel_machine(model: AffectEnsemble) -> onnx.GraphProto:
    """Both support vector machines at once: they share the training rows, so one kernel matrix serves both.

    exp(-gamma |x - s|^2) in double precision, from |x|^2 + |s|^2 - 2 x.s.
    """
    used = np.union1d(*(svr.support_ for svr in model.svr))
    rows = np.empty((used.size, model.svr[0].shape_fit_[1]))
    weights = np.zeros((used.size, len(TARGETS)))
    for target, svr in enumerate(model.svr):
        at = np.searchsorted(used, svr.support_)
        rows[at] = svr.support_vectors_
        weights[at, target] = svr.dual_coef_[0]
    gamma = model.svr[0]._gamma
    constants = {
        "rows": rows.T.astype(np.float32),
        "rows_squared": (rows**2).sum(axis=1)[None],
        "weights": weights,
        "intercepts": np.array([[svr.intercept_[0] for svr in model.svr]]),
        "gamma": np.array(-gamma),
        "minus_two": np.array(-2.0),
    }
    return _parsed(
        """
        kernel (float[N, F] scaled) => (float[N, 2] kernel_affect) {
            x = Cast <to = 11> (scaled)
            s = Cast <to = 11> (rows)
            xs = MatMul (x, s)
            cross = Mul (xs, minus_two)
            xx = ReduceSumSquare <axes = [1], keepdims = 1> (x)
            both = Add (xx, rows_squared)
            distance = Add (both, cross)
            exponent = Mul (distance, gamma)
            kernel_matrix = Exp (exponent)
            weighted = MatMul (kernel_matrix, weights)
            members = Add (weighted, intercepts)
            kernel_affect = Cast <to = 1> (members)
        }
        """,
        constants,
    )


def _head(spread: NDArray[np.float64]) -> onnx.GraphProto:
    """The mean of the members, held within the scale, and the zones' probabilities."""
    constants: dict[str, NDArray[Any]] = {
        "half": np.array(0.5, np.float32),
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
        _normal_share("below", "Sub (yellow_max, a)", "arousal_scale", "yellow"),
        _normal_share("above", "Sub (a, purple_min)", "arousal_scale", "aroused"),
        _normal_share("bright", "Sub (v, purple_min_valence)", "valence_scale", "pleasant"),
    )
    return _parsed(
        f"""
        head (float[N, 2] kernel_affect, float[N, 1] arousal_trees_variable, float[N, 1]
        valence_trees_variable, float[3] cuts)
            => (float[N, 3] zone_probabilities, float[N] arousal, float[N] valence) {{
            trees = Concat <axis = 1> (arousal_trees_variable, valence_trees_variable)
            sum = Add (kernel_affect, trees)
            mean = Mul (sum, half)
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


def _normal_share(name: str, distance: str, scale: str, result: str) -> str:
    """Nodes for the share of a normal distribution below a distance; `scale` is sqrt(2) standard deviations."""
    return f"""
            {name} = {distance}
            {name}_scaled = Div ({name}, {scale})
            {name}_erf = Erf ({name}_scaled)
            {name}_twice = Add ({name}_erf, one)
            {result} = Mul ({name}_twice, half)
"""


def _parsed(text: str, constants: dict[str, NDArray[Any]]) -> onnx.GraphProto:
    graph = onnx.parser.parse_graph(text)
    graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in constants.items())
    return graph
