"""Files that are broken, odd or out to deceive: a sane result or an error of ours, and nothing else."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from moodzone_agent.analysis import analyse, read_file
from moodzone_agent.audio.decode import AudioReader
from moodzone_agent.demo.encode import write_audio
from moodzone_agent.errors import AudioError
from moodzone_agent.features.spec import FEATURE_NAMES
from moodzone_agent.library.records import Analysis
from moodzone_agent.walk import Skip, Skipped, walk
from moodzone_agent.worker import Desk
from moodzone_agent.workers import AnalysisPool, Task
from tests.audio_files import SUFFIXES, write_adts, write_tone

ENCODINGS = [  # suffix, codec, options of the container
    (".mp3", None, None),
    (".mp3", None, {"write_xing": "0", "id3v2_version": "0"}),
    (".flac", None, None),
    (".wav", None, None),
    (".wav", "pcm_f32le", None),
    (".wav", "pcm_f64le", None),
    (".wav", "adpcm_ms", None),
    (".aiff", None, None),
    (".aiff", "pcm_s24be", None),
    (".m4a", None, None),
    (".m4a", "alac", {"movflags": "faststart"}),
    (".ogg", None, None),
    (".ogg", "flac", None),
    (".opus", None, None),
]


def examine(path: Path) -> Analysis:
    with AudioReader(path) as reader:
        analysis = analyse(reader)
    assert np.isfinite(analysis.track).all()
    assert np.isfinite(analysis.windows).all()
    assert analysis.windows.shape[1] == analysis.track.size == len(FEATURE_NAMES)
    return analysis


def result(path: Path) -> Analysis | str:
    """The analysis, or why there is none."""
    try:
        return examine(path)
    except AudioError as error:
        return str(error)


def refusal(path: Path) -> str:
    with pytest.raises(AudioError) as caught:
        examine(path)
    assert str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"This is a text, not music.\n" * 50,
        "A text in UTF-16".encode("utf-16") * 50,
        bytes(50_000),
        b"\xff" * 50_000,
        random.Random(5).randbytes(50_000),
        b"ID3\4\0\0\0\0\7\x76" + bytes(1014),
        b"ID3\3\0\0\xff\xff\xff\xff" + bytes(500),
        b"TAG" + bytes(125),
        b"RIFF\0\0\0\0WAVE",
        b"fLaC",
        b"OggS" + bytes(100),
        b"FORM\0\0\0\4AIFF",
        b"\0\0\0\x18ftypM4A ",
        b"\xff\xd8\xff\xe0\0\x10JFIF\0" + random.Random(6).randbytes(50_000),
    ],
    ids=lambda content: f"{len(content)}-{content[:4].hex()}",
)
def test_what_is_no_music_is_refused(tmp_path: Path, content: bytes) -> None:
    for suffix in SUFFIXES:
        path = tmp_path / f"a{suffix}"
        path.write_bytes(content)
        assert "music" in (reason := refusal(path)) or "audio" in reason


def test_a_picture_renamed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cover.jpg"
    with av.open(path, "w", format="mjpeg") as container:
        stream = container.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        container.mux([*stream.encode(frame), *stream.encode(None)])
    assert "not a music file" in refusal(path.rename(tmp_path / "cover.mp3"))


@pytest.mark.parametrize(("suffix", "codec", "options"), ENCODINGS)
def test_a_file_cut_off_anywhere(
    tmp_path: Path, suffix: str, codec: str | None, options: dict[str, str] | None
) -> None:
    path = write_tone(tmp_path / f"a{suffix}", seconds=6, codec=codec, options=options)
    whole = path.read_bytes()
    rated = 0
    for share in (0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.95):
        path.write_bytes(whole[: int(len(whole) * share)])
        analysis = result(path)
        if isinstance(analysis, str):
            assert analysis
            continue
        rated += 1
        assert analysis.duration < 6
        if share < 0.75:
            assert "ends early" in " ".join(analysis.warnings)
    assert rated >= 3 or (suffix, options) == (".m4a", None)  # whose index is at the end


def test_bare_aac_that_is_cut_off(tmp_path: Path) -> None:
    path = write_adts(tmp_path / "a.aac", seconds=3)
    assert examine(path).warnings == ()
    path.write_bytes(path.read_bytes()[:-200])
    assert "ends early: its end was cut off" in examine(path).warnings


def test_a_flac_file_that_does_not_know_its_length(tmp_path: Path) -> None:
    """As an encoder leaves it that writes into a pipe."""
    path = write_tone(tmp_path / "a.flac", seconds=5)
    whole = bytearray(path.read_bytes())
    whole[21] &= 0xF0
    whole[22:26] = bytes(4)
    path.write_bytes(whole)
    assert examine(path).warnings == ()


def test_a_guess_from_the_bit_rate_says_nothing_of_the_end(tmp_path: Path) -> None:
    """An MP3 of varying bit rate without a Xing header, quiet at first."""
    path = tmp_path / "a.mp3"
    noise = np.random.default_rng(5).normal(0, 0.2, (2, 10 * 44_100)).astype(np.float32)
    noise[:, : 3 * 44_100] = 0
    options = {"write_xing": "0", "id3v2_version": "0"}
    with av.open(path, "w", options=options) as container:
        stream = container.add_stream("libmp3lame", rate=44_100, layout="stereo")
        stream.codec_context.flags |= av.codec.context.Flags.qscale
        stream.codec_context.global_quality = 0
        frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="stereo")
        frame.sample_rate = 44_100
        container.mux([*stream.encode(frame), *stream.encode(None)])
    with AudioReader(path) as reader:
        assert reader.stated_duration is not None
        assert reader.stated_duration > 1.3 * 10
    assert examine(path).warnings == ()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_bytes_behind_the_audio_disturb_nothing(tmp_path: Path, suffix: str) -> None:
    path = write_tone(tmp_path / f"a{suffix}", seconds=3)
    plain = examine(path)
    path.write_bytes(path.read_bytes() + random.Random(7).randbytes(3_000))
    found = examine(path)
    assert found.duration == pytest.approx(plain.duration, abs=0.2)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_silence(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_audio(path, np.zeros((5 * 44_100, 2), np.float32))
    analysis = examine(path)
    assert analysis.duration == pytest.approx(5, abs=0.1)
    assert "is silent" in analysis.warnings
    assert analysis.drops == ()


@pytest.mark.parametrize("suffix", [".flac", ".wav", ".aiff"])
@pytest.mark.parametrize("count", [1, 100, 11_024])
def test_less_than_one_frame(tmp_path: Path, suffix: str, count: int) -> None:
    path = tmp_path / f"a{suffix}"
    write_audio(path, np.full((count, 2), 0.5, np.float32), rate=22_050)
    assert "the least that can be rated" in refusal(path)


def test_one_frame_is_enough(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", np.full((11_025, 2), 0.5, np.float32), rate=22_050)
    assert examine(tmp_path / "a.wav").windows.shape[0] == 1


def music(seconds: int = 4) -> NDArray[np.float32]:
    time = np.arange(seconds * 22_050) / 22_050
    return (0.3 * np.sin(2 * np.pi * 330 * time)).astype(np.float32)


def blocks(path: Path) -> tuple[NDArray[np.float32], list[str]]:
    with AudioReader(path) as reader:
        return np.concatenate(list(reader.blocks())), reader.warnings


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_count_as_silence(tmp_path: Path, value: float) -> None:
    samples = music()
    samples[::1000] = value
    write_audio(tmp_path / "a.wav", samples, rate=22_050, codec="pcm_f32le")
    heard, warnings = blocks(tmp_path / "a.wav")
    assert warnings == [f"{len(samples[::1000])} samples were not numbers and count as silence"]
    np.testing.assert_array_equal(heard, np.where(np.isfinite(samples), samples, 0))
    examine(tmp_path / "a.wav")


def test_opposite_infinities_in_two_channels(tmp_path: Path) -> None:
    samples = np.stack((music(), music()), axis=1)
    samples[500] = (np.inf, -np.inf)
    write_audio(tmp_path / "a.wav", samples, rate=22_050, codec="pcm_f32le")
    heard, warnings = blocks(tmp_path / "a.wav")
    assert warnings == ["1 samples were not numbers and count as silence"]
    assert heard[500] == 0


@pytest.mark.parametrize("codec", ["pcm_f32le", "pcm_f64le"])
def test_absurdly_loud_samples(tmp_path: Path, codec: str) -> None:
    path = write_tone(tmp_path / "a.wav", seconds=2, codec=codec)
    content = bytearray(path.read_bytes())
    width = 4 if codec == "pcm_f32le" else 8
    largest = np.finfo(f"f{width}").max.tobytes()
    start = content.index(b"data") + 8 + 16_000 * width
    content[start : start + 400 * width] = largest * 400
    path.write_bytes(content)
    assert np.abs(blocks(path)[0]).max() < 20
    examine(path)


def test_nothing_but_faults(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", np.full((44_100, 2), np.nan, np.float32), codec="pcm_f32le")
    assert set(examine(tmp_path / "a.wav").warnings) == {
        "44100 samples were not numbers and count as silence",
        "is silent",
    }


@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".m4a"])
def test_a_stretch_of_damage(tmp_path: Path, suffix: str) -> None:
    path = write_tone(tmp_path / f"a{suffix}", seconds=20)
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + random.Random(8).randbytes(900) + whole[middle + 900 :])
    assert examine(path).duration == pytest.approx(20, abs=1)
    path.write_bytes(whole[: middle // 2] + random.Random(9).randbytes(middle) + whole[middle * 3 // 2 :])
    found = result(path)
    assert isinstance(found, Analysis) or "broken" in found


def frames(path: Path) -> list[tuple[int, int]]:
    """Place and size of each encoded frame."""
    with av.open(path) as container:
        return [(packet.pos, packet.size) for packet in container.demux() if packet.size and packet.pos]


def noise(place: int, data: bytearray, size: int) -> None:
    data[place + 8 : place + size] = random.Random(place).randbytes(size - 8)


def silence(place: int, data: bytearray, size: int) -> None:
    data[place : place + size] = bytes(size)


def one_byte(place: int, data: bytearray, size: int) -> None:
    data[place + size // 2] ^= 0x55


@pytest.mark.parametrize(
    ("name", "options", "damage"),
    [
        ("a.mp3", None, noise),
        ("a.mp3", None, silence),
        ("a.mp3", {"write_xing": "0", "id3v2_version": "0"}, silence),
        ("a.flac", None, noise),
        ("a.flac", None, silence),
        ("a.flac", None, one_byte),
        ("a.m4a", None, noise),
        ("a.m4a", None, silence),
        ("a.aac", None, noise),
        ("a.aac", None, silence),
        ("a.wav", None, silence),
    ],
)
def test_a_file_with_broken_frames_is_rated_with_a_warning(
    tmp_path: Path, name: str, options: dict[str, str] | None, damage: Callable[[int, bytearray, int], None]
) -> None:
    path = tmp_path / name
    whole = write_adts(path, seconds=20) if name == "a.aac" else write_tone(path, seconds=20, options=options)
    assert examine(whole).warnings == ()
    data, found = bytearray(path.read_bytes()), frames(path)
    for place, size in random.Random(3).sample(found[3:-3], max(6, round(0.03 * len(found)))):
        damage(place, data, size)
    path.write_bytes(data)
    analysis = examine(path)
    assert analysis.duration == pytest.approx(20, abs=1)
    if name == "a.wav":  # has no frames that can break
        assert analysis.warnings == ()
    else:
        [warning] = analysis.warnings
        share = float(warning.removesuffix("% of its audio is broken or missing"))
        assert 2 < share < 5


POINTERS: dict[str, Callable[[str], str]] = {
    "ffconcat": lambda target: f"ffconcat version 1.0\nfile '{target}'\n",
    "ffconcat, unsafe": lambda target: f"ffconcat version 1.0\nfile 'file:{target}'\nduration 2\n",
    "m3u8": lambda target: f"#EXTM3U\n#EXTINF:2,A title\n{target}\n",
    "HLS": lambda target: (
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n"
        f"#EXTINF:2.0,\n{target}\n#EXT-X-ENDLIST\n"
    ),
    "cue": lambda target: f'FILE "{target}" WAVE\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n',
    "sdp": lambda _: "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    "concat": lambda target: f"concat:{target}|{target}\n",
    "pls": lambda target: f"[playlist]\nFile1={target}\nNumberOfEntries=1\n",
    "DASH": lambda target: (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet '
        f'mimeType="audio/wav"><Representation id="1"><BaseURL>{target}</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>"
    ),
    "image pattern": lambda target: f"{target}%03d.wav",
}


@pytest.mark.parametrize("kind", POINTERS)
def test_a_text_that_names_another_file_opens_no_other(tmp_path: Path, kind: str) -> None:
    target = write_tone(tmp_path / "target.wav", seconds=2)
    for named in (target.name, str(target)):
        for suffix in (".mp3", ".wav", ".m4a", ""):
            path = tmp_path / f"pointer{suffix}"
            path.write_text(POINTERS[kind](named))
            assert "not a music file" in refusal(path)


def test_a_pointer_behind_a_tag_or_a_line_opens_no_other(tmp_path: Path) -> None:
    write_tone(tmp_path / "target.wav", seconds=2)
    text = POINTERS["ffconcat"]("target.wav").encode()
    for front in (b"ID3\3\0\0\0\0\0\0", b"\n", b"\xef\xbb\xbf", b"\xff\xfb\x90\x64", b"RIFF\0\0\0\0WAVE"):
        (tmp_path / "pointer.mp3").write_bytes(front + text)
        refusal(tmp_path / "pointer.mp3")


NAMES = [
    "\U0001f3b6 emoji \U0001f483.wav",
    "new\nline.wav",
    "-rf.wav",
    "-i.wav",
    "%d.wav",
    "%03d-of-100%.wav",
    "file:song.wav",
    "http:song.wav",
    "concat:a.wav|b.wav",
    "pipe:0",
    "data:audio,wav",
    "crypto:song.wav",
    "'quoted' \"twice\" $HOME `ls`.wav",
    "back\\slash.wav",
    "Ubermut (u\u0308).wav",
    " space .wav",
    "n" * 246 + ".wav",
]


@pytest.mark.skipif(os.name == "nt", reason="Windows forbids these names")
def test_any_name_is_read_by_the_workers(tmp_path: Path) -> None:
    song = write_tone(tmp_path / "song.wav", seconds=1)
    expected = examine(song)
    paths = [Path(shutil.copy(song, tmp_path / name)) for name in NAMES]
    try:
        paths.append(Path(shutil.copy(song, tmp_path / os.fsdecode(b"caf\xe9 \xff\xfe.wav"))))
    except OSError:  # macOS takes UTF-8 only
        assert len(paths) == len(NAMES)
    with AnalysisPool(1) as pool:
        outcomes = list(pool.run(deque(Task(path, path.stat().st_size) for path in paths)))
    assert {outcome.task.path for outcome in outcomes} == set(paths)
    for outcome in outcomes:
        assert isinstance(outcome.result, Analysis), outcome
        assert outcome.result.audio_id == expected.audio_id


@pytest.mark.skipif(os.name == "nt", reason="Windows forbids these names")
def test_names_that_mean_something_to_ffmpeg_are_relative_paths_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    song = write_tone(tmp_path / "song.wav", seconds=1)
    expected = examine(song)
    monkeypatch.chdir(tmp_path)
    for name in ("-i.wav", "file:song.wav", "http:song.wav", "pipe:0", "%d.wav"):
        shutil.copy(song, name)
        assert examine(Path(name)).audio_id == expected.audio_id


def test_two_files_of_one_recording_have_one_id(tmp_path: Path) -> None:
    first = write_tone(tmp_path / "one.mp3", metadata={"title": "One"})
    second = write_tone(tmp_path / "two.mp3", metadata={"title": "Another", "artist": "Someone else"})
    assert first.read_bytes() != second.read_bytes()
    assert examine(first).audio_id == examine(second).audio_id


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="POSIX permissions")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_tone(Path(folder) / "secret.wav")
        examine(path)
        Path(folder).chmod(0o755)
        path.chmod(0)
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(65534)
        try:
            with pytest.raises(PermissionError):
                read_file(Task(path, 1000), Desk())
        finally:
            if is_root:
                os.seteuid(0)


def test_a_folder_and_a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"directory|denied"):
        AudioReader(tmp_path)
    with pytest.raises(FileNotFoundError):
        AudioReader(tmp_path / "gone.mp3")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_never_opened(tmp_path: Path) -> None:
    pipe = tmp_path.resolve() / "pipe.mp3"
    os.mkfifo(pipe)
    for root in (tmp_path, pipe):
        assert list(walk(root)) == [Skipped(pipe, Skip.SPECIAL)]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_that_took_a_files_place_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.mp3"
    os.mkfifo(pipe)
    holder = os.open(pipe, os.O_RDWR)  # so that opening it for reading waits for nobody
    try:
        with pytest.raises(OSError, match="seek"):
            AudioReader(pipe)
    finally:
        os.close(holder)


def write_film(path: Path, *, sound: bool) -> Path:
    with av.open(path, "w", format="mp4") as container:
        film = container.add_stream("mpeg4", rate=25)
        film.width, film.height, film.pix_fmt = 64, 64, "yuv420p"
        audio = container.add_stream("aac", rate=44_100, layout="stereo") if sound else None
        for number in range(50):
            picture = np.full((64, 64, 3), number * 5, np.uint8)
            container.mux(film.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(film.encode(None))
        if audio is not None:
            tone = np.tile(np.sin(np.arange(3 * 44_100) * 0.06).astype(np.float32) * 0.3, (2, 1))
            frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = 44_100, 0, Fraction(1, 44_100)
            container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return path


def test_a_film_without_sound_is_refused(tmp_path: Path) -> None:
    assert refusal(write_film(tmp_path / "a.mp4", sound=False)) == "holds no audio stream"


def test_of_a_film_the_sound_is_rated(tmp_path: Path) -> None:
    analysis = examine(write_film(tmp_path / "a.mp4", sound=True))
    assert analysis.duration == pytest.approx(3, abs=0.1)
    assert analysis.warnings == ()


def mutated(content: bytes, rnd: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(rnd.choice((1, 1, 2, 5, 30))):
        place = rnd.randrange(min(len(data), 400) if rnd.random() < 0.6 else len(data))
        match rnd.randrange(6):
            case 0:
                data[place] ^= 1 << rnd.randrange(8)
            case 1:
                data[place] = rnd.choice((0, 127, 128, 255))
            case 2:
                data[place : place + 4] = rnd.choice(
                    (bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0")
                )
            case 3:
                del data[place : place + rnd.randrange(1, 64)]
            case 4:
                data[place:place] = rnd.randbytes(rnd.randrange(1, 64))
            case 5:
                data[place : place + 16] = data[(source := rnd.randrange(len(data))) : source + 16]
    return bytes(data)


@pytest.mark.parametrize(("suffix", "codec", "options"), ENCODINGS)
def test_damage_at_random_raises_only_errors_of_ours(
    tmp_path: Path, suffix: str, codec: str | None, options: dict[str, str] | None
) -> None:
    path = write_tone(tmp_path / f"a{suffix}", seconds=0.7, codec=codec, options=options)
    whole, rnd = path.read_bytes(), random.Random(f"{suffix} {codec}")
    rated = 0
    for _ in range(30):
        path.write_bytes(mutated(whole, rnd))
        found = result(path)
        if isinstance(found, Analysis):
            rated += 1
            with AudioReader(path) as reader:
                assert reader.identify() == found.audio_id
    assert rated < 30
