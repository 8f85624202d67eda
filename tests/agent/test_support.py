"""The file for whoever helps tells nothing of the music."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from moodzone_agent.background.control import LOG_NAME
from moodzone_agent.config import Places
from moodzone_agent.support import write_report
from tests.agent.conftest import World


@pytest.mark.parametrize("names", [False, True])
def test_paths_are_hashed_unless_wanted(world: World, originals: Path, tmp_path: Path, names: bool) -> None:
    path = world.add(originals / "1.flac", "Secret Artist/Secret: Song (live), 2.flac")
    (world.music / "Secret broken.mp3").write_bytes(b"ID3 nothing")
    world.scan()
    places = Places.under(world.home)
    places.agent.mkdir()
    (places.agent / LOG_NAME).write_text(f"2026-01-01 WARNING {path}: could not be written\n")
    places.settings.write_text(f'[agent]\nfolders = ["{world.music}"]\n')
    write_report(places, tmp_path / "report.json", names=names)
    text = (tmp_path / "report.json").read_text()
    for word in ("Secret", "Song", "(live), 2"):
        assert (word in text) is names
    assert (str(world.music) in text) is names
    report = json.loads(text)
    assert report["library"]["files"]["ok"] == 1
    assert "could not be written" in report["log"][0]
    assert {finding["check"] for finding in report["findings"]} >= {"Library", "Agent", "Disk"}
