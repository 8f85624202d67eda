"""Bundles as folders: built beside their place, put there in one step."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from moodzone_agent.classify.bundle import MANIFEST
from moodzone_agent.errors import UsageError

_ID_DIGITS: Final = 8


def check_replaceable(out: Path) -> None:
    """Errors: `UsageError` if `out` holds something else than a bundle."""
    if out.exists() and not (out.is_dir() and ((out / MANIFEST).exists() or not any(out.iterdir()))):
        raise UsageError(f"{out} exists and is not a model bundle; name another folder")


def write_bundle(
    out: Path, manifest: Mapping[str, Any], fill: Callable[[Path], None], *, kind: str, named_by: str
) -> dict[str, Any]:
    """Have `fill` put the files into a new folder, add the manifest, and replace `out` by it; returns the manifest.

    The bundle's id is its `kind` and the start of the SHA-256 of the file `named_by`. Whatever fails, `out` stays as it
    was.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-"))
    try:
        fill(folder)
        digests = {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())
        }
        written = {"id": f"{kind}-{digests[named_by][:_ID_DIGITS]}", **manifest, "files": digests}
        (folder / MANIFEST).write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
        folder.chmod(0o755)
        if out.exists():
            shutil.rmtree(out)
        folder.replace(out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return written
