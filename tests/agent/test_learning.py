"""When the agent learns, what becomes of the model, and that nothing changes where it fails. Trainings are real."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from moodzone_agent import analysis, learning, pipeline, rerating
from moodzone_agent.background.writer import rewrites_allowed
from moodzone_agent.challenger import keeps_zones, waiting_challenger
from moodzone_agent.classify.bundle import HEAD_MODEL, load_bundle
from moodzone_agent.classify.registry import SHIPPED, Registry
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.config import AgentSettings, Places, Settings
from moodzone_agent.errors import DataSetError, UsageError
from moodzone_agent.features.spec import FEATURE_NAMES, FEATURES_VERSION
from moodzone_agent.learning import Outcome, Retraining, Standing, Trained, due, standing
from moodzone_agent.library.records import Analysis, FileRecord, FileStatus, Stamp
from moodzone_agent.library.store import Library
from moodzone_agent.pipeline import scan
from moodzone_agent.rerating import changed_files, marks, rate_stored, rerate_library
from moodzone_agent.types import Label, LabelOrigin, Mark, MarkState, Zone
from tests.agent.classify.bundles import head_bundle, other_bundle
from tests.agent.conftest import World, make_track
from tests.agent.test_cli import fine, lines, run, start

ROOT = Path(__file__).resolve().parents[2]
DAY_NS = 86_400 * 10**9
LABELS = 60

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX only")


def fill(
    library: Library,
    labels: int,
    *,
    origin: LabelOrigin = LabelOrigin.ASKED,
    folder: Path = Path("/nowhere"),
) -> None:
    """Random features that tell the zone, and labels; there is no audio."""
    rng = np.random.default_rng(0)
    direction = rng.normal(size=len(FEATURE_NAMES))
    with library.transaction():
        for number in range(labels):
            energy = rng.uniform(-1, 1)
            centre = rng.normal(0, 0.5, len(FEATURE_NAMES)) + energy * direction
            windows = (centre + rng.normal(0, 0.2, (4, len(FEATURE_NAMES)))).astype(np.float32)
            audio_id, path = f"id {number:03}", folder / f"{number:03}.mp3"
            library.put_analysis(
                Analysis(audio_id, 25.0, 120.0, (), FEATURES_VERSION, windows.mean(0), windows)
            )
            stamp = Stamp(1, number, 1)
            library.put_file(FileRecord(path, stamp, FileStatus.OK, audio_id, artist=f"artist {number // 3}"))
            zone = Zone.YELLOW if energy < -0.3 else Zone.GREEN if energy < 0.3 else Zone.PURPLE
            library.add_label(Label(audio_id, zone, origin, "cli", 1))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose library holds labels that can be learned from, rated by the shipped model. Not to be changed."""
    home = tmp_path_factory.mktemp("home")
    with Library.open(home / "library.sqlite") as library:
        fill(library, LABELS)
        with library.transaction():
            rate_stored(library, ZoneModel(load_bundle()))
    return home


@pytest.fixture
def places(labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    home = tmp_path / "home"
    shutil.copytree(labelled, home)
    monkeypatch.setenv("MOODZONE_HOME", str(home))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return Places.under(home)


def train(places: Places, *, confirm: bool = False, force: bool = False) -> Trained:
    settings = Settings(agent=AgentSettings(confirm=confirm))
    with Library.open(places.library) as library, Retraining(library, places, settings, force=force) as job:
        return job.wait()


def kept(places: Places) -> dict[str, bytes]:
    """All models, and what is noted of them."""
    return {
        str(path.relative_to(places.models)): path.read_bytes()
        for path in places.models.rglob("*")
        if path.is_file() and path.name != "lock"
    }


def left(places: Places) -> set[str]:
    return {path.name for path in (places.agent / "training").iterdir()}


NOW = Standing(new=20, zones=dict.fromkeys(Zone, 10), unread=0, since_ns=0, is_outdated=False)


@pytest.mark.parametrize(
    ("changes", "settings", "days", "why"),
    [
        ({}, {}, 1, "20 new labels"),
        ({"new": 19}, {}, 1, None),
        ({"new": 19}, {}, 7, "19 new labels, and 7 days have passed"),
        ({"new": 1}, {}, 7, "1 new label, and 7 days have passed"),
        ({"new": 1}, {}, -900, "1 new label, and 7 days have passed"),  # the clock was set back
        ({"new": 0}, {}, 30, None),
        ({"new": 19}, {"retrain_days": 0}, 900, None),
        ({"new": 5}, {"retrain_after": 5}, 0, "5 new labels"),
        ({"new": 500}, {"retrain_after": 0}, 900, None),
        ({"zones": {Zone.GREEN: 50}}, {}, 1, None),
        ({"since_ns": None, "new": 0}, {}, 1, None),
        ({"new": 0, "is_outdated": True}, {}, 1, "the features of the music have changed"),
        ({"new": 0, "is_outdated": True, "unread": 4}, {}, 1, None),
    ],
)
def test_when_it_learns(
    changes: dict[str, Any], settings: dict[str, Any], days: float, why: str | None
) -> None:
    assert due(replace(NOW, **changes), AgentSettings(**settings), int(days * DAY_NS)) == why


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    places = Places.under(tmp_path)
    with Library.open(places.library) as library:
        assert standing(library).since_ns is None
        for number in range(11):
            library.add_label(Label(f"unheard {number}", Zone.GREEN, LabelOrigin.ASKED, "cli", 1))
        with pytest.raises(
            DataSetError, match="takes 12 labels, and there are 0, 11 more of tracks still to be analysed"
        ):
            Retraining(library, places, Settings()).__enter__()
    assert replace(NOW, zones={Zone.GREEN: 15, Zone.YELLOW: 2}).lack.startswith(
        "learning takes 3 labels of each zone, and there are 2 YELLOW and 0 PURPLE"
    )
    done = run(tmp_path, "retrain")
    assert (done.returncode, done.stdout) == (1, "")
    assert "moodzone: learning takes 12 labels" in done.stderr
    assert not places.models.exists()


def test_labels_are_counted_by_arrival(places: Places) -> None:
    with Library.open(places.library) as library:
        assert standing(library).new == LABELS
        learned = library.last_arrival()
        library.set_meta(
            "last training", json.dumps({"arrival": learned, "time_ns": 5, "features_version": 3})
        )
        assert standing(library) == replace(standing(library), new=0, since_ns=5)
        for zone in (Zone.GREEN, Zone.PURPLE):  # dated back by a clock, and of one recording
            library.add_label(Label("id 000", zone, LabelOrigin.CORRECTED, "tags", -1))
        library.add_label(Label("hint", Zone.GREEN, LabelOrigin.WEAK, "mixed-in-key", 9))
        assert standing(library).new == 1
        library.set_meta("last training", "rubbish")
        assert standing(library).new == LABELS


def test_a_better_model_waits_for_a_yes_until_two_were_given(places: Places, tmp_path: Path) -> None:
    [told] = lines(fine(places.library.parent, "retrain", "--json"))
    assert (told["outcome"], told["number"]) == ("waiting", 1)
    registry = Registry(places.models)
    assert registry.champion().number == SHIPPED
    assert left(places) == {"lock", "log", "judgement"}
    with Library.open(places.library) as library:
        assert standing(library).new == 0
        challenger = waiting_challenger(places, Settings(), library)
        assert challenger is not None
        assert (challenger.number, challenger.tracks) == (1, 0)  # all have a label
    home = places.library.parent
    [line] = lines(fine(home, "inbox", "--json"))
    assert (line["model"], line["changed"]) == (1, told["would_change"])
    assert "`moodzone model promote 1` uses it" in fine(home, "inbox")
    fine(home, "model", "promote", "1")
    assert "nothing waits" in fine(home, "inbox")

    # The same labels again: the same model, which changes nothing.
    before = kept(places)
    again = train(places)
    assert (again.outcome, again.words) == (Outcome.NO_BETTER, "it is the same model as the one in use")
    assert kept(places) == before

    number = registry.add(other_bundle(tmp_path / "other"))
    registry.promote(number, by_user=True)
    assert registry.promotions_by_user() == 2
    # It was in use before, and the user has left it: whoever takes that back is asked.
    assert train(places, confirm=True).outcome is Outcome.WAITING
    assert run(home, "model", "decline").returncode == 0
    assert run(home, "model", "decline").returncode == 2
    with Library.open(places.library) as library:
        library.add_label(Label("id 000", Zone.GREEN, LabelOrigin.CONFIRMED, "cli", 1))
        library.add_label(Label("id 003", Zone.GREEN, LabelOrigin.CONFIRMED, "cli", 1))
    promoted = train(places, confirm=True)
    assert promoted.outcome is Outcome.PROMOTED
    assert registry.champion().number == promoted.number
    assert registry.rollback() == number


def test_the_same_run_twice_gives_the_same_model(places: Places, labelled: Path, tmp_path: Path) -> None:
    models = []
    for name in ("one", "two"):
        home = tmp_path / name
        shutil.copytree(labelled, home)
        assert train(Places.under(home)).outcome is Outcome.PROMOTED
        models.append((home / "models" / "0001" / HEAD_MODEL).read_bytes())
    assert models[0] == models[1]


def test_labels_that_may_not_judge_promote_nothing_but_by_force(tmp_path: Path, places: Places) -> None:
    home = tmp_path / "corrected"
    with Library.open(home / "library.sqlite") as library:
        fill(library, 30, origin=LabelOrigin.CORRECTED)
    done = fine(home, "retrain")
    assert "the model in use stays: only 0 labels were asked for or confirmed" in done
    assert "`moodzone retrain --force`" in done
    assert "nested cross-validation" in done
    assert str(home) not in done
    assert not (home / "models").exists()
    [told] = lines(fine(home, "retrain", "--force", "--json"))
    assert (told["outcome"], told["number"]) == ("promoted", 1)
    assert told["contest"]["won"] is False


def test_what_the_trainer_lacks_is_told_in_its_words(tmp_path: Path, places: Places) -> None:
    home = tmp_path / "narrow"
    with Library.open(home / "library.sqlite") as library:
        fill(library, 15)
        for file in list(library.files()):
            library.put_file(replace(file, artist="One"))
    done = run(home, "retrain")
    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing was changed: the labels to learn from are of 1 artist: label tracks of 3" in done.stderr
    assert not (home / "models").exists()


def test_a_training_is_quiet_and_only_one_runs(places: Places) -> None:
    with Library.open(places.library) as library, Retraining(library, places, Settings()) as job:
        assert job.pid is not None
        child = psutil.Process(job.pid)
        if os.name != "nt":
            while child.nice() != 19:
                assert job.pid is not None, job.log.read_text()
        with pytest.raises(UsageError, match="a training runs already"):
            Retraining(library, places, Settings()).__enter__()
        assert "labels.sqlite" in left(places)
        assert job.poll() is None
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert left(places) == {"lock", "log", "judgement"}
    assert not places.models.exists()
    with Library.open(places.library) as library:
        assert standing(library).new == LABELS  # so that it starts again


def test_one_that_takes_too_long_is_given_up(places: Places) -> None:
    with (
        Library.open(places.library) as library,
        Retraining(library, places, Settings(), limit_seconds=0.0) as job,
    ):
        trained = job.wait()
    assert trained.outcome is Outcome.FAILED
    assert "was given up" in trained.words
    assert not places.models.exists()


@posix
@pytest.mark.parametrize("share", [0.0, 0.2, 0.4])
def test_a_killed_child_changes_nothing(places: Places, share: float) -> None:
    registry = Registry(places.models)
    registry.add(load_bundle().folder)
    before = kept(places)
    with Library.open(places.library) as library, Retraining(library, places, Settings()) as job:
        assert job.pid is not None
        child = psutil.Process(job.pid)
        seconds = share * 4  # of the processor, of which it takes some five
        while child.is_running() and sum(child.cpu_times()[:2]) < seconds:
            assert job.poll() is None
        child.kill()
        trained = job.wait()
    assert trained.outcome is Outcome.FAILED
    assert "killed" in trained.words
    assert kept(places) == before
    assert left(places) == {"lock", "log", "judgement"}


@posix
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_a_killed_command_leaves_the_models_and_no_child(places: Places, share: float) -> None:
    home = places.library.parent
    command = start(home, "retrain")
    children: list[psutil.Process] = []
    parent = psutil.Process(command.pid)
    while not children:
        assert command.poll() is None, command.stderr and command.stderr.read()
        children = parent.children()
    seconds = share * 4
    while command.poll() is None and children[0].is_running():
        try:
            if sum(children[0].cpu_times()[:2]) >= seconds:
                break
        except psutil.Error:
            break
    command.send_signal(signal.SIGKILL)
    command.communicate()
    assert psutil.wait_procs(children, timeout=30)[1] == []
    registry = Registry(places.models)
    assert (registry.champion().number, registry.champion().warning) == (SHIPPED, "")
    assert [entry.error for entry in registry.bundles() if entry.error] == []
    [told] = lines(fine(home, "retrain", "--json"))
    assert (told["outcome"], told["number"]) == ("waiting", 1)
    assert left(places) == {"lock", "log", "judgement"}


@pytest.mark.skipif(sys.platform != "linux", reason="sets another process's limits")
def test_a_full_disk_changes_nothing(places: Places) -> None:
    import resource

    with Library.open(places.library) as library, Retraining(library, places, Settings()) as job:
        assert job.pid is not None
        resource.prlimit(job.pid, resource.RLIMIT_FSIZE, (100_000, 100_000))
        trained = job.wait()
    assert trained.outcome is Outcome.FAILED
    assert "disk" in trained.words or "cannot be used" in trained.words
    assert "Traceback" not in trained.words
    assert not places.models.exists()
    assert left(places) == {"lock", "log", "judgement"}


def test_remove_leaves_nothing_of_trainings(places: Places) -> None:
    (places.agent / "training" / "bundle").mkdir(parents=True)
    (places.agent / "training" / "log").write_text("said")
    (places.agent / "training" / "labels.sqlite-wal").write_bytes(b"")
    fine(places.library.parent, "remove", "--yes", "--forget-missing")
    assert not places.library.parent.exists() or not list(places.library.parent.rglob("*"))


# What a promotion does to the library and to files.


def test_a_promotion_that_changes_no_zone_writes_no_file(
    world: World, originals: Path, tmp_path: Path
) -> None:
    paths = [world.add(path) for path in sorted(originals.iterdir())]
    world.scan()
    world.write()
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}
    registry = Registry(world.home / "models")
    registry.promote(registry.add(other_bundle(tmp_path / "other")))
    assert rerate_library(world.library, ZoneModel(registry.champion().bundle)) == []
    assert {track.estimate.model for track in world.library.tracks() if track.estimate} == {"other"}
    assert {result.status for result in world.write().values()} == {"unchanged"}
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths} == before
    # A control: one that says something else of every track writes every file that isn't labelled.
    zone = next(zone for zone in Zone if zone not in {mark.zone for mark in marks(world.library).values()})
    world.library.add_label(Label(_id(world, paths[0]), Zone.GREEN, LabelOrigin.CORRECTED, "cli", 1))
    world.write()
    head = head_bundle(tmp_path / "head", zone=zone.rank)
    assert rerate_library(world.library, ZoneModel(load_bundle(head))) == paths[1:]


def _id(world: World, path: Path) -> str:
    track = world.library.track_of(path)
    assert track is not None
    return track.audio_id


def test_only_files_that_had_a_mark_are_rewritten() -> None:
    green, unsure = Mark(Zone.GREEN), Mark(Zone.GREEN, MarkState.UNSURE)
    paths = [Path(str(number)) for number in range(4)]
    before = dict(zip(paths[:3], (green, green, green), strict=True))
    after = dict(zip(paths, (green, unsure, Mark(Zone.PURPLE), green), strict=True))
    assert changed_files(before, after) == paths[1:3]
    assert changed_files(before, {}) == []


@pytest.mark.parametrize(
    ("planned", "done", "consented", "allowed"),
    [
        (200, 0, False, 200),
        (201, 0, False, 200),
        (50, 180, False, 20),
        (5, 900, False, 0),
        (900, 200, True, 900),
    ],
)
def test_many_rewrites_need_a_yes(planned: int, done: int, consented: bool, allowed: int) -> None:
    assert rewrites_allowed(planned, done, AgentSettings(), consented=consented) == allowed


# A new bundle ships, or the features change.


@pytest.fixture
def old(tmp_path: Path) -> ZoneModel:
    """What shipped with an earlier version: PURPLE is all it says."""
    return ZoneModel(load_bundle(head_bundle(tmp_path / "old", "old")))


def models_of(library: Library) -> dict[str, str]:
    return {
        track.paths[0].name: track.estimate.model
        for track in library.tracks()
        if track.paths and track.estimate
    }


def test_a_new_shipped_bundle_is_a_challenger(
    world: World, tmp_path: Path, old: ZoneModel, model: ZoneModel
) -> None:
    for seed in range(3):
        make_track(world.music / f"{seed}.wav", seed=seed)
    world.model = old
    world.scan()
    places = Places.under(world.home)
    registry = Registry(places.models)
    assert keeps_zones(world.library, registry.champion())
    for seed in range(3, 9):  # now most are by the new one, which still nobody has chosen
        make_track(world.music / f"{seed}.wav", seed=seed)
    list(scan([world.music], world.library, model, jobs=1, keep_zones=True))
    assert models_of(world.library) == {
        f"{seed}.wav": "old" if seed < 3 else model.model_id for seed in range(9)
    }
    assert keeps_zones(world.library, registry.champion())
    challenger = waiting_challenger(places, Settings(), world.library)
    assert challenger is not None
    assert (challenger.number, challenger.model_id, challenger.tracks) == (SHIPPED, model.model_id, 9)
    others = [track.estimate.zone for track in world.library.tracks() if track.estimate][3:]
    assert challenger.changes == 3 or Zone.PURPLE in others
    assert waiting_challenger(places, Settings(), world.library) == challenger
    world.library.close()
    assert "the other zones stay: `moodzone inbox`" in fine(world.home, "scan", world.music, "--jobs", "1")
    assert "ships with this version of MoodZone" in fine(world.home, "inbox")
    fine(world.home, "model", "promote", "0")
    assert "nothing waits" in fine(world.home, "inbox")
    fine(world.home, "scan", world.music, "--jobs", "1")
    with Library.open(places.library) as library:
        assert set(models_of(library).values()) == {model.model_id}
        assert not keeps_zones(library, registry.champion())


def test_the_bundle_that_rated_all_is_no_challenger_whatever_its_cuts(world: World, model: ZoneModel) -> None:
    champion = Registry(world.home / "models").champion()
    assert not keeps_zones(world.library, champion)
    make_track(world.music / "0.wav", seed=0)
    world.scan()
    assert not keeps_zones(world.library, champion)
    world.library.set_meta("shipped model", model.bundle.model_id)
    assert not keeps_zones(world.library, champion)
    assert waiting_challenger(Places.under(world.home), Settings(), world.library) is None


def test_an_own_champion_rates_all(world: World, tmp_path: Path, old: ZoneModel) -> None:
    registry = Registry(world.home / "models")
    registry.promote(registry.add(old.bundle.folder))
    world.library.set_meta("shipped model", "something else")
    assert not keeps_zones(world.library, registry.champion())
    registry.rollback()  # to what ships now: that is chosen
    assert not keeps_zones(world.library, registry.champion())


def test_after_a_change_of_the_features_old_zones_stay(
    world: World, tmp_path: Path, old: ZoneModel, model: ZoneModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [make_track(world.music / f"{seed}.wav", seed=seed) for seed in range(4)]
    for number, path in enumerate(paths):
        os.utime(path, ns=(number, number * 10**9))
    registry = Registry(world.home / "models")
    registry.promote(registry.add(old.bundle.folder))
    world.model = old
    world.scan()
    world.library.add_label(Label(_id(world, paths[1]), Zone.GREEN, LabelOrigin.CONFIRMED, "cli", 1))
    world.library.add_label(Label(_id(world, paths[2]), Zone.GREEN, LabelOrigin.WEAK, "mixed-in-key", 1))
    new = FEATURES_VERSION + 1
    for module in (pipeline, analysis, learning, rerating):
        monkeypatch.setattr(module, "FEATURES_VERSION", new)
    manifest = registry.folder / "0001" / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_text(
        json.dumps(json.loads(manifest.read_text()) | {"features_version": FEATURES_VERSION - 1})
    )
    champion = registry.champion()
    assert champion.warning
    assert keeps_zones(world.library, champion)
    assert standing(world.library).unread == 2
    assert rate_stored(world.library, model, keep_zones=True) == 0
    make_track(world.music / "new.wav", seed=9)
    results = list(scan([world.music], world.library, model, jobs=1, keep_zones=True))
    known = [result.path for result in results if result.path in paths]
    assert known == [paths[1], paths[3], paths[2], paths[0]]
    assert all(world.library.has_features(_id(world, path), new) for path in paths)
    assert models_of(world.library) == {f"{seed}.wav": "old" for seed in range(4)} | {
        "new.wav": model.model_id
    }
    assert standing(world.library).unread == 0
    # The champion's recipe was learned anew: it rates all again, old tracks and new ones.
    again = ZoneModel(load_bundle(head_bundle(tmp_path / "again", "again")))
    assert rate_stored(world.library, again) == 5


# Hints.


def test_hints_are_stored_as_such_and_decide_nothing(world: World, originals: Path) -> None:
    paths = [world.add(path) for path in sorted(originals.iterdir())]  # their comment is 8A - 7
    world.scan()
    before = marks(world.library)
    world.library.add_label(Label(_id(world, paths[0]), Zone.YELLOW, LabelOrigin.CORRECTED, "cli", 1))
    world.library.retract_label(_id(world, paths[0]), "cli", time.time_ns())
    world.library.add_label(Label(_id(world, paths[1]), Zone.YELLOW, LabelOrigin.CONFIRMED, "cli", 1))
    world.library.close()
    told = lines(fine(world.home, "weak-labels", "--dry-run", "--json"))
    assert {(line["value"], line["zone"]) for line in told} == {(7, "PURPLE")}
    assert len(told) >= 4  # not every container takes this comment
    assert f"{len(told)} stored as weak labels" in fine(world.home, "weak-labels")
    assert "0 stored as weak labels" in fine(world.home, "weak-labels")
    assert "PURPLE by mixed-in-key; a weak label, not your word" in fine(world.home, "show", paths[2])
    assert lines(fine(world.home, "show", paths[2], "--json"))[0]["hint"] == "PURPLE"
    with Library.open(world.home / "library.sqlite") as library:
        after = marks(library)
        assert after == before | {paths[1]: Mark(Zone.YELLOW, MarkState.LABELLED)}
        track = library.track_of(paths[2])
        assert track is not None
        assert (track.label, library.label(track.audio_id)) == (None, None)
        assert [track.paths[0] for track in library.tracks(labelled=True)] == [paths[1]]
        assert standing(library).new == 2
        assert standing(library).zones == {Zone.YELLOW: 1, Zone.PURPLE: len(told)}
        library.add_label(Label(track.audio_id, Zone.GREEN, LabelOrigin.CORRECTED, "cli", 1))
        library.add_label(Label(track.audio_id, Zone.PURPLE, LabelOrigin.WEAK, "mixed-in-key", 2))
        assert library.track_of(paths[2]).mark == Mark(Zone.GREEN, MarkState.LABELLED)  # type: ignore[union-attr]
    again = fine(world.home, "weak-labels", "--purple-min", "8")
    assert f"{len(told) - 1} GREEN" in again


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--from", "stars"], "--from stars and --stars go together"),
        (["--stars", "1=yellow"], "--from stars and --stars go together"),
        (["--from", "stars", "--stars", "6=green"], "no number of stars"),
        (["--from", "rating"], "mixed-in-key or stars"),
        (["--yellow-max", "7"], "--yellow-max must be below"),
    ],
)
def test_wrong_hints_are_named(world: World, arguments: list[str], says: str) -> None:
    done = run(world.home, "weak-labels", *arguments)
    assert done.returncode == 2
    assert says in done.stderr


def test_the_field_of_mixed_in_key_counts_before_the_comment(world: World) -> None:
    import mutagen

    path = make_track(world.music / "0.flac", seed=0, tags={"comment": "8A - 7"})
    file = mutagen.File(path)
    file["EnergyLevel"] = "3"
    file.save()
    world.scan()
    [line] = lines(fine(world.home, "weak-labels", "--json"))
    assert (line["value"], line["zone"]) == (3, "YELLOW")


def test_stars_hint_only_as_their_owner_says(world: World) -> None:
    import mutagen
    from mutagen.id3 import ID3, POPM

    for number, rating in enumerate([255, 128, 1]):
        path = make_track(world.music / f"{number}.mp3", seed=number)
        tags = ID3(path)
        tags.add(POPM(email="Windows Media Player 9 Series", rating=rating))
        tags.save()
    path = make_track(world.music / "3.flac", seed=3)
    file = mutagen.File(path)
    file["RATING"] = "80"
    file.save()
    make_track(world.music / "4.flac", seed=4)
    world.scan()
    told = lines(
        fine(world.home, "weak-labels", "--from", "stars", "--stars", "1=yellow,4=green,5=purple", "--json")
    )
    assert {(Path(line["path"]).name, line["value"], line["zone"]) for line in told} == {
        ("0.mp3", 5, "PURPLE"),
        ("2.mp3", 1, "YELLOW"),
        ("3.flac", 4, "GREEN"),
    }
    assert "by stars; a weak label" in fine(world.home, "show", world.music / "0.mp3")
