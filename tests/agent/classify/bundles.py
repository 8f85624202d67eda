"""Second bundles, made from the one that ships."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx.parser import parse_model

from moodzone_agent.classify.bundle import HEAD_MODEL, MANIFEST, PRETRAINED
from moodzone_agent.classify.pool import HEAD_INPUTS


def other_bundle(folder: Path, model_id: str = "other", **changes: Any) -> Path:
    """The shipped bundle with another id, and whatever else is to be said in its manifest."""
    shutil.copytree(PRETRAINED, folder)
    _say(folder, id=model_id, **changes)
    return folder


def head_bundle(folder: Path, model_id: str = "head", zone: int = 2) -> Path:
    """A bundle with a head that gives nine tenths to one zone, whatever it hears."""
    shares = np.full(3, 0.05, np.float32)
    shares[zone] = 0.9
    graph = parse_model(
        f"""
        <ir_version: 8, opset_import: ["" : 17]>
        head (float[N, {len(HEAD_INPUTS)}] inputs) => (float[N, 3] zone_probabilities)
        <float[3] shares = {{{", ".join(str(share) for share in shares)}}}>
        {{
            size = Shape (inputs)
            first = Constant <value_ints = [0]> ()
            rows = Gather (size, first)
            three = Constant <value_ints = [3]> ()
            shape = Concat <axis = 0> (rows, three)
            zone_probabilities = Expand (shares, shape)
        }}
        """
    )
    onnx.checker.check_model(graph)
    return with_head(folder, graph, model_id)


def with_head(folder: Path, graph: onnx.ModelProto, model_id: str) -> Path:
    """The shipped bundle with this head."""
    other_bundle(folder, model_id, accepts_cuts=False)
    onnx.save(graph, folder / HEAD_MODEL)
    files = json.loads((folder / MANIFEST).read_text())["files"]
    digest = hashlib.sha256((folder / HEAD_MODEL).read_bytes()).hexdigest()
    _say(folder, files=files | {HEAD_MODEL: digest})
    return folder


def _say(folder: Path, **changes: Any) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
