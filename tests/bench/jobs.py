"""What is measured: pieces of work on one file, ours and others'. They run in processes of their own.

Each returns the seconds of audio it has seen, so that nobody is quick by reading half of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work."""

    run: Callable[[Any], float]
    """Is timed; takes what `prepare` made, returns seconds of audio."""
    prepare: Callable[[Path], Any] = Path
    """Is not timed."""


def decode_only(path: Path) -> float:
    """Demux and decode every packet with PyAV, and nothing else."""
    import av

    frames: list[Any] = []
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        stream.codec_context.thread_count = 1
        for packet in container.demux(stream):
            frames = packet.decode() or frames
    last = frames[-1]
    return float(last.pts * last.time_base + last.samples / last.sample_rate)


def identity(path: Path) -> float:
    """Hash the packets."""
    from moodzone_agent.audio.decode import AudioReader

    with AudioReader(path) as reader:
        reader.identify()
        return reader.stated_duration or 0.0


def signal(path: Path) -> float:
    """Hash, decode, downmix and resample."""
    from moodzone_agent.audio.decode import AudioReader
    from moodzone_agent.audio.rate import SAMPLE_RATE

    with AudioReader(path) as reader:
        return float(sum(block.size for block in reader.blocks()) / SAMPLE_RATE)


def everything(path: Path) -> float:
    """What a worker does with a file."""
    from moodzone_agent.analysis import analyse
    from moodzone_agent.audio.decode import AudioReader

    with AudioReader(path) as reader:
        return analyse(reader).duration


def _blocks(path: Path) -> list[Any]:
    from moodzone_agent.audio.decode import AudioReader

    with AudioReader(path) as reader:
        return list(reader.blocks())


def features(blocks: list[Any]) -> float:
    """Frames, windows, features, tempo and drops of the analysis signal in memory."""
    from moodzone_agent.audio.rate import SAMPLE_RATE
    from moodzone_agent.features.track import TrackAccumulator

    accumulator = TrackAccumulator()
    for block in blocks:
        accumulator.push(block)
    assert accumulator.result() is not None
    return float(sum(block.size for block in blocks) / SAMPLE_RATE)


def librosa_shared(path: Path) -> float:
    """librosa from the file, every feature from one spectrum; about what the frames hold."""
    import librosa
    import numpy as np

    y, rate = librosa.load(path, sr=22_050, mono=True)
    magnitude = np.abs(librosa.stft(y))
    mel_db = librosa.power_to_db(librosa.feature.melspectrogram(S=magnitude**2, sr=rate))
    onsets = librosa.onset.onset_strength(S=mel_db, sr=rate)
    librosa.feature.rms(S=magnitude)
    librosa.feature.zero_crossing_rate(y)
    librosa.feature.spectral_centroid(S=magnitude, sr=rate)
    librosa.feature.spectral_rolloff(S=magnitude, sr=rate)
    librosa.feature.mfcc(S=mel_db, sr=rate)
    librosa.feature.spectral_contrast(S=magnitude, sr=rate)
    librosa.feature.chroma_stft(S=magnitude**2, sr=rate)
    librosa.feature.tempo(onset_envelope=onsets, sr=rate)
    return float(y.size / rate)


def librosa_calls(path: Path) -> float:
    """librosa from the file, as in its tutorial: each feature from the samples."""
    import librosa

    y, rate = librosa.load(path, sr=22_050, mono=True)
    librosa.onset.onset_strength(y=y, sr=rate)
    librosa.feature.rms(y=y)
    librosa.feature.zero_crossing_rate(y)
    librosa.feature.spectral_centroid(y=y, sr=rate)
    librosa.feature.spectral_rolloff(y=y, sr=rate)
    librosa.feature.mfcc(y=y, sr=rate)
    librosa.feature.spectral_contrast(y=y, sr=rate)
    librosa.feature.chroma_stft(y=y, sr=rate)
    librosa.feature.tempo(y=y, sr=rate)
    return float(y.size / rate)


def bliss(path: Path) -> float:
    """bliss-audio's analysis of a song."""
    from bliss_audio import Song

    song = Song(str(path))
    assert len(song.analysis)
    return float(getattr(song.duration, "total_seconds", lambda: song.duration)())


def music_extractor(path: Path) -> float:
    """Essentia's MusicExtractor as it comes."""
    import essentia

    essentia.log.infoActive = False
    from essentia.standard import MusicExtractor

    pool, _ = MusicExtractor()(str(path))
    return float(pool["metadata.audio_properties.analysis.length"])


def _smile(path: Path) -> Any:
    import opensmile

    smile = opensmile.Smile(
        feature_set=opensmile.FeatureSet.ComParE_2016,
        feature_level=opensmile.FeatureLevel.LowLevelDescriptors,
        num_workers=1,
    )
    return smile, path


def opensmile(smile_and_path: Any) -> float:
    """The 65 low-level descriptors of ComParE 2016, of the first channel."""
    smile, path = smile_and_path
    return float(smile.process_file(str(path)).index[-1][2].total_seconds())


JOBS: Final = {
    "decode only": Job(decode_only),
    "identity": Job(identity),
    "signal": Job(signal),
    "everything": Job(everything),
    "features": Job(features, _blocks),
    "librosa, shared": Job(librosa_shared),
    "librosa, calls": Job(librosa_calls),
    "bliss": Job(bliss),
    "essentia": Job(music_extractor),
    "opensmile": Job(opensmile, _smile),
}
