"""Files that DJ programs and iTunes wrote, from the material beside the checkout."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from exporters.tags.edit import TagField, apply_mark, encoded_audio_digest, read_state
from moodzone_agent.types import Mark, MarkState, Zone

pytestmark = pytest.mark.shared
MARKS = [Mark(zone, state) for zone in Zone for state in MarkState]
FILES = [
    "real_tags/TOAL_TPE2.mp3",
    "real_tags/artist.mp3",
    "real_tags/cover-test-ffmpeg-aac.m4a",
    "real_tags/cover-test-itunes-12.7.0-aac.m4a",
    "real_tags/cover-test-png.mp3",
    "real_tags/cover-test.flac",
    "real_tags/cover-test.ogg",
    "real_tags/cover-test.opus",
    "real_tags/empty.mp3",
    "serato_payloads/track.aiff",
    "serato_payloads/track.flac",
    "serato_payloads/track.m4a",
    "serato_payloads/track.mp3",
    "serato_payloads/track.ogg",
]
every_file = pytest.mark.parametrize("name", FILES)


@pytest.fixture
def real(shared: Path, tmp_path: Path, name: str) -> Path:
    """A copy of the real file."""
    original = shared / "fixtures" / "audio" / name
    return Path(shutil.copyfile(original, tmp_path / original.name))


def test_all_files_are_listed(shared: Path) -> None:
    folder = shared / "fixtures" / "audio"
    assert sorted(FILES) == sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))


@every_file
@pytest.mark.parametrize("field", TagField)
def test_every_mark_and_back_to_the_same_bytes(name: str, field: TagField, real: Path) -> None:
    before = real.read_bytes()
    start = read_state(real, field=field)
    audio = encoded_audio_digest(real)
    for mark in MARKS:
        state = apply_mark(real, mark, field=field)
        assert (state.mark, state.artist, state.title) == (mark, start.artist, start.title)
        assert encoded_audio_digest(real) == audio
    assert apply_mark(real, None, field=field) == start
    assert real.read_bytes() == before


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="needs ffprobe")
@every_file
def test_ffprobe_shows_all_else_as_before(name: str, real: Path) -> None:
    before = ffprobe(real)
    comment = read_state(real).text
    apply_mark(real, MARKS[0])
    after = ffprobe(real)
    assert after["packets"] == before["packets"]
    tags, expected = after["tags"], before["tags"]
    if name != "serato_payloads/track.flac":  # ffprobe calls its DESCRIPTION, which stays, a comment too
        assert tags["comment"] == MARKS[0].token + (f" {comment}" if comment else "")
    tags.pop("comment")
    assert tags.pop("moodzone") == MARKS[0].field
    expected.pop("comment", None)
    assert tags == expected


def ffprobe(path: Path) -> dict[str, dict[str, str]]:
    command = ["ffprobe", "-v", "error", "-of", "json", "-select_streams", "a", "-show_data_hash", "sha256"]
    shown = json.loads(
        subprocess.check_output(
            [*command, "-show_entries", "format_tags:stream_tags:packet=data_hash", str(path)]
        )
    )
    tags = shown["format"].get("tags", {}) | shown["streams"][0].get("tags", {})
    return {"tags": {key.lower(): value for key, value in tags.items()}, "packets": shown["packets"]}


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool")
@every_file
def test_exiftool_shows_all_else_as_before(name: str, real: Path) -> None:
    before = exiftool(real)
    apply_mark(real, MARKS[0])
    after = exiftool(real)
    ours = {line for line in after if "MoodZone" in line or "MOODZONE" in line or MARKS[0].token in line}
    assert ours
    missing = {line for line in before - after if "Comment" not in line}
    assert missing == set()
    assert all("Comment" in line or "User Defined" in line or "Moodzone" in line.title() for line in ours)


def exiftool(path: Path) -> set[str]:
    shown = subprocess.check_output(
        ["exiftool", "-a", "-u", "-U", "-G1", "--File:all", "--System:all", str(path)]
    )
    layout = ("Offset", "Free", "Padding", "Media Data", "Size")
    return {
        line
        for line in shown.decode(errors="replace").splitlines()
        if not any(word in line for word in layout)
    }


@pytest.mark.skipif(shutil.which("flac") is None, reason="needs flac")
@pytest.mark.parametrize("name", [name for name in FILES if name.endswith("flac")])
def test_flac_verifies_the_stream(name: str, real: Path) -> None:
    apply_mark(real, MARKS[0])
    subprocess.run(["flac", "--test", "--silent", str(real)], check=True)
