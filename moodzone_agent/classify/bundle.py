"""A bundle: a folder with a model, its manifest and its licence."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from moodzone_agent.errors import BundleError
from moodzone_agent.features.spec import FEATURE_NAMES, FEATURES_VERSION
from moodzone_agent.types import ZONES

SCHEMA: Final = 1
MANIFEST: Final = "manifest.json"
ZONE_MODEL: Final = "zone.onnx"
HEAD_MODEL: Final = "head.onnx"
RIBBON_MODEL: Final = "ribbon.onnx"
PRETRAINED: Final = Path(__file__).resolve().parents[1] / "models" / "pretrained"
"""The bundle that ships with the program."""
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_CURE: Final = "train it again with moodzone-train, or reinstall the program"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose files are what its manifest says."""

    folder: Path
    model_id: str
    sure_from: float
    """Confidence from which an estimate counts as sure, 1/3 to 1."""
    manifest: dict[str, Any]

    @property
    def zone_model(self) -> Path:
        """The ONNX graph from features to zones."""
        return self.folder / ZONE_MODEL

    @property
    def zone_model_hash(self) -> str:
        """Of that graph; bundles that a user's labels made share it with the one they started from."""
        return str(self.manifest["files"][ZONE_MODEL])

    @property
    def head_model(self) -> Path | None:
        """The ONNX graph from what a track amounts to (`pool.HEAD_INPUTS`) to one user's zones, if there is one."""
        return self.folder / HEAD_MODEL if HEAD_MODEL in self.manifest["files"] else None

    @property
    def accepts_cuts(self) -> bool:
        """Whether the zones lie where the settings say; a head has learned where its user wants them."""
        return self.head_model is None and bool(self.manifest.get("accepts_cuts", True))

    @property
    def ribbon_model(self) -> Path | None:
        """The ONNX graph from frames to arousal and valence, if there is one; bundles of before had none."""
        return self.folder / RIBBON_MODEL if RIBBON_MODEL in self.manifest["files"] else None

    @property
    def spread(self) -> tuple[float, float]:
        """Standard deviations of the errors of arousal and valence, by which the zones' borders are blurred."""
        spread = self.manifest["spread"]
        return float(spread["arousal"]), float(spread["valence"])


def load_bundle(folder: Path = PRETRAINED, *, cure: str = _CURE) -> Bundle:
    """Read and check a bundle.

    Errors: `BundleError` if anything is missing, damaged, or made for other features than this program
    extracts; its text ends in `cure`.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["schema"] != SCHEMA:
            raise BundleError(
                f"{folder} has manifest schema {manifest['schema']}, this program reads {SCHEMA}; {cure}"
            )
        _check_features(folder, manifest, cure)
        _check_files(folder, manifest["files"], cure)
        return Bundle(
            folder=folder,
            model_id=str(manifest["id"]),
            sure_from=float(manifest["sure_from"]),
            manifest=manifest,
        )
    except OSError as error:
        raise BundleError(f"{folder} cannot be read as a model bundle ({error.strerror}); {cure}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{path} is not a manifest of a model bundle ({error}); {cure}") from error


def _check_features(folder: Path, manifest: dict[str, Any], cure: str) -> None:
    if manifest["features_version"] != FEATURES_VERSION:
        raise BundleError(
            f"{folder} was made for features version {manifest['features_version']}, "
            f"this program extracts version {FEATURES_VERSION}; {cure}"
        )
    if tuple(manifest["feature_names"]) != FEATURE_NAMES or tuple(manifest["zones"]) != ZONES:
        raise BundleError(f"{folder} was made for features or zones of other names; {cure}")


def _check_files(folder: Path, hashes: dict[str, str], cure: str) -> None:
    if ZONE_MODEL not in hashes:
        raise BundleError(f"the manifest in {folder} does not list {ZONE_MODEL}; {cure}")
    for name, expected in hashes.items():
        if not _PLAIN_NAME.fullmatch(name):  # else a copy of the bundle would reach out of its folder
            raise BundleError(f"the manifest in {folder} is damaged: {name!r} is no plain file name; {cure}")
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != expected:
            raise BundleError(f"{folder / name} is damaged (its SHA-256 is not the manifest's); {cure}")
