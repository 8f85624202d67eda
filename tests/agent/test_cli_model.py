"""``moodzone model``, ``calibrate`` and the why of ``show``, as their user meets them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from moodzone_agent.classify.bundle import load_bundle
from moodzone_agent.classify.registry import Registry
from moodzone_agent.config import load_settings
from moodzone_agent.demo.encode import write_audio
from moodzone_agent.demo.music import compose, render
from moodzone_agent.features.spec import FEATURES_VERSION
from moodzone_agent.library.records import Stamp
from moodzone_agent.library.store import Library
from moodzone_agent.rerating import rate_stored
from moodzone_agent.types import Cuts, Zone
from tests.agent.classify.bundles import head_bundle, other_bundle
from tests.agent.conftest import World
from tests.agent.test_cli import fine, lines, run

TRACKS = 8


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of short songs from calm to energetic."""
    folder = tmp_path_factory.mktemp("songs")
    for number in range(TRACKS):
        song = compose(number, energy=number / (TRACKS - 1), duration=12.0)
        write_audio(folder / f"{number}.flac", render(song, rate=44_100))
    return folder


@pytest.fixture
def paths(world: World, songs: Path) -> list[Path]:
    """Those songs in the library, which is closed."""
    paths = [world.add(path) for path in sorted(songs.iterdir())]
    world.scan()
    world.library.close()
    return paths


@pytest.fixture
def models(world: World, tmp_path: Path) -> Registry:
    """Model 1 has a head that says PURPLE to everything, model 2 is the shipped one under another name."""
    registry = Registry(world.home / "models")
    registry.add(head_bundle(tmp_path / "head"))
    registry.add(other_bundle(tmp_path / "other", sure_from=0.99))
    return registry


def zones(world: World) -> list[str]:
    return [line["zone"] for line in lines(fine(world.home, "list", "--json"))]


def stored(world: World) -> dict[Path, bytes]:
    return {
        path: path.read_bytes()
        for path in world.home.rglob("*")
        if path.is_file() and not path.name.startswith("library.sqlite-")
    }


def test_models_are_listed_and_shown(world: World, models: Registry) -> None:
    world.library.close()
    models.promote(2)
    damaged = models.folder / "0001" / "zone.onnx"
    damaged.chmod(0o644)
    damaged.write_bytes(b"rubbish")
    told = lines(fine(world.home, "model", "list", "--json"))
    assert [(line["number"], line["in_use"], bool(line["error"])) for line in told] == [
        (0, False, False),
        (1, False, True),
        (2, True, False),
    ]
    listed = fine(world.home, "model", "list")
    assert f"     0  {load_bundle().model_id} (the one that ships)\n" in listed
    assert "cannot be used" in listed
    assert "*    2  other\n" in listed
    assert "# Model other\n" in fine(world.home, "model", "show")
    assert json.loads(fine(world.home, "model", "show", "0", "--json"))["id"] == load_bundle().model_id
    for command in ("show", "promote"):
        done = run(world.home, "model", command, "9")
        assert done.returncode == 2
        assert "there is no model 9" in done.stderr


def test_a_diff_names_what_would_change_and_touches_nothing(
    world: World, paths: list[Path], models: Registry
) -> None:
    fine(world.home, "label", paths[0], "yellow")
    fine(world.home, "label", paths[1], "purple")
    before, now = stored(world), zones(world)
    [told] = lines(fine(world.home, "model", "diff", "1", "--json"))
    others = [zone for zone in now[2:] if zone != "PURPLE"]
    assert told["tracks"] == TRACKS - 2
    assert len(told["changed"]) == len(others) > 0
    assert {change["after"] for change in told["changed"]} == {"PURPLE"}
    assert sum(moves["PURPLE"] for moves in told["zones"].values()) == TRACKS - 2
    assert (told["labels"], told["agreed"]["after"]) == (2, 1)
    shown = fine(world.home, "model", "diff", "1")
    assert f"{len(others)} of {TRACKS - 2} tracks change their zone" in shown
    assert shown.count("→ PURPLE") == len(others)
    assert "2 tracks keep the zone you gave them; the model agrees with 1 of these labels" in shown
    same = fine(world.home, "model", "diff", "2")
    assert "0 of 6 tracks change their zone" in same
    assert "unsure of 6 (before:" in same
    assert stored(world) == before


def test_a_promoted_model_rates_at_the_next_scan(world: World, paths: list[Path], models: Registry) -> None:
    now = zones(world)
    assert "model 1 (head) is in use" in fine(world.home, "model", "promote", "1")
    assert "head (model 1)" in fine(world.home, "doctor")
    assert zones(world) == now
    fine(world.home, "scan", world.music, "--jobs", "1")
    assert zones(world) == ["PURPLE"] * TRACKS
    assert lines(fine(world.home, "stream", paths[0], "--json"))[-1]["model"] == "head"
    assert f"({load_bundle().model_id}) is in use" in fine(world.home, "model", "rollback")
    fine(world.home, "scan", world.music, "--jobs", "1")
    assert zones(world) == now
    done = run(world.home, "model", "rollback")
    assert done.returncode == 2
    assert "none to go back to" in done.stderr


def test_a_damaged_champion_is_told_and_the_shipped_model_rates(
    world: World, paths: list[Path], models: Registry
) -> None:
    now = zones(world)
    models.promote(1)
    (models.folder / "0001" / "head.onnx").unlink()
    done = run(world.home, "scan", world.music, "--jobs", "1")
    assert done.returncode == 0
    assert "the model that ships is used, since" in done.stderr
    assert "0001" in done.stderr
    assert zones(world) == now
    [wrong] = [line for line in lines(run(world.home, "doctor", "--json").stdout) if not line["ok"]]
    assert wrong["check"] == "Model"
    assert "`moodzone model promote` another" in wrong["detail"]


def test_calibration_and_its_undo(world: World, paths: list[Path]) -> None:
    settings = world.home / "settings.toml"
    settings.write_text("# mine\n[tags]\nfield = 'grouping'\n")
    before, now = stored(world), zones(world)
    shares = ("calibrate", "--shares", "60,20,20")
    [told] = lines(fine(world.home, *shares, "--dry-run", "--json"))
    assert told["written"] is False
    assert told["before"] == {zone: now.count(zone) for zone in Zone}
    assert "YELLOW is below an arousal of" in fine(world.home, *shares, "--dry-run")
    assert stored(world) == before

    shown = fine(world.home, *shares)
    assert "calibrate --undo" in shown
    cuts = load_settings(settings).zones
    assert cuts == Cuts(**told["zones"])
    assert cuts != Cuts()
    assert settings.read_text().startswith("# mine\n[tags]\nfield = 'grouping'\n")
    assert f"PURPLE begins at {cuts.purple_min:g}" in fine(world.home, "doctor")
    fine(world.home, "scan", world.music, "--jobs", "1")
    assert {zone: zones(world).count(zone) for zone in Zone} == told["after"]
    assert "already; nothing changes" in fine(world.home, *shares)
    fine(world.home, "calibrate", "--shares", "20,20,60")
    assert load_settings(settings).zones != cuts

    assert "would be put back" in fine(world.home, "calibrate", "--undo", "--dry-run")
    [told] = lines(fine(world.home, "calibrate", "--undo", "--json"))
    assert told["written"] is True
    assert told["zones"]["purple_min"] == cuts.purple_min
    assert load_settings(settings).zones == cuts
    assert "yellow_max as usual" in fine(world.home, "calibrate", "--undo")
    assert settings.read_text() == "# mine\n[tags]\nfield = 'grouping'\n"
    done = run(world.home, "calibrate", "--undo")
    assert (done.returncode, "no calibration to take back" in done.stderr) == (2, True)


def test_undo_leaves_what_was_edited_since(world: World, paths: list[Path]) -> None:
    settings = world.home / "settings.toml"
    fine(world.home, "calibrate")
    settings.write_text("[zones]\nyellow_max = 3\n")
    done = run(world.home, "calibrate", "--undo")
    assert done.returncode == 2
    assert "edited since" in done.stderr
    assert settings.read_text() == "[zones]\nyellow_max = 3\n"


def test_a_calibration_that_was_killed_before_it_was_written(world: World, paths: list[Path]) -> None:
    fine(world.home, "calibrate")
    first = (world.home / "settings.toml").read_text()
    fine(world.home, "calibrate", "--shares", "10,10,80")
    (world.home / "settings.toml").write_text(first)  # only the note was made
    assert "as usual" in fine(world.home, "calibrate", "--undo")
    assert load_settings(world.home / "settings.toml").zones == Cuts()


def test_a_head_takes_no_calibration(world: World, paths: list[Path], models: Registry) -> None:
    models.promote(1)
    done = run(world.home, "calibrate")
    assert done.returncode == 2
    assert "learned your zones" in done.stderr
    assert not (world.home / "settings.toml").exists()


def test_calibration_needs_tracks(world: World) -> None:
    world.library.close()
    done = run(world.home, "calibrate")
    assert done.returncode == 2
    assert "scan FOLDER" in done.stderr


def test_calibration_is_offered_once(world: World, songs: Path) -> None:
    """By the scan of as many tracks as make it worth while: one recording's features under many names."""
    world.add(songs / "0.flac")
    world.scan()
    analysis = next(world.library.analyses(FEATURES_VERSION))
    [record] = world.library.files()
    for number in range(30):
        world.library.put_analysis(replace(analysis, audio_id=f"{number:064x}"))
    rate_stored(world.library, world.model)
    ids = [item.audio_id for item in world.library.analyses(FEATURES_VERSION)]
    for number, audio_id in enumerate(ids[:25]):
        path = world.music / f"copy {number}.flac"
        path.write_bytes(record.path.read_bytes())
        world.library.put_file(replace(record, path=path, stamp=Stamp.of(path.stat()), audio_id=audio_id))
    world.library.close()
    first, second = (fine(world.home, "scan", world.music, "--jobs", "1") for _ in range(2))
    assert "`moodzone calibrate` fits the zones to your library" in first
    assert "moodzone calibrate" not in second
    assert "moodzone calibrate" not in fine(world.home, "scan", world.music, "--json", "--jobs", "1")


def test_show_tells_why(world: World, paths: list[Path], models: Registry) -> None:
    told = json.loads(fine(world.home, "show", paths[-1], "--json"))
    assert 1 <= len(told["why"]) <= 5
    assert all(set(reason) == {"group", "change", "words"} for reason in told["why"])
    changes = np.abs([reason["change"] for reason in told["why"]])
    assert (np.diff(changes) <= 0).all()
    shown = fine(world.home, "show", paths[-1])
    assert f"Why {told['zone']}, and what each adds to its probability:" in shown
    assert told["why"][0]["words"] in shown
    models.promote(1)
    assert "have changed since it was rated" in fine(world.home, "show", paths[-1])
    assert json.loads(fine(world.home, "show", paths[-1], "--json"))["why"] is None


def test_a_small_library_tells_no_why(world: World, songs: Path) -> None:
    path = world.add(songs / "0.flac")
    world.scan()
    world.library.close()
    assert "Scan more music to see why" in fine(world.home, "show", path)
    with Library.open(world.home / "library.sqlite", read_only=True) as library:
        assert library.count_rated() == 1
