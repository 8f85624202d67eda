"""Re-rating from stored features: the same as one by one, in parts that are kept, and without needless flips."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moodzone_agent import rerating
from moodzone_agent.classify.bundle import load_bundle
from moodzone_agent.classify.pool import head_inputs, window_inputs
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.features.spec import FEATURE_NAMES, FEATURES_VERSION
from moodzone_agent.library.store import Analysis, Library
from moodzone_agent.rerating import FLIP_LEAD, rate_stored, rerate, settled
from moodzone_agent.types import ZONES, Cuts, Estimate, Label, LabelOrigin, Zone
from tests.agent.classify.bundles import head_bundle

TRACKS = 600


@pytest.fixture(scope="module")
def model() -> ZoneModel:
    return ZoneModel(load_bundle())


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    rng = np.random.default_rng(0)
    with Library.open(tmp_path / "library.sqlite") as library:
        with library.transaction():
            for number in range(TRACKS):
                windows = rng.normal(0, 1, (number % 5, len(FEATURE_NAMES))).astype(np.float32)
                track = np.zeros(len(FEATURE_NAMES), np.float32)
                library.put_analysis(
                    Analysis(
                        f"{number:03}", 5.0 + 5 * (number % 5), 120.0, (), FEATURES_VERSION, track, windows
                    )
                )
        yield library


def estimate(probabilities: tuple[float, float, float], model: str = "new") -> Estimate:
    return Estimate(probabilities, 5.0, 5.0, sure=True, model=model)


def test_batches_rate_as_one_by_one(library: Library, model: ZoneModel) -> None:
    assert rate_stored(library, model) == TRACKS * 4 // 5
    for audio_id in ("001", "254", "257", "599"):
        analysis, stored = library.analysis(audio_id), library.estimate(audio_id)
        assert analysis is not None
        assert stored is not None
        alone = model.estimate(analysis.windows, model.rate(analysis.windows))
        np.testing.assert_allclose(stored.probabilities, alone.probabilities, atol=1e-5)
        assert stored.arousal == pytest.approx(alone.arousal, abs=1e-4)
        assert stored.model == model.model_id
    assert library.estimate("000") is None
    assert rate_stored(library, model) == 0


def test_windows_that_the_graph_has_seen_are_not_shown_to_it_again(
    library: Library, model: ZoneModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate_stored(library, model)
    seen: list[int] = []
    graph = ZoneModel._run_zones
    monkeypatch.setattr(
        ZoneModel, "_run_zones", lambda self, windows: seen.append(len(windows)) or graph(self, windows)
    )
    headed = ZoneModel(load_bundle(head_bundle(tmp_path / "head")))
    cut = ZoneModel(load_bundle(), Cuts(3.9, 6.1, 4.5))
    assert all(each.estimate.zone is Zone.PURPLE for each in rerate(library, headed))
    assert rate_stored(library, headed) == rate_stored(library, cut) == TRACKS * 4 // 5
    assert seen == []
    for audio_id in ("001", "254", "257", "599"):
        analysis, stored = library.analysis(audio_id), library.estimate(audio_id)
        assert analysis is not None
        assert stored is not None
        alone = cut.estimate(analysis.windows, cut.rate(analysis.windows))
        np.testing.assert_allclose(stored.probabilities, alone.probabilities, atol=1e-5)
    again = library.analysis("001")
    assert again is not None
    library.put_analysis(again)
    seen.clear()
    rate_stored(library, headed)
    assert seen == [1]  # the windows of that track


def test_a_window_is_to_a_head_a_track_of_one_window(model: ZoneModel) -> None:
    features = np.random.default_rng(1).normal(0, 1, (5, len(FEATURE_NAMES))).astype(np.float32)
    rated = model.rate(features)
    for place, row in enumerate(window_inputs(features, rated)):
        alone = slice(place, place + 1)
        np.testing.assert_array_equal(row, head_inputs(features[alone], rated.between(place, place + 1)))


def test_what_is_stored_when_it_is_interrupted_is_kept(
    library: Library, model: ZoneModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = library.put_estimate
    count = 0

    def interrupted(*arguments: object) -> None:
        nonlocal count
        count += 1
        if count == 300:
            raise KeyboardInterrupt
        put(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(library, "put_estimate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rate_stored(library, model)
    monkeypatch.undo()
    kept = library.count_rated()
    assert 0 < kept < 300
    assert rate_stored(library, model) == TRACKS * 4 // 5 - kept


def test_an_error_of_a_thread_comes_through(
    library: Library, model: ZoneModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(rerating, "_rate_batch", fail)
    with pytest.raises(MemoryError):
        rate_stored(library, model)


@pytest.mark.parametrize(
    ("before", "after", "zone"),
    [
        ((0.2, 0.5, 0.3), (0.2, 0.35, 0.45), Zone.GREEN),
        ((0.2, 0.5, 0.3), (0.2, 0.32, 0.48), Zone.PURPLE),
        ((0.2, 0.5, 0.3), (0.1, 0.3, 0.6), Zone.PURPLE),
        ((0.2, 0.5, 0.3), (0.1, 0.6, 0.3), Zone.GREEN),
    ],
)
def test_a_zone_flips_only_with_a_lead(
    before: tuple[float, float, float], after: tuple[float, float, float], zone: Zone
) -> None:
    found = settled(estimate(after), estimate(before, "old"), is_labelled=False)
    assert found.zone is zone
    assert found.probabilities == after
    assert found.sure is (found.kept is None)
    assert settled(estimate(after), estimate(before, "old"), is_labelled=True) == estimate(after)
    assert settled(estimate(after), estimate(before, "new@4/5/6"), is_labelled=False) == estimate(after)
    assert settled(estimate(after), None, is_labelled=False) == estimate(after)


shares = st.tuples(*[st.floats(0.001, 1)] * 3).map(lambda parts: tuple(part / sum(parts) for part in parts))


@given(shares, st.lists(shares, min_size=1, max_size=4))
def test_a_kept_zone_is_never_far_behind(
    first: tuple[float, float, float], later: list[tuple[float, float, float]]
) -> None:
    found = estimate(first, "0")
    for number, probabilities in enumerate(later, 1):
        zone = found.zone
        found = settled(estimate(probabilities, str(number)), found, is_labelled=False)
        assert found.zone in {zone, ZONES[probabilities.index(max(probabilities))]}
        assert max(probabilities) - found.confidence < FLIP_LEAD
        if found.zone is not zone:
            assert max(probabilities) - probabilities[zone.rank] >= FLIP_LEAD


def test_the_library_keeps_zones(library: Library, model: ZoneModel) -> None:
    rate_stored(library, model)
    fresh = {audio_id: library.estimate(audio_id) for audio_id in (f"{n:03}" for n in range(TRACKS))}
    rated = {audio_id: found for audio_id, found in fresh.items() if found is not None}
    close = [
        (audio_id, sorted(ZONES, key=lambda zone: -found.probabilities[zone.rank])[1])
        for audio_id, found in rated.items()
        if max(found.probabilities) - sorted(found.probabilities)[1] < FLIP_LEAD
    ]
    assert len(close) > 2
    for audio_id, zone in close:
        shares = tuple(1.0 if other is zone else 0.0 for other in ZONES)
        library.put_estimate(audio_id, estimate((shares[0], shares[1], shares[2]), "old"), np.empty((0, 2)))
    labelled = close[0][0]
    library.add_label(Label(labelled, Zone.GREEN, LabelOrigin.ASKED, "cli", 0))
    told = {each.track.audio_id: each.estimate.zone for each in rerate(library, model)}
    assert rate_stored(library, model) == len(close)
    for audio_id, zone in close:
        track = library.track(audio_id)
        assert track is not None
        assert track.estimate is not None
        assert track.estimate.zone is told[audio_id]
        assert track.estimate.probabilities == pytest.approx(rated[audio_id].probabilities, abs=1e-5)
        if audio_id == labelled:
            assert track.estimate.kept is None
        else:
            assert track.mark is not None
            assert track.mark.zone is track.estimate.kept is zone
    other_cuts = ZoneModel(load_bundle(), Cuts(3.9, 6.1, 4.5))
    assert rate_stored(library, other_cuts) == len(rated)
    assert all(found is None or found.kept is None for found in map(library.estimate, rated))
