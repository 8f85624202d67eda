"""`moodzone-train extract` and `dataset`, as their user meets them."""

from __future__ import annotations

import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from moodzone_agent.audio.decode import AudioReader
from moodzone_agent.features.frames import FrameAccumulator
from moodzone_agent.features.spec import FEATURE_NAMES, FEATURES_VERSION, FRAME_COLUMNS
from moodzone_agent.library.store import Library
from moodzone_agent.types import Cuts, Label, LabelOrigin, Zone
from tests.trainer.deam_folder import make_deam
from tests.trainer.music import make_track
from trainer import cli
from trainer.datasets.tables import read_table

Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trainer's home, whose cache the tests share."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command; returns its exit code and what it said."""
    monkeypatch.setenv("MOODZONE_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "500")

    def run(*arguments: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["moodzone-train", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        code = stop.value.code
        assert isinstance(code, int)
        return code, capfd.readouterr().err

    return run


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("music").resolve()
    for seed, name in enumerate(["a.flac", "deep/b.mp3", "deep/c.wav"]):
        make_track(folder / name, seed, seconds=3.3, artist=f"Artist {seed}", title=f"Title {seed}")
    (folder / "copy of a.flac").write_bytes((folder / "a.flac").read_bytes())
    return folder


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_row_for_each_track(run: Run, music: Path, tmp_path: Path, home: Path, ending: str) -> None:
    output = tmp_path / f"tracks.{ending}"
    code, said = run("extract", "--input", music, "--output", output, "--method", "tracks", "--jobs", "2")
    assert code == 0
    assert "3 rows of 3 tracks" in said
    table = read_table(output)
    assert list(table)[:4] == ["path", "audio_id", "duration", "tempo"]
    assert set(table) == {"path", "audio_id", "duration", *FEATURE_NAMES}
    assert table["path"] == [str(music / name) for name in ("a.flac", "deep/b.mp3", "deep/c.wav")]
    np.testing.assert_allclose(table["duration"], 3.3, atol=0.05)
    with Library.open(home / "training.sqlite", read_only=True) as cache:
        for row, audio_id in enumerate(table["audio_id"]):
            analysis = cache.analysis(str(audio_id), FEATURES_VERSION)
            assert analysis is not None
            vector = np.array([table[name][row] for name in FEATURE_NAMES], np.float32)
            np.testing.assert_array_equal(vector, analysis.track)


def test_a_row_for_each_frame(run: Run, music: Path, tmp_path: Path) -> None:
    (tmp_path / "list.m3u8").write_text(f"#EXTM3U\n{music / 'deep' / 'b.mp3'}\n{music / 'a.flac'}\n")
    output = tmp_path / "frames.parquet"
    code, said = run(
        "extract",
        "--input",
        tmp_path / "list.m3u8",
        "--output",
        output,
        "--method",
        "frames",
        "--frame-size",
        "0.5",
    )
    assert code == 0
    assert "12 rows of 2 tracks" in said
    table = read_table(output)
    assert tuple(table) == ("path", "audio_id", "time", *FRAME_COLUMNS)
    assert Counter(table["path"]) == {str(music / name): 6 for name in ("a.flac", "deep/b.mp3")}
    np.testing.assert_array_equal(table["time"], [*np.arange(6) * 0.5] * 2)
    frames = FrameAccumulator()
    with AudioReader(music / "a.flac") as reader:
        for block in reader.blocks():
            frames.push(block)
        assert table["audio_id"][0] == reader.audio_id
    expected = frames.finish().columns
    rows = np.stack([table[name][:6] for name in FRAME_COLUMNS], axis=1)
    np.testing.assert_array_equal(rows.astype(np.float32), expected)


@pytest.mark.parametrize("method", ["tracks", "frames"])
def test_files_that_fail_are_named_and_the_rest_is_kept(
    run: Run, tmp_path: Path, music: Path, method: str
) -> None:
    broken = tmp_path / "broken.mp3"
    broken.write_bytes(b"no music")
    (tmp_path / "unknown.xyz").write_bytes(b"no music")
    (tmp_path / "list.txt").write_text(f"{music / 'a.flac'}\nbroken.mp3\nnowhere.mp3\nunknown.xyz\n")
    output = tmp_path / "table.csv"
    code, said = run("extract", "--input", tmp_path / "list.txt", "--output", output, "--method", method)
    assert code == 1
    assert f"{broken}: not a music file" in said
    assert "nowhere.mp3: No such file" in said
    assert "unknown.xyz: not a music file" in said
    assert set(read_table(output)["path"]) == {str(music / "a.flac")}
    (tmp_path / "list.txt").write_text("broken.mp3\n")
    before = output.read_bytes()
    code, said = run("extract", "--input", tmp_path / "list.txt", "--output", output, "--method", method)
    assert code == 1
    assert "nothing was written" in said
    assert output.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--output", "table.pkl"), "neither .parquet nor .csv"),
        (("--output", "table.csv", "--frame-size", "1"), "defined on frames of 0.5 s"),
        (("--output", "nowhere/table.csv"), "no folder"),
    ],
)
def test_wrong_use_is_refused(run: Run, music: Path, arguments: tuple[str, ...], complaint: str) -> None:
    code, said = run("extract", "--input", music, *arguments)
    assert code == 2
    assert complaint in said


@pytest.mark.parametrize("content", [b"x", b"no database" * 100, b"SQLite format 3\0" + bytes(4000)])
def test_a_damaged_cache_is_left_as_it_was(run: Run, music: Path, tmp_path: Path, content: bytes) -> None:
    cache, output = tmp_path / "cache.sqlite", tmp_path / "table.csv"
    cache.write_bytes(content)
    output.write_text("old")
    code, said = run("extract", "--input", music, "--output", output, "--cache", cache)
    assert code == 1
    assert "set the file aside" in said
    assert cache.read_bytes() == content
    assert output.read_text() == "old"


def test_what_was_stopped_goes_on(run: Run, music: Path, tmp_path: Path) -> None:
    """Features that are cached are not computed again: here they were changed in the cache, and that shows."""
    cache, output = tmp_path / "cache.sqlite", tmp_path / "table.csv"
    assert run("extract", "--input", music / "a.flac", "--output", output, "--cache", cache)[0] == 0
    connection = sqlite3.connect(cache)
    with connection:
        connection.execute("UPDATE features SET track = zeroblob(length(track))")
    connection.close()
    assert run("extract", "--input", music, "--output", output, "--cache", cache)[0] == 0
    table = read_table(output)
    assert table["path"][0] == str(music / "a.flac")
    assert [bool(value) for value in table["rms_energy"]] == [False, True, True]


def test_frames_are_kept_by_audio_id(run: Run, music: Path, tmp_path: Path) -> None:
    cache, output = tmp_path / "cache.sqlite", tmp_path / "frames.csv"
    arguments = ("extract", "--method", "frames", "--output", output, "--cache", cache, "--input")
    assert run(*arguments, music / "a.flac")[0] == 0
    first = read_table(output)
    (kept,) = (tmp_path / "cache-frames" / str(FEATURES_VERSION)).iterdir()
    assert kept.name == f"{first['audio_id'][0]}.npy"
    np.save(kept, np.load(kept) + 1)
    assert run(*arguments, music / "copy of a.flac")[0] == 0
    again = read_table(output)
    np.testing.assert_allclose(again["level"], np.asarray(first["level"]) + 1, rtol=1e-5)
    kept.write_bytes(b"x")
    before = output.read_bytes()
    code, said = run(*arguments, music)
    assert code == 1
    assert f"{kept} are damaged: delete that file" in said
    assert (kept.read_bytes(), output.read_bytes()) == (b"x", before)


@pytest.fixture(scope="module")
def deam(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, tuple[float, float]]]:
    folder = tmp_path_factory.mktemp("deam")
    truth = make_deam(folder, songs=12, seconds=3.0, exchanged=False)
    (folder / "MEMD_audio" / "1001.flac").write_bytes(b"no music")
    return folder, truth


def test_the_unified_table(
    run: Run, music: Path, tmp_path: Path, deam: tuple[Path, dict[int, tuple[float, float]]]
) -> None:
    """A DJ program's export of another computer beside DEAM, with a weak playlist under it."""
    folder, truth = deam
    rows = [
        ["BPM", "Zone", "Artist", "Track Title", "Location"],
        ["125", "YELOW", "Artist 0", "Title 0", "D:\\Somewhere\\else.flac"],
        ["125", "purple", "", "", "D:\\Music\\Deep\\B.mp3"],
        ["125", "", "Artist 2", "Title 2", "D:\\Music\\deep\\c.wav"],
    ]
    export = tmp_path / "export.txt"
    export.write_bytes("".join("\t".join(row) + "\r\n" for row in rows).encode("utf-16"))
    playlist = tmp_path / "green.m3u8"
    playlist.write_text("".join(f"{music / name}\n" for name in ("a.flac", "deep/c.wav")))
    output = tmp_path / "unified.parquet"
    output.write_text("old")
    arguments = (
        "dataset", "--deam", folder, "--labels", export, "--weak", playlist, "--music", music,
        "--map", f"D:\\Music={music}", "--purple-min", "5.5", "--output", output,
    )  # fmt: skip
    code, said = run(*arguments)
    assert code == 1
    assert '--alias "YELOW=YELLOW"' in said
    assert output.read_text() == "old"
    code, said = run(*arguments, "--alias", "YELOW=YELLOW")
    assert code == 0, said
    assert "3 labelled tracks (1 weak, 2 imported)" in said
    assert "1 left out: a newer label" in said
    assert "1001.flac: not a music file" in said
    table = read_table(output)
    assert tuple(table) == ("source", "id", "artist", "zone", "origin", *FEATURE_NAMES)
    songs = [song for song in truth if song != 1001]
    assert table["source"] == ["deam"] * len(songs) + ["user"] * 3
    assert table["id"][: len(songs)] == [str(song) for song in songs]
    cuts = Cuts(purple_min=5.5)
    assert table["zone"][: len(songs)] == [
        cuts.zone(*(float(f"{value:.3f}") for value in truth[song])) for song in songs
    ]
    assert list(zip(*(table[name][-3:] for name in ("artist", "zone", "origin")), strict=True)) == [
        ("artist 2", "GREEN", "weak"),
        ("artist 0", "YELLOW", "imported"),
        ("artist 1", "PURPLE", "imported"),
    ]
    assert all(np.isfinite(table[name]).all() for name in FEATURE_NAMES)


def test_labels_without_audio_stop_it_unless_they_are_let_go(run: Run, music: Path, tmp_path: Path) -> None:
    labels, output = tmp_path / "labels.csv", tmp_path / "unified.csv"
    labels.write_text(f"path,zone\n{music / 'a.flac'},green\n/gone/x.mp3,yellow\n")
    code, said = run("dataset", "--labels", labels, "--output", output)
    assert code == 1
    assert "labels.csv:3: YELLOW /gone/x.mp3" in said
    assert "--map" in said
    assert "--skip-missing" in said
    assert not output.exists()
    assert run("dataset", "--labels", labels, "--output", output, "--skip-missing")[0] == 0
    assert read_table(output)["zone"] == ["GREEN"]


def test_labels_of_the_agents_library_need_no_analysis(run: Run, music: Path, tmp_path: Path) -> None:
    """Features are taken over, even where the music is away."""
    away, library, output = tmp_path / "away.flac", tmp_path / "library.sqlite", tmp_path / "unified.csv"
    make_track(away, 77, seconds=3.0, artist="Gone", title="Away")
    assert run("extract", "--input", away, "--output", output, "--cache", library)[0] == 0
    with Library.open(library) as opened:
        track = opened.track_of(away.resolve())
        assert track is not None
        opened.add_label(Label(track.audio_id, Zone.PURPLE, LabelOrigin.CORRECTED, "cli", 0))
    away.unlink()
    code, said = run("dataset", "--labels", library, "--output", output)
    assert code == 0, said
    table = read_table(output)
    assert [table[name] for name in ("id", "artist", "zone", "origin")] == [
        [track.audio_id],
        ["gone"],
        ["PURPLE"],
        ["corrected"],
    ]


def test_a_source_is_needed(run: Run, tmp_path: Path) -> None:
    code, said = run("dataset", "--output", tmp_path / "unified.csv")
    assert code == 2
    assert "--deam DIR, --labels FILE" in said
