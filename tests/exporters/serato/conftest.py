"""Serato's genuine payloads from the material beside the checkout, and tones to tag."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.exporters.tags.conftest import tone, tones

__all__ = ["payloads", "serato", "tone", "tones"]


@pytest.fixture(scope="session")
def serato(shared: Path) -> Path:
    """The folder of Serato's files."""
    return shared / "fixtures" / "dj" / "serato"


@pytest.fixture(scope="session")
def payloads(serato: Path) -> dict[str, dict[str, bytes]]:
    """By kind of container, the genuine payloads of "Serato Markers2" and "Serato Markers_" by path."""
    found: dict[str, dict[str, bytes]] = {}
    for folder in ("aif", "flac", "id3", "mp4", "mp4-decoded"):
        for path in sorted((serato / "geob_payloads" / folder).glob("*/Serato Markers*")):
            found.setdefault(folder, {})[f"{path.parent.name}/{path.stem}"] = path.read_bytes()
    return found
