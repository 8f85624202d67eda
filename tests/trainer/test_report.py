"""`moodzone-train evaluate`, `analyze` and `zone-map`, as their user meets them."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from moodzone_agent.classify.bundle import load_bundle
from moodzone_agent.classify.pool import HEAD_INPUTS
from moodzone_agent.errors import UsageError
from moodzone_agent.features.spec import FEATURE_NAMES
from moodzone_agent.types import ZONES, LabelOrigin, Zone
from tests.trainer.labelled_music import make_head_bundle, make_labelled_music
from trainer import cli
from trainer.datasets.store import open_cache
from trainer.datasets.unified import Wanted, label_tracks, read_all
from trainer.datasets.user import UserLabels
from trainer.judgement import judging, plots, report
from trainer.judgement.importance import predictor
from trainer.judgement.judging import Rated, evaluate, rate_labelled

Run = Callable[..., tuple[int, str, str]]

SONGS = 60
SWAPPED = (4, 17)
"""Places of songs with wrong labels, one of little energy and one of much."""
PICTURES = {
    "confusion_matrix.png",
    "reliability.png",
    "feature_importance.png",
    "learning_curve.png",
    "zone_map.png",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_labelled_music(
        tmp_path_factory.mktemp("labelled").resolve() / "m", songs=SONGS, swapped=SWAPPED
    )


@pytest.fixture(scope="module")
def labels(home: Path, table: Path) -> UserLabels:
    wanted = Wanted(labels=(table,))
    with open_cache(home / "training.sqlite") as library:
        return label_tracks(library, read_all(wanted), wanted, jobs=2, progress=lambda done, of: None)


@pytest.fixture(scope="module")
def rated(home: Path, labels: UserLabels) -> Rated:
    """By the bundle that ships, which knows none of these tracks."""
    with open_cache(home / "training.sqlite") as library:
        return rate_labelled(labels, library, load_bundle())


@pytest.fixture(scope="module")
def tuned(home: Path, labels: UserLabels, rated: Rated, tmp_path_factory: pytest.TempPathFactory) -> Rated:
    """By a bundle with a head that learned from the tracks that its salt doesn't hold out."""
    learned, held = judging.split(rated.data, "7")
    assert len(held.tracks) > 5
    bundle = make_head_bundle(
        tmp_path_factory.mktemp("bundle") / "tuned",
        learned.labelled,
        audio_ids=[track.audio_id for track in learned.tracks],
        salt="7",
    )
    with open_cache(home / "training.sqlite") as library:
        return rate_labelled(labels, library, bundle)


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command; returns its exit code, its output and what it said."""
    monkeypatch.setenv("MOODZONE_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["moodzone-train", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert isinstance(stop.value.code, int)
        return stop.value.code, *capfd.readouterr()

    return run


def some(rated: Rated, chosen: list[int], *, origin: LabelOrigin | None = None) -> Rated:
    data = rated.data.only(np.array(chosen, np.intp))
    if origin is not None:
        data = replace(data, tracks=tuple(replace(track, origin=origin) for track in data.tracks))
    return Rated(rated.bundle, data, tuple(rated.estimates[place] for place in chosen), rated.windows)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def size_of(picture: Path) -> tuple[int, int]:
    data = picture.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert data.endswith(b"IEND\xaeB`\x82")
    return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])


def check_report(folder: Path) -> None:
    """Every link leads to a file, every file is linked, every picture is one."""
    page = (folder / "report.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(([^)]+)\)", page))
    present = {path.name for path in folder.iterdir()}
    assert linked == present - {"report.md", "evaluation.json"}
    for name in linked & PICTURES:
        width, height = size_of(folder / name)
        assert width > 400
        assert height > 300
    assert set(json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))["files"]) == present


def test_figures_are_those_of_scikit_learn(rated: Rated) -> None:
    figures = evaluate(rated)
    truth, chances = rated.ranks, rated.probabilities
    answer = chances.argmax(axis=1)
    whole = figures["parts"]["all"]
    assert whole["tracks"] == SONGS
    assert whole["zone"]["accuracy"] == pytest.approx(metrics.accuracy_score(truth, answer), abs=1e-4)
    assert whole["zone"]["majority"] == pytest.approx(np.bincount(truth).max() / SONGS, abs=1e-4)
    for average in ("weighted", "macro"):
        expected = metrics.f1_score(truth, answer, average=average, zero_division=0)
        assert whole["zone"][f"{average}_f1"] == pytest.approx(expected, abs=1e-4)
    low, high = (whole["zone"][f"weighted_f1_{end}"] for end in ("low", "high"))
    assert low < whole["zone"]["weighted_f1"] < high
    drawn = np.random.default_rng(8).integers(0, SONGS, (200, SONGS))
    scores = [metrics.f1_score(truth[at], answer[at], average="weighted", zero_division=0) for at in drawn]
    assert (low, high) == pytest.approx(tuple(np.quantile(scores, (0.025, 0.975))), abs=0.05)
    recalls = metrics.recall_score(truth, answer, average=None, zero_division=0)
    assert list(whole["zone"]["recall"].values()) == pytest.approx(recalls.tolist(), abs=1e-4)
    assert whole["reliability"]["log_loss"] == pytest.approx(metrics.log_loss(truth, chances), abs=1e-4)
    assert whole["rank"]["r2"] == pytest.approx(metrics.r2_score(truth, chances @ [0, 1, 2]), abs=1e-4)
    judging_part = figures["parts"]["judging"]
    honest = rated.data.judging
    assert judging_part["tracks"] == honest.sum() == figures["labels"]["asked_or_confirmed"] == 40
    assert judging_part["zone"]["accuracy"] == pytest.approx(np.mean((truth == answer)[honest]), abs=1e-4)
    assert figures["claimed"]
    assert figures["parts"]["holdout"] == {"tracks": 0, "left_out": "the bundle has no holdout"}
    assert {target["verdict"] for target in figures["targets"]} == {"not judged"}
    assert sum(part["tracks"] for part in figures["by_source"].values()) == SONGS
    assert figures["pretrained"]["lockbox"]["arousal"]["ccc"] > 0.5
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_a_holdout_judges_and_what_was_learned_flatters(tuned: Rated) -> None:
    figures = evaluate(tuned)
    learned, held = judging.split(tuned.data, "7")
    assert figures["labels"]["trained_on"] == len(learned.tracks)
    part = figures["parts"]["holdout"]
    assert part["tracks"] == len(held.tracks)
    assert part["trained_on"] == 0
    inside = tuned.held_out
    right = tuned.probabilities.argmax(axis=1) == tuned.ranks
    assert part["zone"]["accuracy"] == pytest.approx(right[inside].mean(), abs=1e-4)
    notes = "\n".join(figures["notes"])
    assert f"trained on {len(learned.tracks)} of these" in notes
    assert "used 2 times" in notes
    accuracy = figures["targets"][0]
    assert accuracy["reached"] == part["zone"]["accuracy"]
    low = part["zone"]["accuracy_low"]
    assert accuracy["verdict"] == (
        "missed"
        if accuracy["reached"] <= 0.8
        else "met"
        if low > 0.8
        else "met, but so few tracks may be luck"
    )


def test_a_track_that_was_learned_from_leaves_the_holdout(tuned: Rated) -> None:
    manifest = json.loads(json.dumps(tuned.bundle.manifest))
    stray = next(
        track for track, held in zip(tuned.data.tracks, tuned.held_out, strict=True) if held
    ).audio_id
    manifest["trained_on"]["user_audio_ids"].append(stray)
    again = Rated(replace(tuned.bundle, manifest=manifest), tuned.data, tuned.estimates, tuned.windows)
    assert again.held_out.sum() == tuned.held_out.sum() - 1
    del manifest["trained_on"]["user_audio_ids"]
    assert any("doesn't say which tracks" in note for note in evaluate(again)["notes"]) is False
    unknown = Rated(replace(tuned.bundle, manifest=manifest), tuned.data, tuned.estimates, tuned.windows)
    assert any("doesn't say which tracks" in note for note in evaluate(unknown)["notes"])


@pytest.mark.parametrize(("reached", "low", "verdict"), [(0.8, 0.7, "missed"), (None, None, "not judged")])
def test_targets_must_be_passed(reached: float | None, low: float | None, verdict: str) -> None:
    assert judging._verdict(reached, low, 0.8) == verdict


def test_too_few_honest_labels_claim_nothing(rated: Rated) -> None:
    figures = evaluate(some(rated, list(range(50)), origin=LabelOrigin.WEAK))
    assert any("50 labels are weak" in note for note in figures["notes"])
    figures = evaluate(some(rated, list(range(50)), origin=LabelOrigin.CORRECTED))
    assert not figures["claimed"]
    assert "No accuracy is claimed: 0 of the 50 labels" in figures["notes"][0]
    assert figures["parts"]["judging"]["tracks"] == 0
    names = [name for name, _ in judging.figure_rows(figures)]
    assert "accuracy" not in names
    assert "agreement (no claim)" in names


def test_the_whole_report(run: Run, table: Path, rated: Rated, tmp_path: Path) -> None:
    output = tmp_path / "deep" / "report"
    code, out, said = run("analyze", "--data", table, "--output", output, "--jobs", "1")
    assert code == 0, said
    check_report(output)
    assert {path.name for path in output.iterdir()} >= PICTURES
    assert "balanced accuracy" in out
    assert f"{SONGS} labelled tracks" in out
    assert json.loads((output / "evaluation.json").read_text(encoding="utf-8"))["labels"]["tracks"] == SONGS

    wrong = rated.probabilities.argmax(axis=1) != rated.ranks
    listed = {row["path"]: row["label"] for path in output.glob("errors_*.csv") for row in rows_of(path)}
    assert listed == {
        str(track.path): str(track.zone)
        for track, missed in zip(rated.data.tracks, wrong, strict=True)
        if missed
    }
    for row in rows_of(output / "errors_purple.csv"):
        assert row["label"] == "PURPLE" != row["rated"]
        assert float(row["yellow"]) + float(row["green"]) + float(row["purple"]) == pytest.approx(1, abs=1e-3)

    first = [Path(row["path"]).name[:3] for row in rows_of(output / "mislabelled.csv")][:4]
    assert {f"{place:03}" for place in SWAPPED} <= set(first)

    importance = rows_of(output / "feature_importance.csv")
    assert {row["name"] for row in importance if row["is_family"] == "False"} == set(FEATURE_NAMES)
    gains = [float(row["gain"]) for row in importance if row["is_family"] == "False"]
    assert 0.5 < sum(gains) <= 1 + 1e-9

    shift = rows_of(output / "domain_shift.csv")
    assert {row["feature"] for row in shift} == set(FEATURE_NAMES)

    # A second time, over the first: the same in every byte.
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    code, _, said = run("analyze", "--data", table, "--output", output, "--jobs", "1")
    assert code == 0, said
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
    assert [path.name for path in output.parent.iterdir()] == ["report"]


def test_what_is_shuffled_is_what_rates(rated: Rated, tuned: Rated) -> None:
    predict, width = predictor(tuned.bundle)
    assert width == len(HEAD_INPUTS)
    np.testing.assert_allclose(predict(tuned.data.labelled.rows), tuned.probabilities, atol=1e-5)
    predict, width = predictor(rated.bundle)  # clips of 3 s have one window, which is its own mean
    assert width == len(FEATURE_NAMES)
    np.testing.assert_allclose(predict(rated.data.labelled.rows[:, :width]), rated.probabilities, atol=1e-5)


def test_the_report_of_a_bundle_with_a_head(tuned: Rated, tmp_path: Path) -> None:
    report.analyse(tuned, tmp_path / "report", say=lambda line: None)
    check_report(tmp_path / "report")
    importance = rows_of(tmp_path / "report" / "feature_importance.csv")
    assert {row["name"] for row in importance if row["is_family"] == "False"} == set(HEAD_INPUTS)
    by_name = {row["name"]: float(row["rise"]) for row in importance}
    assert by_name["arousal_mean"] > 0.01
    assert by_name["tempo"] == 0, "the head doesn't look at it"
    page = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "the rows that its head sees" in page


@pytest.mark.parametrize("count", [1, 5, 14])
def test_little_is_enough_for_a_report(rated: Rated, tmp_path: Path, count: int) -> None:
    report.analyse(some(rated, list(range(count))), tmp_path / "report", say=lambda line: None)
    check_report(tmp_path / "report")
    page = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert ("are too few" in page) or ("There are too few labels" in page)


def test_as_few_of_each_zone_as_can_be(rated: Rated, tmp_path: Path) -> None:
    chosen = [place for zone in ZONES for place in np.flatnonzero(rated.ranks == zone.rank)[:4].tolist()]
    report.analyse(some(rated, chosen), tmp_path / "report", say=lambda line: None)
    check_report(tmp_path / "report")
    assert "No zone has 5 tracks" in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("zones", [{Zone.YELLOW}, {Zone.YELLOW, Zone.PURPLE}])
@pytest.mark.parametrize("origin", [LabelOrigin.IMPORTED, LabelOrigin.WEAK])
def test_a_missing_zone_is_said(rated: Rated, tmp_path: Path, zones: set[Zone], origin: LabelOrigin) -> None:
    chosen = [place for place, track in enumerate(rated.data.tracks) if track.zone in zones]
    report.analyse(some(rated, chosen, origin=origin), tmp_path / "report", say=lambda line: None)
    check_report(tmp_path / "report")
    page = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    missing = [str(zone) for zone in ZONES if zone not in zones]
    assert f"No track is labelled {' or '.join(missing)}" in page
    assert "no label was asked for or confirmed" in page


def test_a_foreign_folder_is_left_alone(run: Run, table: Path, rated: Rated, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious", encoding="utf-8")
    code, _, said = run("analyze", "--data", table, "--output", tmp_path)
    assert code == 2
    assert "holds something that is no report" in said
    assert (tmp_path / "mine.txt").read_text(encoding="utf-8") == "precious"
    made = tmp_path / "report"
    report.analyse(some(rated, [0, 1]), made, say=lambda line: None)
    report.check_replaceable(made)
    shutil.copy(tmp_path / "mine.txt", made)
    with pytest.raises(UsageError, match=r"mine\.txt"):
        report.check_replaceable(made)
    with pytest.raises(UsageError, match="is a file"):
        report.check_replaceable(tmp_path / "mine.txt")


def test_a_report_that_fails_leaves_the_old_one(
    rated: Rated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "report"
    report.analyse(some(rated, [0, 1]), made, say=lambda line: None)
    before = sorted(made.iterdir())
    monkeypatch.setattr(report, "suspects", None)
    with pytest.raises(TypeError):
        report.analyse(rated, made, say=lambda line: None)
    assert sorted(made.iterdir()) == before
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_evaluate_as_json_is_what_the_table_shows(run: Run, table: Path, rated: Rated) -> None:
    code, out, _ = run("evaluate", "--data", table, "--json", "--jobs", "1")
    assert code == 0
    assert json.loads(out) == evaluate(rated)
    code, out, said = run("evaluate", "--data", table, "--jobs", "1")
    assert code == 0
    assert "target, accuracy over 0.80 on the holdout: not judged" in out + said
    code, _, said = run("evaluate")
    assert code == 2
    assert "--data FILE" in said


def test_zone_map(run: Run, table: Path, rated: Rated, home: Path, tmp_path: Path) -> None:
    picture = tmp_path / "map.png"
    code, _, said = run("zone-map", "--data", table, "--output", picture, "--jobs", "1")
    assert code == 0, said
    assert f"{SONGS} tracks in" in said
    assert min(size_of(picture)) > 400
    by_label = picture.read_bytes()
    code, _, said = run("zone-map", "--library", home / "training.sqlite", "--output", picture)
    assert code == 0, said
    assert f"{SONGS} tracks in" in said
    assert picture.read_bytes() != by_label
    assert [path.name for path in tmp_path.iterdir()] == ["map.png"]


def test_the_librarys_ratings_are_the_bundles(rated: Rated, home: Path) -> None:
    dots = report.dots_of_library(home / "training.sqlite", rated.bundle)
    expected = sorted((estimate.arousal, estimate.zone.rank) for estimate in rated.estimates)
    assert sorted(zip(dots.arousal.tolist(), dots.ranks.tolist(), strict=True)) == expected


def test_zone_map_of_a_head(tuned: Rated, tmp_path: Path) -> None:
    report.draw_zone_map(report.dots_by_label(tuned), tuned.bundle, tmp_path / "map.png")
    assert min(size_of(tmp_path / "map.png")) > 400


def test_zone_map_says_what_is_wrong(run: Run, table: Path, home: Path, tmp_path: Path) -> None:
    library = home / "training.sqlite"
    for arguments, complaint in (
        (("--data", table, "--output", tmp_path / "map.jpg"), "end in .png"),
        (("--output", tmp_path / "map.png"), "--data FILE"),
        (("--data", table, "--library", library, "--output", tmp_path / "map.png"), "not both"),
        (("--library", tmp_path / "none.sqlite", "--output", tmp_path / "map.png"), "moodzone doctor"),
    ):
        code, _, said = run("zone-map", *arguments)
        assert code == 2, said
        assert complaint in said


def test_without_matplotlib_the_cure_is_named(
    run: Run, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for command in ("analyze", "zone-map"):
        code, _, said = run(command, "--data", table, "--output", tmp_path / "x.png")
        assert code == 2
        assert 'pip install "moodzone[trainer]"' in said
    code, _, _ = run("evaluate", "--data", table, "--json", "--jobs", "1")
    assert code == 0, "figures need no pictures"
    with pytest.raises(UsageError):
        plots.check_available()
