"""What tags know, from files that mutagen wrote; and that it is learned from."""

from __future__ import annotations

from pathlib import Path

import mutagen
import numpy as np
import pytest
from mutagen.id3 import TBPM, TCON, TKEY
from mutagen.mp4 import MP4FreeForm

from moodzone_agent.classify.pool import HEAD_INPUTS
from tests.trainer.music import make_track
from trainer.finetuning.known_tags import COLUMNS, TagsHead, is_minor, known_of, with_tags
from trainer.finetuning.strategies import Labelled


@pytest.mark.parametrize("suffix", [".mp3", ".aiff", ".flac", ".m4a", ".ogg"])
def test_tags_are_read_from_every_container(suffix: str, tmp_path: Path) -> None:
    path = make_track(tmp_path / f"a{suffix}", 1)
    file = mutagen.File(path)
    if file.tags is None:
        file.add_tags()
    if suffix in {".mp3", ".aiff"}:
        for frame in (TBPM(text="128,5"), TKEY(text="Am"), TCON(text="Deep  House")):
            file.tags.add(frame)
    elif suffix == ".m4a":
        key = MP4FreeForm(b"Am")
        file.tags.update(
            {"tmpo": [128], "----:com.apple.iTunes:initialkey": [key], "\xa9gen": ["Deep House"]}
        )
    else:
        file.tags.update({"bpm": "128.5", "initialkey": "8A", "genre": "deep house"})
    file.save()
    bpm, minor, genre = known_of(path)
    assert bpm == pytest.approx(128 if suffix == ".m4a" else 128.5)
    assert (minor, genre) == (1.0, "deep house")


def test_what_tags_do_not_say_is_unknown(tmp_path: Path) -> None:
    path = make_track(tmp_path / "a.flac", 1)
    (tmp_path / "text.mp3").write_text("no music")
    for file in (path, tmp_path / "text.mp3", tmp_path / "missing.mp3"):
        bpm, minor, genre = known_of(file)
        assert np.isnan([bpm, minor]).all()
        assert genre == ""


@pytest.mark.parametrize(
    ("key", "minor"),
    [
        ("8A", 1.0),
        ("12b", 0.0),
        ("F#m", 1.0),
        ("Bb", 0.0),
        ("C major", 0.0),
        ("D min", 1.0),
        ("?", np.nan),
        ("", np.nan),
    ],
)
def test_keys(key: str, minor: float) -> None:
    assert is_minor(key) == pytest.approx(minor, nan_ok=True)


def test_a_genre_that_tells_the_zone_is_learned() -> None:
    rng = np.random.default_rng(0)
    ranks = np.arange(90) % 3
    rows = np.column_stack(
        (rng.normal(5, 0.1, (90, len(HEAD_INPUTS))), np.full((90, 2), np.nan), ranks)
    ).astype(np.float32)
    rows[::7, -1] = np.nan
    labels = Labelled(rows, ranks, np.ones(90), tuple(map(str, range(90))))
    head = TagsHead.fit(labels.only(np.arange(60)))
    judged = np.arange(60, 90)[np.isfinite(rows[60:, -1])]
    probabilities = head.predict(rows[judged])
    assert np.isfinite(head.predict(rows)).all()
    assert np.mean(probabilities.argmax(axis=1) == ranks[judged]) > 0.9
    assert head.genres == (0.0, 1.0, 2.0)


def test_rows_keep_their_own_columns(tmp_path: Path) -> None:
    labels = Labelled(np.ones((2, len(HEAD_INPUTS)), np.float32), np.array([0, 1]), np.ones(2), ("a", "b"))
    more = with_tags(labels, [tmp_path / "1.mp3", tmp_path / "2.mp3"])
    np.testing.assert_array_equal(more.rows[:, :-COLUMNS], labels.rows)
