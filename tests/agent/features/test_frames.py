"""Frames against librosa, and streamed against whole."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from moodzone_agent.audio.decode import AudioReader
from moodzone_agent.audio.rate import SAMPLE_RATE
from moodzone_agent.demo.music import compose, render
from moodzone_agent.features.frames import FrameAccumulator, FrameTable, _filterbanks
from moodzone_agent.features.spec import FRAME_COLUMNS, FRAME_SAMPLES, HOP_LENGTH, N_FFT
from trainer.pretraining.filterbanks import filterbanks

_SILENCE = 1e-3
"""Mel power below which all is silence."""

Samples = NDArray[np.float32]


def frames_of(samples: Samples) -> FrameTable:
    accumulator = FrameAccumulator()
    accumulator.push(samples)
    return accumulator.finish()


def column(table: FrameTable, name: str) -> NDArray[np.float32]:
    return table.columns[:, FRAME_COLUMNS.index(name)]


def frame_means(values: NDArray[np.floating], frames: int) -> NDArray[np.float64]:
    """librosa's values per spectrum [..., H] as means over each frame's spectra [frames, ...]."""
    frame_of = np.arange(values.shape[-1]) * HOP_LENGTH // FRAME_SAMPLES
    frame_of[:4] = -1
    return np.stack([values[..., frame_of == frame].mean(axis=-1) for frame in range(frames)])


@pytest.fixture(scope="module")
def music() -> Samples:
    song = compose(3, energy=0.8, duration=12.0)
    return render(song, rate=SAMPLE_RATE).mean(axis=1).astype(np.float32)


def spectrum(samples: Samples) -> NDArray[np.float32]:
    return np.abs(librosa.stft(samples, n_fft=N_FFT, hop_length=HOP_LENGTH, pad_mode="reflect"))


def check_against_librosa(samples: Samples) -> None:
    table = frames_of(samples)
    frames = len(table.columns)
    assert frames == samples.size // FRAME_SAMPLES
    magnitude = spectrum(samples)
    power = magnitude**2
    mel = librosa.feature.melspectrogram(S=power, sr=SAMPLE_RATE)
    mel_db = librosa.power_to_db(mel, amin=_SILENCE, top_db=None)

    def agree(name: str, expected: NDArray[np.floating], *, atol: float) -> None:
        np.testing.assert_allclose(column(table, name), expected, rtol=1e-3, atol=atol, err_msg=name)

    whole = samples[: frames * FRAME_SAMPLES]
    geometry = {"frame_length": FRAME_SAMPLES, "hop_length": FRAME_SAMPLES, "center": False}
    agree("rms", librosa.feature.rms(y=whole, **geometry)[0], atol=1e-6)
    agree("zero_crossing_rate", librosa.feature.zero_crossing_rate(whole, **geometry)[0], atol=1e-6)
    agree(
        "spectral_centroid",
        frame_means(librosa.feature.spectral_centroid(S=magnitude, sr=SAMPLE_RATE)[0], frames),
        atol=0.1,
    )
    agree(
        "spectral_rolloff",
        frame_means(librosa.feature.spectral_rolloff(S=magnitude, sr=SAMPLE_RATE)[0], frames),
        atol=1.0,
    )
    agree(
        "spectral_flatness",
        frame_means(librosa.feature.spectral_flatness(S=mel, power=1.0, amin=_SILENCE)[0], frames),
        atol=1e-5,
    )
    onset = librosa.onset.onset_strength(S=mel_db, sr=SAMPLE_RATE, hop_length=HOP_LENGTH, center=False)
    agree("onset_strength", frame_means(onset, frames), atol=1e-3)
    mfcc = frame_means(librosa.feature.mfcc(S=mel_db, n_mfcc=14), frames)
    for index in range(14):
        agree(f"mfcc_{index + 1}", mfcc[:, index], atol=0.01)
    chroma = librosa.feature.chroma_stft(S=power, sr=SAMPLE_RATE, tuning=0.0)
    chroma_columns = [name for name in FRAME_COLUMNS if name.startswith("chroma_")]
    for index, name in enumerate(chroma_columns):
        agree(name, frame_means(chroma[index], frames), atol=1e-4)


def test_columns_are_librosas_on_synthesised_music(music: Samples) -> None:
    check_against_librosa(music)


@pytest.mark.shared
def test_columns_are_librosas_on_real_music(shared) -> None:
    for song in (10, 1500, 2010):
        with AudioReader(shared / "data" / "deam" / "MEMD_audio" / f"{song}.opus") as reader:
            check_against_librosa(np.concatenate(list(reader.blocks())))


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(1, 30_000), min_size=1, max_size=12))
def test_blocks_of_any_size_give_the_same_frames(music: Samples, sizes: list[int]) -> None:
    samples = music[: SAMPLE_RATE * 4 + 77]
    accumulator = FrameAccumulator()
    for block in np.split(samples, np.cumsum(sizes)):
        accumulator.push(block)
    streamed, whole = accumulator.finish(), frames_of(samples)
    np.testing.assert_allclose(streamed.columns, whole.columns, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(streamed.onsets, whole.onsets, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(streamed.loudness, whole.loudness, rtol=1e-5, atol=1e-4)


def test_single_samples_give_the_same_frames(music: Samples) -> None:
    samples = music[:13_000]
    accumulator = FrameAccumulator()
    for index in range(samples.size):
        accumulator.push(samples[index : index + 1])
    streamed, whole = accumulator.finish(), frames_of(samples)
    np.testing.assert_allclose(streamed.columns, whole.columns, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(streamed.onsets, whole.onsets, rtol=1e-5, atol=1e-5)


def test_a_sine_is_where_it_should_be() -> None:
    seconds = np.arange(SAMPLE_RATE * 2) / SAMPLE_RATE
    table = frames_of((0.5 * np.sin(2 * np.pi * 3000 * seconds)).astype(np.float32))
    middle = table.columns[1]
    value = dict(zip(FRAME_COLUMNS, middle.tolist(), strict=True))
    assert value["rms"] == pytest.approx(0.5 / np.sqrt(2), rel=1e-3)
    assert value["level"] == pytest.approx(-9.03, abs=0.01)
    assert value["crest"] == pytest.approx(3.01, abs=0.01)
    assert value["zero_crossing_rate"] == pytest.approx(6000 / SAMPLE_RATE, rel=1e-3)
    assert value["spectral_centroid"] == pytest.approx(3000, rel=0.01)
    assert value["brightness"] > 0.99
    bands = [value[f"sub_band_{index}"] for index in range(1, 10)]
    assert int(np.argmax(bands)) == 6, "3 kHz lies in the band of 2 to 4 kHz"
    assert value["chroma_fs"] > 0.9, "3 kHz is nearly an F sharp"


def test_silence_is_finite_and_has_no_onsets() -> None:
    table = frames_of(np.zeros(SAMPLE_RATE * 3, np.float32))
    assert np.isfinite(table.columns).all()
    assert not table.onsets.any()


def test_less_than_a_frame_is_no_frame() -> None:
    assert len(frames_of(np.zeros(FRAME_SAMPLES - 1, np.float32)).columns) == 0
    assert len(frames_of(np.empty(0, np.float32)).columns) == 0
    assert len(frames_of(np.ones(FRAME_SAMPLES, np.float32)).columns) == 1


def test_a_click_is_an_onset_in_its_frame() -> None:
    samples = np.zeros(SAMPLE_RATE * 4, np.float32)
    samples[int(2.2 * SAMPLE_RATE)] = 1.0
    strength = column(frames_of(samples), "onset_strength")
    assert int(np.argmax(strength)) == 4


def test_carried_filterbanks_are_librosas() -> None:
    banks = _filterbanks()
    fresh = filterbanks()
    mel = np.zeros_like(fresh["mel"])
    for group, (bins, weights) in enumerate(banks.mel):
        mel[16 * group : 16 * group + 16, bins] = weights.T
    np.testing.assert_array_equal(mel, fresh["mel"])
    np.testing.assert_array_equal(banks.chroma.T, fresh["chroma"])


def test_onset_bands_split_the_mel_bands() -> None:
    means = _filterbanks().onset_means
    np.testing.assert_allclose(means.sum(axis=0), 1, rtol=1e-6)
    assert (np.count_nonzero(means[:, 1:], axis=1) == 1).all()
