"""Models are added whole or not at all, and it is always known which one is in use."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest

from moodzone_agent.classify.bundle import MANIFEST, PRETRAINED, ZONE_MODEL, load_bundle
from moodzone_agent.classify.card import model_card
from moodzone_agent.classify.registry import SHIPPED, Registry
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.errors import BundleError, UsageError
from moodzone_agent.types import Cuts
from tests.agent.classify.bundles import head_bundle, other_bundle

ROOT = Path(__file__).resolve().parents[3]
MEMORY = Path("/dev/shm")


@pytest.fixture
def models(tmp_path: Path) -> Registry:
    """With models 1 and 2."""
    registry = Registry(tmp_path / "models")
    for number in (1, 2):
        assert registry.add(other_bundle(tmp_path / f"bundle {number}", f"model-{number}")) == number
    return registry


def damage(registry: Registry, number: int, name: str = ZONE_MODEL) -> None:
    path = registry.folder / f"{number:04}" / name
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])


def test_without_a_folder_the_shipped_model_is_in_use(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "models")
    champion = registry.champion()
    assert (champion.number, champion.bundle, champion.warning) == (SHIPPED, load_bundle(), "")
    assert [entry.number for entry in registry.bundles()] == [SHIPPED]
    with pytest.raises(UsageError, match="no model was promoted"):
        registry.rollback()
    registry.promote(SHIPPED)
    assert registry.champion().number == SHIPPED


def test_looking_makes_nothing(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "models")
    registry.champion()
    registry.bundles()
    registry.erase()
    assert not any(tmp_path.iterdir())


def test_a_bundle_is_taken_in_unchanged_with_its_card(models: Registry, tmp_path: Path) -> None:
    folder = models.folder / "0001"
    for path in (tmp_path / "bundle 1").iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()
    assert (folder / "CARD.md").read_text() == model_card(models.bundle(1))
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o444}
    shutil.rmtree(tmp_path / "bundle 1")
    assert models.bundle(1).model_id == "model-1"


def test_adding_twice_is_adding_once(models: Registry, tmp_path: Path) -> None:
    assert models.add(tmp_path / "bundle 1") == 1
    assert models.add(PRETRAINED) == SHIPPED
    assert [entry.number for entry in models.bundles()] == [0, 1, 2]


def test_what_cannot_be_used_is_not_added(models: Registry, tmp_path: Path) -> None:
    namesake = other_bundle(tmp_path / "namesake", "model-1", sure_from=0.9)
    with pytest.raises(BundleError, match="id of model 1"):
        models.add(namesake)
    rubbish = other_bundle(tmp_path / "rubbish", "rubbish")
    (rubbish / ZONE_MODEL).write_bytes(b"no graph")
    with pytest.raises(BundleError, match="damaged"):
        models.add(rubbish)
    outside = other_bundle(tmp_path / "outside", "outside", files={ZONE_MODEL: "", "../bundle 1/x": ""})
    with pytest.raises(BundleError, match="damaged"):
        models.add(outside)
    with pytest.raises(BundleError, match="cannot be read"):
        models.add(tmp_path / "nothing")
    assert sorted(place.name for place in models.folder.iterdir()) == ["0001", "0002", "lock"]


def test_a_graph_that_cannot_be_loaded_is_not_added(models: Registry, tmp_path: Path) -> None:
    import hashlib

    files = load_bundle().manifest["files"] | {ZONE_MODEL: hashlib.sha256(b"no graph").hexdigest()}
    folder = other_bundle(tmp_path / "rubbish", "rubbish", files=files)
    (folder / ZONE_MODEL).write_bytes(b"no graph")
    with pytest.raises(BundleError, match="cannot be loaded"):
        models.add(folder)
    assert sorted(place.name for place in models.folder.iterdir()) == ["0001", "0002", "lock"]


def test_promotions_are_taken_back_one_by_one(models: Registry) -> None:
    for number in (1, 2, 2, SHIPPED, 1):
        models.promote(number)
        assert models.champion().number == number
    assert [models.rollback() for _ in range(4)] == [SHIPPED, 2, 1, SHIPPED]
    assert models.champion().number == SHIPPED
    with pytest.raises(UsageError, match="none to go back to"):
        models.rollback()
    models.promote(2)
    assert Registry(models.folder).champion().bundle.model_id == "model-2"
    history = json.loads((models.folder / "champion.json").read_text())["history"]
    assert [event["number"] for event in history] == [1, 2, SHIPPED, 1, SHIPPED, 2, 1, SHIPPED, 2]


def test_one_model_waits_for_a_yes_until_the_one_in_use_changes(models: Registry, tmp_path: Path) -> None:
    assert models.challenger() is None
    with pytest.raises(UsageError, match="no model waits"):
        models.decline()
    models.challenge(1)
    models.challenge(2)
    challenger = models.challenger()
    assert challenger is not None
    assert (challenger.number, models.champion().number) == (2, SHIPPED)
    assert models.decline() == 2
    assert models.challenger() is None
    for change in (lambda: models.promote(1), models.rollback):
        models.challenge(2)
        change()
        assert models.challenger() is None
    with pytest.raises(UsageError, match="there is no model 9"):
        models.challenge(9)


def test_promotions_by_the_user_count_and_what_ships_is_chosen_by_its_id(models: Registry) -> None:
    assert models.champion().shipped_chosen is None
    models.promote(SHIPPED, by_user=True)
    assert models.champion().shipped_chosen == load_bundle().model_id
    models.promote(1, by_user=True)
    models.promote(1, by_user=True)  # it is in use already
    models.promote(2)
    assert models.promotions_by_user() == 1
    assert models.champion().shipped_chosen is None
    assert (models.was_promoted(2), models.was_promoted(3)) == (True, False)


def test_one_that_was_judged_anew_is_the_same_model(models: Registry, tmp_path: Path) -> None:
    again = other_bundle(tmp_path / "again", "model-1", metrics={"cv": "another"}, contest={"won": True})
    assert models.add(again) == 1


def test_what_is_not_there_cannot_be_promoted(models: Registry) -> None:
    models.promote(1)
    with pytest.raises(UsageError, match="there is no model 7; `moodzone model list`"):
        models.promote(7)
    damage(models, 2)
    with pytest.raises(BundleError, match="damaged"):
        models.promote(2)
    assert models.champion().number == 1


@pytest.mark.parametrize("name", [ZONE_MODEL, MANIFEST])
def test_a_damaged_champion_gives_way_to_the_shipped_model(models: Registry, name: str) -> None:
    models.promote(1)
    models.promote(2)
    damage(models, 2, name)
    champion = models.champion()
    assert (champion.number, champion.bundle) == (SHIPPED, load_bundle())
    assert "0002" in champion.warning
    assert "`moodzone model promote`" in champion.warning
    assert [bool(entry.error) for entry in models.bundles()] == [False, False, True]
    assert models.rollback() == 1
    assert (models.champion().number, models.champion().warning) == (1, "")


def test_a_champion_for_other_features_gives_way(models: Registry) -> None:
    models.promote(1)
    path = models.folder / "0001" / MANIFEST
    path.chmod(0o644)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"features_version": 1}))
    assert models.champion().number == SHIPPED
    assert "features version 1" in models.champion().warning


def test_a_deleted_champion_gives_way_and_its_number_is_not_given_again(
    models: Registry, tmp_path: Path
) -> None:
    models.promote(2)
    shutil.rmtree(models.folder / "0002")
    assert "there is no model 2" in models.champion().warning
    assert models.add(other_bundle(tmp_path / "new", "new")) == 3


@pytest.mark.parametrize(
    "content", ["", "[]", '{"schema": 1}', '{"schema": 1, "history": [{"event": "rollback"}]}']
)
def test_a_damaged_history_is_told_and_written_anew(models: Registry, content: str) -> None:
    (models.folder / "champion.json").write_text(content)
    assert models.champion().number == SHIPPED
    assert "champion.json is damaged; `moodzone model promote N`" in models.champion().warning
    with pytest.raises(BundleError, match="damaged"):
        models.rollback()
    models.promote(1)
    assert (models.champion().number, models.champion().warning) == (1, "")


def test_the_history_of_a_newer_program_is_kept(models: Registry) -> None:
    (models.folder / "champion.json").write_text('{"schema": 99}')
    assert "newer MoodZone" in models.champion().warning
    with pytest.raises(BundleError, match="newer MoodZone"):
        models.promote(1)
    assert (models.folder / "champion.json").read_text() == '{"schema": 99}'


def test_other_things_in_the_folder_are_left_alone(models: Registry) -> None:
    (models.folder / "notes.txt").write_text("mine")
    (models.folder / "0003").write_text("a file")
    assert [bool(entry.error) for entry in models.bundles()] == [False, False, False, True]
    models.promote(1)
    models.erase()
    assert sorted(place.name for place in models.folder.iterdir()) == ["0003", "notes.txt"]


def test_erasing_leaves_nothing(models: Registry) -> None:
    models.promote(1)
    models.erase()
    assert not models.folder.exists()


def test_a_disk_that_fills_up_leaves_the_old_state(
    models: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every sync there is, one after the other."""
    new = other_bundle(tmp_path / "new", "new")
    models.promote(1)
    real, failed = os.fsync, 0
    for job in (partial(models.add, new), partial(models.promote, 2)):
        for fail_at in range(1, 20):
            count = 0

            def full(descriptor: int, last: int = fail_at) -> None:
                nonlocal count
                count += 1
                if count == last and not stat.S_ISDIR(os.fstat(descriptor).st_mode):
                    raise OSError(errno.ENOSPC, "No space left on device")
                real(descriptor)

            complaint = ""
            with monkeypatch.context() as patched:
                patched.setattr(os, "fsync", full)
                try:
                    job()
                except BundleError as error:
                    complaint = str(error)
            if complaint:
                failed += 1
                assert "No space left" in complaint
                assert models.champion().number == 1
                assert not [place for place in models.folder.iterdir() if place.name.startswith(".")]
            elif count < fail_at:
                break
    assert failed >= 5
    assert models.champion().number == 2
    assert [entry.error for entry in models.bundles()] == [""] * 4


def test_two_processes_add_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from moodzone_agent.classify.registry import Registry\n"
        "print(Registry(Path(sys.argv[1])).add(Path(sys.argv[2])))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, tmp_path / "models", other_bundle(tmp_path / name, name)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("a", "b", "c")
    ]
    told = sorted(process.communicate()[0].strip() for process in processes)
    assert told == ["1", "2", "3"]
    assert {entry.error for entry in Registry(tmp_path / "models").bundles()} == {""}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
@pytest.mark.parametrize(("job", "least"), [("add", 10), ("promote", 3), ("challenge", 3), ("rollback", 3)])
def test_killed_at_every_step(job: str, least: int) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        done = subprocess.run(
            [sys.executable, Path(__file__).with_name("kill_registry.py"), folder, job],
            env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= least


def test_a_head_takes_no_cuts(models: Registry, tmp_path: Path) -> None:
    number = models.add(head_bundle(tmp_path / "head"))
    bundle = models.bundle(number)
    assert bundle.head_model is not None
    assert not bundle.accepts_cuts
    assert ZoneModel(bundle, Cuts(5, 5.5)).model_id == ZoneModel(bundle).model_id == "head"
    assert "one user's zones" in model_card(bundle)


def test_the_card_tells_figures_beside_the_baseline() -> None:
    bundle = load_bundle()
    card = model_card(bundle)
    folds, lockbox = (bundle.manifest["metrics"][name]["zone"] for name in ("cv", "lockbox"))
    assert f"| zone accuracy | {folds['accuracy']:.3f} | {lockbox['accuracy']:.3f} |" in card
    assert f"commonest zone | {folds['majority']:.3f} | {lockbox['majority']:.3f} |" in card
    assert "- licence: non-commercial" in card
    assert "dance music" in card


def test_a_card_of_a_manifest_that_says_little(tmp_path: Path) -> None:
    folder = other_bundle(tmp_path / "terse", "terse", metrics={"mine": {"accuracy": 1}}, trained_on=None)
    card = model_card(load_bundle(folder))
    assert "doesn't say what it was trained on" in card
    assert "holds no figures" in card
