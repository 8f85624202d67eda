"""ONNX Runtime, with its telemetry off: nothing leaves this computer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from moodzone_agent.errors import BundleError

_NO_TELEMETRY: Final = ("ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED")
"""Since 1.29 the runtime tells its maker of each process and session, unless this (by either name) is set before it is
loaded."""


def load_graph(path: Path) -> Any:
    """An `onnxruntime.InferenceSession` on one thread, so as to leave the others to the workers.

    Errors: `BundleError` if ONNX Runtime cannot load it.
    """
    os.environ.update(dict.fromkeys(_NO_TELEMETRY, "1"))
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # on Windows, where the variable isn't looked at
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base but this
        raise BundleError(f"{path} cannot be loaded ({error})") from error
