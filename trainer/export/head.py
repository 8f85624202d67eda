"""A user's head as an ONNX graph, proven to agree with the trained one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray

from moodzone_agent.classify.pool import HEAD_INPUTS
from moodzone_agent.classify.runtime import load_graph
from moodzone_agent.errors import BundleError
from moodzone_agent.features.spec import FEATURE_NAMES
from trainer.export.ensemble import PARITY
from trainer.export.graphs import OPSET, joined, kernel_sum, normal_scores, normal_share, parsed, prefixed
from trainer.finetuning.heads import (
    AFFECT_COLUMNS,
    CENTRE,
    GAMMA,
    LEAST_STACKED,
    GaussianProcessHead,
    Head,
    LogisticHead,
    MeanHead,
    StackedHead,
    TreesHead,
)
from trainer.judgement.evaluate import LEAST

_OUTPUT: Final = "zone_probabilities"


def head_to_onnx(head: Head) -> onnx.ModelProto:
    """The graph: input ``inputs`` [N, H], the columns of `pool.HEAD_INPUTS`; output ``zone_probabilities`` [N, 3]."""
    output = parsed(
        f"""
        output (float[N, 3] head_probabilities) => (float[N, 3] {_OUTPUT}) {{
            {_OUTPUT} = Identity (head_probabilities)
        }}
        """,
        {},
    )
    return joined(
        [*_graphs(head, "head"), output],
        inputs={"inputs": ["N", len(HEAD_INPUTS)]},
        outputs={_OUTPUT: ["N", 3]},
    )


def check_head_parity(path: Path, head: Head, rows: NDArray[np.float32]) -> float:
    """The largest difference between the graph in ONNX Runtime and the trained head, over rows [N, H].

    Errors: `BundleError` if it exceeds `PARITY`.
    """
    session = load_graph(path)
    worst = float(np.abs(session.run([_OUTPUT], {"inputs": rows})[0] - head.predict(rows)).max())
    if not worst <= PARITY:
        raise BundleError(
            f"the exported head differs from the trained one by {worst:.1e}, more than {PARITY:.0e}"
        )
    return worst


def _graphs(head: Head, name: str) -> Iterator[onnx.GraphProto]:
    """Graphs that lead from ``inputs`` to ``NAME_probabilities``; all their values bear the name."""
    match head:
        case GaussianProcessHead():
            yield from _gaussian_process(head, name)
        case TreesHead():
            yield _trees(head, name)
        case LogisticHead():
            yield _logistic(head, "inputs", name)
        case StackedHead(members=members, judge=judge):
            sources = [f"{name}_{place}" for place in range(len(members))]
            for member, source in zip(members, sources, strict=True):
                yield from _graphs(member, source)
            yield _log_odds(sources, name)
            yield _logistic(judge, f"{name}_log_odds", name)
        case MeanHead(members=members):
            sources = [f"{name}_{place}" for place in range(len(members))]
            for member, source in zip(members, sources, strict=True):
                yield from _graphs(member, source)
            yield _mean(head, sources, name)
        case _:
            raise TypeError(f"{type(head).__name__} cannot be exported")


def _gaussian_process(head: GaussianProcessHead, name: str) -> Iterator[onnx.GraphProto]:
    yield prefixed(
        parsed(
            """
            split (float[N, H] inputs) => (float[N, F] features, float[N, A] affect) {
                features = Slice (inputs, first, end, columns_axis)
                affect = Gather <axis = 1> (inputs, affect_columns)
            }
            """,
            {
                "first": np.array([0], np.int64),
                "end": np.array([len(FEATURE_NAMES)], np.int64),
                "columns_axis": np.array([1], np.int64),
                "affect_columns": np.array(AFFECT_COLUMNS, np.int64),
            },
        ),
        f"{name}_",
    )
    yield prefixed(normal_scores(head.scores, f"{name}_features"), f"{name}_")
    yield prefixed(
        kernel_sum(
            f"{name}_scores",
            scale=head.scale,
            references=head.references,
            coefficients=head.coefficients,
            constant=head.offset,
            gamma=GAMMA,
        ),
        f"{name}_",
    )
    shares = (
        normal_share("low", "Sub (low_threshold, position)", "error", "yellow"),
        normal_share("high", "Sub (high_threshold, position)", "error", "not_purple"),
    )
    yield prefixed(
        parsed(
            f"""
            position (float[N, A] {name}_affect, float[N, 1] {name}_kernel) => (float[N, 3] probabilities) {{
                centred = Sub ({name}_affect, centre)
                line = MatMul (centred, affect_slopes)
                position = Add (line, {name}_kernel)
{"".join(shares)}                purple = Sub (one, not_purple)
                green = Sub (not_purple, yellow)
                probabilities = Concat <axis = 1> (yellow, green, purple)
            }}
            """,
            {
                "centre": CENTRE.astype(np.float32),
                "affect_slopes": head.slopes.astype(np.float32)[:, None],
                "low_threshold": np.array([head.thresholds.low], np.float32),
                "high_threshold": np.array([head.thresholds.high], np.float32),
                "error": np.array([head.thresholds.spread * np.sqrt(2)], np.float32),
                "half": np.array(0.5, np.float32),
                "one": np.array([1.0], np.float32),
            },
        ),
        f"{name}_",
    )


def _trees(head: TreesHead, name: str) -> onnx.GraphProto:
    from onnxmltools.convert import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    converted = convert_xgboost(
        head.booster,
        initial_types=[("inputs", FloatTensorType([None, len(HEAD_INPUTS)]))],
        target_opset=OPSET,
    )
    return prefixed(converted.graph, f"{name}_")


def _logistic(head: LogisticHead, source: str, name: str) -> onnx.GraphProto:
    return prefixed(
        parsed(
            f"""
            logistic (float[N, H] {source}) => (float[N, 3] probabilities) {{
                chosen = Gather <axis = 1> ({source}, columns)
                doubled = Cast <to = 11> (chosen)
                weighted = MatMul (doubled, coefficients)
                scores = Add (weighted, intercepts)
                shares = Softmax <axis = 1> (scores)
                probabilities = Cast <to = 1> (shares)
            }}
            """,
            {
                "columns": np.array(head.columns, np.int64),
                "coefficients": head.coefficients,
                "intercepts": head.intercepts,
            },
        ),
        f"{name}_",
    )


def _log_odds(sources: list[str], name: str) -> onnx.GraphProto:
    """As `heads.log_odds`."""
    members = [f"{source}_probabilities" for source in sources]
    return prefixed(
        parsed(
            f"""
            stack ({", ".join(f"float[N, 3] {member}" for member in members)}) => (float[N, M] log_odds) {{
                beside = Concat <axis = 1> ({", ".join(members)})
                possible = Max (beside, least)
                log_odds = Log (possible)
            }}
            """,
            {"least": np.array(LEAST_STACKED, np.float32)},
        ),
        f"{name}_",
    )


def _mean(head: MeanHead, sources: list[str], name: str) -> onnx.GraphProto:
    members = [f"{source}_probabilities" for source in sources]
    weighted = "".join(
        f"part_{place} = Mul ({member}, weight_{place})\n" for place, member in enumerate(members)
    )
    constants = {f"weight_{place}": np.array(weight, np.float32) for place, weight in enumerate(head.weights)}
    return prefixed(
        parsed(
            f"""
            mean ({", ".join(f"float[N, 3] {member}" for member in members)}) => (float[N, 3] probabilities) {{
                {weighted}
                mean = Sum ({", ".join(f"part_{place}" for place in range(len(members)))})
                possible = Max (mean, least)
                powers = Pow (possible, sharpness)
                favoured = Mul (powers, odds)
                total = ReduceSum <keepdims = 1> (favoured, columns_axis)
                probabilities = Div (favoured, total)
            }}
            """,
            {
                **constants,
                "least": np.array(LEAST, np.float32),
                "sharpness": np.array(1 / head.calibration.temperature, np.float32),
                "odds": np.array([head.calibration.odds], np.float32),
                "columns_axis": np.array([1], np.int64),
            },
        ),
        f"{name}_",
    )
