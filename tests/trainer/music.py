"""Short pieces of made-up music with tags."""

from __future__ import annotations

from pathlib import Path

from moodzone_agent.demo.encode import write_audio
from moodzone_agent.demo.music import compose, render


def make_track(path: Path, seed: int, *, seconds: float = 3.0, artist: str = "", title: str = "") -> Path:
    """Write one; another seed gives another recording."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = render(compose(seed, duration=seconds), rate=22_050)
    tags = {name: value for name, value in (("artist", artist), ("title", title)) if value}
    write_audio(path, samples, rate=22_050, tags=tags)
    return path
