"""Pieces of ONNX graphs that both exports are put together from."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import onnx
import onnx.compose
import onnx.parser
from numpy.typing import NDArray

from trainer.pretraining.ensemble import NormalScores

OPSET: Final = 15
"""The newest that onnxmltools writes trees for."""
_ML_OPSET: Final = 3
_IR: Final = 8


def joined(
    parts: list[onnx.GraphProto], *, inputs: dict[str, list[str | int]], outputs: dict[str, list[str | int]]
) -> onnx.ModelProto:
    """One checked model of graphs that feed each other by the names of their values, all float32."""

    def values(shapes: dict[str, list[str | int]]) -> list[onnx.ValueInfoProto]:
        float32 = onnx.TensorProto.FLOAT
        return [onnx.helper.make_tensor_value_info(name, float32, shape) for name, shape in shapes.items()]

    graph = onnx.helper.make_graph(
        nodes=[node for part in parts for node in part.node],
        name="moodzone",
        initializer=[constant for part in parts for constant in part.initializer],
        inputs=values(inputs),
        outputs=values(outputs),
    )
    opsets = [onnx.helper.make_opsetid("", OPSET), onnx.helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=_IR, producer_name="moodzone")
    onnx.checker.check_model(model, full_check=True)
    return model


def normal_scores(scores: NormalScores, source: str) -> onnx.GraphProto:
    """From `source` [N, F] to ``scores`` [N, F]: as `NormalScores.transform`, the sum of what each segment adds."""
    return parsed(
        f"""
        scores (float[N, F] {source}) => (float[N, F] scores) {{
            across = Unsqueeze ({source}, segments_axis)
            at_least = Max (across, lower_knot)
            segment = Min (at_least, upper_knot)
            steps = Sub (segment, lower_knot)
            parts = Mul (steps, slopes)
            rise = ReduceSum <keepdims = 0> (parts, segments_axis)
            mapped = Add (rise, start)
            missing = IsNaN ({source})
            scores = Where (missing, median, mapped)
        }}
        """,
        {
            "lower_knot": scores.knots[:-1],
            "upper_knot": scores.knots[1:],
            "slopes": scores.slopes,
            "start": scores.start,
            "median": np.array(0.0, np.float32),
            "segments_axis": np.array([1], np.int64),
        },
    )


def kernel_sum(
    source: str,
    *,
    scale: NDArray[np.float32],
    references: NDArray[Any],
    coefficients: NDArray[np.float64],
    constant: float,
    gamma: float,
    precision: type[np.floating[Any]] = np.float64,
) -> onnx.GraphProto:
    """From scores in `source` [N, F] to ``kernel`` [N, 1]: a constant and a weighted sum of exp(-gamma |x - s|^2).

    x are the scaled scores, s the references [L, F], which single precision must hold exactly. From
    |x|^2 + |s|^2 - 2 x.s, in the given precision (single is twice as fast, and enough where no score weighs much
    more than others), then summed in double: the terms cancel each other out.
    """
    number = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(precision))
    return parsed(
        f"""
        kernel (float[N, F] {source}) => (float[N, 1] kernel) {{
            scaled = Mul ({source}, feature_scale)
            x = Cast <to = {number}> (scaled)
            s = Cast <to = {number}> (references)
            xs = MatMul (x, s)
            cross = Mul (xs, minus_two)
            xx = ReduceSumSquare <axes = [1], keepdims = 1> (x)
            both = Add (xx, references_squared)
            distance = Add (both, cross)
            exponent = Mul (distance, minus_gamma)
            kernel_matrix = Exp (exponent)
            terms = Cast <to = 11> (kernel_matrix)
            sum = MatMul (terms, coefficients)
            shifted = Add (sum, constant)
            kernel = Cast <to = 1> (shifted)
        }}
        """,
        {
            "feature_scale": scale,
            "references": references.T.astype(np.float32),
            "references_squared": (references.astype(np.float64) ** 2).sum(axis=1)[None].astype(precision),
            "coefficients": coefficients[:, None],
            "constant": np.array([constant]),
            "minus_gamma": np.array(-gamma, precision),
            "minus_two": np.array(-2.0, precision),
        },
    )


def normal_share(name: str, distance: str, scale: str, result: str) -> str:
    """Nodes for the share of a normal distribution below a distance; `scale` is sqrt(2) standard deviations."""
    return f"""
            {name} = {distance}
            {name}_scaled = Div ({name}, {scale})
            {name}_erf = Erf ({name}_scaled)
            {name}_twice = Add ({name}_erf, one)
            {result} = Mul ({name}_twice, half)
"""


def prefixed(graph: onnx.GraphProto, prefix: str) -> onnx.GraphProto:
    """The same with all names prefixed but those of its inputs, so that it can stand beside its like."""
    model = onnx.helper.make_model(graph)
    return onnx.compose.add_prefix(model, prefix, rename_inputs=False).graph


def parsed(text: str, constants: dict[str, NDArray[Any]]) -> onnx.GraphProto:
    graph = onnx.parser.parse_graph(text)
    graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in constants.items())
    return graph
