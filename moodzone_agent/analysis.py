"""One pass over a file: decode, identity, frames, features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from moodzone_agent.audio.decode import AudioReader
from moodzone_agent.audio.rate import SAMPLE_RATE
from moodzone_agent.errors import AudioError, FileChangedError
from moodzone_agent.features.spec import FEATURES_VERSION, FRAME_SECONDS, NAMED_FEATURES
from moodzone_agent.features.track import TrackAccumulator
from moodzone_agent.library.records import Analysis, Stamp

if TYPE_CHECKING:
    from moodzone_agent.worker import Desk
    from moodzone_agent.workers import Task

_TEMPO: Final = NAMED_FEATURES.index("tempo")
_SILENT_PEAK: Final = 1e-4
"""-80 dB under full scale."""


def read_file(task: Task, desk: Desk) -> Analysis | str:
    """A worker's job: the analysis of a file, or only its audio id where that may be known already.

    Errors: `AudioError`; `FileChangedError` if the file is another at the end than at the start, as a download
    is; `OSError`.
    """
    before = Stamp.of(task.path.stat())
    with AudioReader(task.path) as reader:
        desk.reader = reader
        if task.identify_first or (not task.analyse_always and desk.knows(reader.stated_duration)):
            result: Analysis | str = reader.identify()
        else:
            result = analyse(reader)
    if Stamp.of(task.path.stat()) != before:
        raise FileChangedError("changed while it was read; it will be looked at again")
    return result


def analyse(reader: AudioReader) -> Analysis:
    """Read a file once, from packets to features.

    Errors: `AudioError` for what isn't music or is too short or too broken to rate; `OSError` for the disk.
    """
    accumulator = TrackAccumulator()
    samples = 0
    peak = 0.0
    for block in reader.blocks():
        accumulator.push(block)
        samples += block.size
        peak = max(peak, float(block.max()), -float(block.min()))
    duration = samples / SAMPLE_RATE
    features = accumulator.result()
    if features is None:
        raise AudioError(
            f"holds only {duration:.2f} s of audio; {FRAME_SECONDS} s is the least that can be rated"
        )
    return Analysis(
        audio_id=reader.audio_id,
        duration=duration,
        tempo=float(features.track[_TEMPO]),
        drops=tuple(drop.seconds for drop in features.drops),
        features_version=FEATURES_VERSION,
        track=features.track,
        windows=features.windows,
        frames=features.frames,
        warnings=(*reader.warnings, *(["is silent"] if peak < _SILENT_PEAK else [])),
    )
