"""Tones to tag: one file per format, copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.audio_files import write_tone

TONES: dict[str, dict[str, object]] = {
    "tone.mp3": {},
    "tone.flac": {},
    "tone.m4a": {},
    "faststart.m4a": {"options": {"movflags": "faststart"}},
    "alac.m4a": {"codec": "alac"},
    "tone.ogg": {},
    "tone.opus": {},
    "tone.wav": {},
    "tone.aiff": {"options": {"write_id3v2": "1"}},
}
FORMATS = tuple(TONES)

CopyTone = Callable[..., Path]


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tones, each with a title, and ``bare-`` twins without any tag of their own."""
    folder = tmp_path_factory.mktemp("tones")
    for name, how in TONES.items():
        write_tone(folder / name, seconds=0.4, metadata={"title": "Ton", "artist": "Ärzte"}, **how)  # type: ignore[arg-type]
        write_tone(folder / f"bare-{name}", seconds=0.4, **how)  # type: ignore[arg-type]
    return folder


@pytest.fixture
def tone(tones: Path, tmp_path: Path) -> CopyTone:
    """``tone("tone.mp3")`` is a fresh copy of that tone."""

    def copy(name: str) -> Path:
        return Path(shutil.copyfile(tones / name, tmp_path / name))

    return copy
