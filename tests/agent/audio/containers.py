"""``python -m tests.agent.audio.containers``: how often one recording's zone depends on its container, and why.

Each clip is encoded at the bit rates that DJs use and rated as a scan would; FLAC, which loses nothing, says which
zone is right. Clips are those of ``../shared/data/deam``, spread over the whole, or else synthesised ones.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from moodzone_agent.analysis import analyse
from moodzone_agent.audio.decode import AudioReader
from moodzone_agent.classify.bundle import load_bundle
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.demo.encode import write_audio
from moodzone_agent.demo.music import compose, render
from moodzone_agent.features.spec import FEATURE_NAMES
from moodzone_agent.types import Estimate

Samples = NDArray[np.float32]
RATE: Final = 44_100
DEAM: Final = Path(__file__).resolve().parents[4] / "shared/data/deam/MEMD_audio"
_CLIP_SECONDS: Final = 10.0
_MOVED: Final = 12
"""How many of the features that move most are named."""


def write_vorbis(path: Path, samples: Samples) -> None:
    """Quality 6 by libvorbis, which PyAV's wheels lack."""
    soundfile.write(path, samples, RATE, format="OGG", subtype="VORBIS", compression_level=0.4)


WRITERS: Final[dict[str, Callable[[Path, Samples], None]]] = {
    ".flac": partial(write_audio, rate=RATE),
    ".mp3": partial(write_audio, rate=RATE, bit_rate=320_000),
    ".m4a": partial(write_audio, rate=RATE, bit_rate=256_000),
    ".opus": partial(write_audio, rate=RATE, bit_rate=160_000),
    ".ogg": write_vorbis,
}
"""By suffix, FLAC first. Samples are [n, 2] at 44,100 Hz."""
LOSSY: Final = tuple(suffix for suffix in WRITERS if suffix != ".flac")


class Rated(NamedTuple):
    """What a scan makes of one file."""

    estimate: Estimate
    features: NDArray[np.float32]
    """[F], the mean of its windows."""


class Comparison(NamedTuple):
    """One recording, rated from each container."""

    name: str
    by_suffix: dict[str, Rated]

    def changed(self) -> list[str]:
        """The suffixes whose zone isn't FLAC's."""
        zone = self.by_suffix[".flac"].estimate.zone
        return [suffix for suffix in LOSSY if self.by_suffix[suffix].estimate.zone is not zone]


def compare(
    clips: Iterable[tuple[str, Callable[[], Samples]]], model: ZoneModel, folder: Path
) -> Iterator[Comparison]:
    """Encode each clip, a name with a function that makes its samples, unless `folder` has it, and rate it."""
    for name, make in clips:
        paths = {suffix: folder / f"{name}{suffix}" for suffix in WRITERS}
        if not all(path.exists() for path in paths.values()):
            samples = make()
            for suffix, write in WRITERS.items():
                write(paths[suffix], samples)
        yield Comparison(name, {suffix: _rate(path, model) for suffix, path in paths.items()})


def _rate(path: Path, model: ZoneModel) -> Rated:
    with AudioReader(path) as reader:
        windows = analyse(reader).windows
    return Rated(model.estimate(windows, model.rate(windows)), windows.mean(axis=0))


def synthesised(count: int) -> Iterator[tuple[str, Callable[[], Samples]]]:
    """So many clips, two at least, over the whole range of energy."""
    for seed in range(count):
        song = compose(seed, energy=seed / (count - 1), duration=_CLIP_SECONDS)
        yield str(seed), partial(render, song, rate=RATE)


def deam(count: int) -> Iterator[tuple[str, Callable[[], Samples]]]:
    """So many of DEAM's clips, the one channel on both sides."""
    paths = sorted(DEAM.glob("*.opus"), key=lambda path: int(path.stem))
    for path in paths[:: max(1, len(paths) // count)][:count]:
        yield path.stem, partial(_stereo, path)


def _stereo(path: Path) -> Samples:
    resampler = av.AudioResampler("fltp", "stereo", RATE)
    with av.open(path) as container:
        frames: list[Any] = [
            part for frame in container.decode(audio=0) for part in resampler.resample(frame)
        ]
    frames.extend(resampler.resample(None))
    return np.ascontiguousarray(np.concatenate([frame.to_ndarray() for frame in frames], axis=1).T)


def report(comparisons: list[Comparison]) -> Iterator[str]:
    """Lines: every clip whose zone changes, a row for each container, and which of its features move."""
    for clip in comparisons:
        if changed := clip.changed():
            flac = clip.by_suffix[".flac"].estimate
            shares = " ".join(f"{share:.2f}" for share in flac.probabilities)
            yield f"{clip.name}: {flac.zone} ({shares}) in FLAC, another in {', '.join(changed)}"
    whole = np.stack([clip.by_suffix[".flac"].features for clip in comparisons])
    spread = whole.std(axis=0) + 1e-9
    for suffix in LOSSY:
        zones = sum(suffix in clip.changed() for clip in comparisons)
        arousal = np.array(
            [
                clip.by_suffix[suffix].estimate.arousal - clip.by_suffix[".flac"].estimate.arousal
                for clip in comparisons
            ]
        )
        there = np.stack([clip.by_suffix[suffix].features for clip in comparisons])
        moves = np.sqrt(np.mean((there - whole) ** 2, axis=0)) / spread
        yield (
            f"{suffix:<5} {zones:>3} zones changed; arousal by {np.sqrt(np.mean(arousal**2)):.3f} (root mean "
            f"square), at most {np.abs(arousal).max():.3f}"
        )
        most = np.argsort(-moves)[:_MOVED]
        yield "      " + " ".join(f"{FEATURE_NAMES[k]} {moves[k]:.2f}" for k in most)
    changed_clips = sum(bool(clip.changed()) for clip in comparisons)
    yield f"any   {changed_clips:>3} of {len(comparisons)} clips ({changed_clips / len(comparisons):.1%})"


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.agent.audio.containers", description=__doc__)
    parser.add_argument("clips", nargs="?", type=int, default=200)
    parser.add_argument("--keep", type=Path, help="a folder whose encoded clips are used again")
    arguments = parser.parse_args()
    clips = deam(arguments.clips) if DEAM.is_dir() else synthesised(arguments.clips)
    model = ZoneModel(load_bundle())
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for line in report(list(compare(clips, model, folder))):
            print(line)


if __name__ == "__main__":
    main()
