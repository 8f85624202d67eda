"""Synthesised files to measure on, kept between runs."""

from __future__ import annotations

import hashlib
import os
import tempfile
from itertools import count
from pathlib import Path
from typing import Final

_BIT_RATES: Final = {".mp3": 320_000, ".flac": None, ".m4a": 256_000}


def default_cache() -> Path:
    """Where files are kept unless another folder is given."""
    return Path(tempfile.gettempdir()) / "moodzone-bench"


def track(cache: Path, suffix: str, seconds: float, *, seed: int = 1) -> Path:
    """A file of the song of a seed: MP3 at 320 kb/s, FLAC of 16 bits or M4A (AAC) at 256 kb/s."""
    from moodzone_agent.demo.encode import write_audio
    from moodzone_agent.demo.music import compose, render

    path = cache / f"{_generator()}-{seed}-{seconds:g}s{suffix}"
    if not path.exists():
        samples = render(compose(seed, duration=seconds))
        partial = _partial(path)
        write_audio(partial, samples, bit_rate=_BIT_RATES[suffix])
        partial.replace(path)
    return path


def mix(cache: Path, hours: float) -> Path:
    """An MP3 of many hours: the packets of a 5-minute file again and again, since encoding takes so long."""
    import av

    piece = track(cache, ".mp3", 300)
    path = cache / f"{piece.stem}-{hours:g}h.mp3"
    if path.exists():
        return path
    partial = _partial(path)
    with av.open(str(partial), "w") as output:
        stream = None
        end = 0
        for _ in count():
            with av.open(str(piece)) as container:
                source = container.streams.audio[0]
                stream = stream or output.add_stream_from_template(source)
                assert source.time_base is not None
                start = end
                for packet in container.demux(source):
                    if packet.dts is None or packet.duration is None:
                        continue
                    packet.pts = packet.dts = start + packet.dts
                    end = packet.dts + packet.duration
                    packet.stream = stream
                    output.mux_one(packet)
                if end * source.time_base >= hours * 3600:
                    break
    partial.replace(path)
    return path


def _partial(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f"partial-{os.getpid()}-{path.name}")


def _generator() -> str:
    """Changes with the generator's code, so that no file of another one is taken for its own."""
    from moodzone_agent.demo import encode, music, sounds

    code = b"".join(Path(module.__file__ or "").read_bytes() for module in (music, sounds, encode))
    return hashlib.sha256(code).hexdigest()[:8]
