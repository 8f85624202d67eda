"""The agent learns, takes another model over without a restart, and doesn't rewrite everything at once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from exporters.tags.edit import read_state
from moodzone_agent.background import control
from moodzone_agent.background.control import Request
from moodzone_agent.classify.bundle import load_bundle
from moodzone_agent.classify.registry import Registry
from moodzone_agent.config import Places
from moodzone_agent.types import Zone
from tests.agent.conftest import World
from tests.agent.test_daemon import SETTINGS, Machine, marked, rounds, running

pytestmark = pytest.mark.usefixtures("world")


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def places(world: World) -> Places:
    places = Places.under(world.home)
    places.settings.write_text(SETTINGS)
    return places


def set_cuts(places: Places, yellow_max: float, purple_min: float, more: str = "") -> None:
    """Other cuts are another model: zones move."""
    zones = f"[zones]\nyellow_max = {yellow_max}\npurple_min = {purple_min}\npurple_min_valence = 1\n"
    places.settings.write_text(SETTINGS + more + zones)


def test_other_cuts_move_zones_and_rewrite_no_more_than_a_day_allows(
    world: World, places: Places, machine: Machine, originals: Path
) -> None:
    limit = "most_rewrites_a_day = 2\n"
    set_cuts(places, 8.9, 9.0, limit)
    paths = [world.add(path) for path in sorted(originals.iterdir())[:5]]
    with running(world, places, machine) as agent:
        rounds(agent, lambda: all(marked(path) for path in paths))
        assert {read_state(path).mark.zone for path in paths} == {Zone.YELLOW}  # type: ignore[union-attr]
        set_cuts(places, 1.0, 1.0, limit)

        def rewritten() -> int:
            return sum(read_state(path).mark.zone is Zone.PURPLE for path in paths)  # type: ignore[union-attr]

        rounds(agent, lambda: rewritten() == 2)
        rounds(agent)
        assert rewritten() == 2
        rounds(agent, lambda: (control.read_status(places) or control.AgentStatus()).waiting == 3)
        control.request(places, Request.FLUSH)
        rounds(agent, lambda: rewritten() == 5)


def test_a_model_that_changes_no_zone_writes_no_file(
    world: World, places: Places, machine: Machine, originals: Path, tmp_path: Path
) -> None:
    paths = [world.add(path) for path in sorted(originals.iterdir())[:3]]
    with running(world, places, machine) as agent:
        rounds(agent, lambda: all(marked(path) for path in paths))
        rounds(agent)
        before = {path: (path.read_bytes(), path.stat().st_ctime_ns) for path in paths}
        bundle = Path(shutil.copytree(load_bundle().folder, tmp_path / "bundle"))
        manifest = json.loads((bundle / "manifest.json").read_text())
        (bundle / "manifest.json").write_text(json.dumps(manifest | {"id": "another"}))
        registry = Registry(places.models)
        registry.promote(registry.add(bundle))
        rounds(agent, lambda: (control.read_status(places) or control.AgentStatus()).champion == "another")

        def models() -> set[str]:
            tracks = [world.library.track_of(path) for path in paths]
            return {track.estimate.model for track in tracks if track and track.estimate}

        rounds(agent, lambda: models() == {"another"})
        rounds(agent)
        assert {path: (path.read_bytes(), path.stat().st_ctime_ns) for path in paths} == before


def test_too_few_labels_are_told(world: World, places: Places, machine: Machine, originals: Path) -> None:
    path = world.add(originals / "1.flac")
    with running(world, places, machine) as agent:
        rounds(agent, lambda: marked(path))
        control.request(places, Request.RETRAIN)
        rounds(
            agent,
            lambda: any(
                "labels" in error for error in (control.read_status(places) or control.AgentStatus()).errors
            ),
        )
