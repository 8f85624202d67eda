"""A bundle's ratings beside a user's labels: the figures, what they may claim, and the mission's targets."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from moodzone_agent.classify.bundle import Bundle
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.features.spec import FEATURE_NAMES, FEATURES_VERSION
from moodzone_agent.learning import MIN_TO_CLAIM
from moodzone_agent.library.store import Library
from moodzone_agent.types import ZONES, Cuts, Estimate, LabelOrigin, Zone
from trainer.datasets.user import UserLabels
from trainer.finetuning.user_rows import UserData, split, user_data
from trainer.judgement.evaluate import classification, regression, reliability, rounded, wilson

FloatArray = NDArray[np.float64]
Ranks = NDArray[np.intp]

PARTS: Final = {
    "all": "all labels",
    "judging": "asked or confirmed",
    "holdout": "holdout",
}
"""Parts of the labels that get figures of their own, with their titles."""
ACCURACY_TARGET: Final = 0.80
F1_TARGET: Final = 0.78
RECALL_TARGET: Final = 0.85
"""Of PURPLE."""
_RESAMPLES: Final = 1000
_WINDOWS_OF_A_TRACK: Final = 10
"""So many at most, evenly spaced, stand for a track in comparisons of features, so that long tracks don't prevail."""


@dataclass(frozen=True)
class Rated:
    """Labelled tracks, and what a bundle says of them."""

    bundle: Bundle
    data: UserData
    estimates: tuple[Estimate, ...]
    """[L]."""
    windows: NDArray[np.float32]
    """[N, F], some windows of each track."""

    @property
    def ranks(self) -> Ranks:
        """[L], of the labels."""
        return self.data.labelled.ranks

    @cached_property
    def probabilities(self) -> FloatArray:
        """[L, 3]."""
        return np.array([estimate.probabilities for estimate in self.estimates]).reshape(-1, len(ZONES))

    @cached_property
    def trained_on(self) -> NDArray[np.bool_]:
        """[L], whether the bundle learned from this track's label, as far as its manifest says."""
        known = set(self._learned.get("user_audio_ids") or ())
        return np.array([track.audio_id in known for track in self.data.tracks], np.bool_)

    @property
    def tells_its_tracks(self) -> bool:
        """Whether it is known which tracks the bundle learned from; without a head it learned from none."""
        return self.bundle.head_model is None or "user_audio_ids" in self._learned

    @cached_property
    def held_out(self) -> NDArray[np.bool_]:
        """[L], whether the track is in the bundle's holdout, if it has one, and was indeed not learned from."""
        salt = self.holdout.get("salt")
        held = {track.audio_id for track in split(self.data, salt)[1].tracks}
        inside = np.array([track.audio_id in held for track in self.data.tracks], np.bool_)
        return inside & ~self.trained_on

    @property
    def holdout(self) -> Mapping[str, Any]:
        """What the manifest says of it: the ``salt`` by which it was drawn, if it was; how often it was ``used``."""
        holdout = self.bundle.manifest.get("holdout")
        return holdout if isinstance(holdout, dict) else {}

    @property
    def _learned(self) -> Mapping[str, Any]:
        learned = self.bundle.manifest.get("trained_on")
        return learned if isinstance(learned, dict) else {}


def bundle_cuts(bundle: Bundle) -> Cuts:
    """Where the bundle's zones lie in the plane; for a head, where those of its pretrained part did."""
    return Cuts(**bundle.manifest.get("cuts", {}))


def rate_labelled(labels: UserLabels, library: Library, bundle: Bundle) -> Rated:
    """Rate the labelled tracks, all of which must be analysed in the library. Errors: `BundleError`, `LibraryError`."""
    model = ZoneModel(bundle, bundle_cuts(bundle))
    estimates, windows = [], [np.empty((0, len(FEATURE_NAMES)), np.float32)]
    for track in labels.tracks:
        analysis = library.analysis(track.audio_id, FEATURES_VERSION)
        assert analysis is not None
        estimates.append(model.estimate(analysis.windows, model.rate(analysis.windows)))
        last = len(analysis.windows) - 1
        chosen = np.unique(np.linspace(0, last, min(_WINDOWS_OF_A_TRACK, last + 1)).astype(int))
        windows.append(analysis.windows[chosen])
    return Rated(bundle, user_data(labels, library, model), tuple(estimates), np.concatenate(windows))


def evaluate(rated: Rated) -> dict[str, Any]:
    """All figures, ready for JSON: what can't be had is None, or a part with the reason as ``left_out``."""
    tracks = rated.data.tracks
    honest = int(rated.data.judging.sum())
    claimed = honest >= MIN_TO_CLAIM
    none = (
        "the bundle has no holdout"
        if rated.holdout.get("salt") is None
        else "none of these tracks is in the bundle's holdout"
    )
    parts = {
        "all": _part(rated, np.ones(len(tracks), np.bool_), "there are no labels"),
        "judging": _part(rated, rated.data.judging, "no label was asked for or confirmed"),
        "holdout": _part(rated, rated.held_out, none),
    }
    result: dict[str, Any] = _without_nan(
        {
            "model": rated.bundle.model_id,
            "labels": {
                "tracks": len(tracks),
                "zones": {str(zone): int(np.sum(rated.ranks == zone.rank)) for zone in ZONES},
                "origins": dict(Counter(str(track.origin) for track in tracks)),
                "asked_or_confirmed": honest,
                "trained_on": int(rated.trained_on.sum()),
            },
            "claimed": claimed,
            "notes": _notes(rated, claimed=claimed),
            "parts": parts,
            "by_source": _by_source(rated),
            "targets": _targets(parts["holdout"], claimed=claimed),
            "pretrained": _pretrained(rated.bundle),
        }
    )
    return result


def _part(rated: Rated, chosen: NDArray[np.bool_], otherwise: str) -> dict[str, Any]:
    if not chosen.any():
        return {"tracks": 0, "left_out": otherwise}
    ranks, probabilities = rated.ranks[chosen], rated.probabilities[chosen]
    answer = probabilities.argmax(axis=1)
    return {
        "tracks": int(chosen.sum()),
        "trained_on": int((chosen & rated.trained_on).sum()),
        "zones": {str(zone): int(np.sum(ranks == zone.rank)) for zone in ZONES},
        "zone": rounded(classification(ranks, answer))
        | dict(zip(("weighted_f1_low", "weighted_f1_high"), _f1_interval(ranks, answer), strict=True)),
        "reliability": rounded(reliability(ranks, probabilities)),
        "rank": _rank_regression(ranks, probabilities),
    }


def _f1_interval(truth: Ranks, answer: Ranks) -> tuple[float, float]:
    """In which the weighted F1 lies with 95 % confidence, by the bootstrap (Efron 1979)."""
    drawn = np.random.default_rng(0).integers(0, len(truth), (_RESAMPLES, len(truth)))
    total = np.zeros(_RESAMPLES)
    for zone in ZONES:
        wanted, given = truth[drawn] == zone.rank, answer[drawn] == zone.rank
        found = (wanted & given).sum(axis=1)
        of_zone = wanted.sum(axis=1)
        total += of_zone * 2 * found / np.maximum(1, of_zone + given.sum(axis=1))
    low, high = np.quantile(total / len(truth), (0.025, 0.975))
    return round(float(low), 4), round(float(high), 4)


def _rank_regression(ranks: Ranks, probabilities: FloatArray) -> dict[str, Any] | None:
    """Of the expected rank, 0 to 2, beside the label's; None where either never varies."""
    expected = probabilities @ np.arange(len(ZONES), dtype=np.float64)
    if np.ptp(ranks) == 0 or np.ptp(expected) == 0:
        return None
    return rounded(regression(ranks.astype(np.float64), expected))


def _by_source(rated: Rated) -> dict[str, Any]:
    right = rated.probabilities.argmax(axis=1) == rated.ranks
    origins = np.array([str(track.origin) for track in rated.data.tracks])
    result = {}
    for origin in LabelOrigin:
        chosen = right[origins == origin]
        if chosen.size:
            low, high = wilson(float(chosen.mean()), chosen.size)
            result[str(origin)] = {
                "tracks": int(chosen.size),
                "accuracy": round(float(chosen.mean()), 4),
                "accuracy_low": round(low, 4),
                "accuracy_high": round(high, 4),
            }
    return result


def _targets(holdout: Mapping[str, Any], *, claimed: bool) -> list[dict[str, Any]]:
    """The mission's targets beside the holdout's figures."""
    zone = holdout.get("zone")
    purple = str(Zone.PURPLE)
    recall = zone["recall"][purple] if zone else math.nan
    recall_low = None
    if not math.isnan(recall):
        recall_low = wilson(recall, holdout["zones"][purple])[0]
    named = (
        ("accuracy", ACCURACY_TARGET, zone and zone["accuracy"], zone and zone["accuracy_low"]),
        ("weighted F1", F1_TARGET, zone and zone["weighted_f1"], zone and zone["weighted_f1_low"]),
        (f"recall of {purple}", RECALL_TARGET, recall, recall_low),
    )
    return [
        {
            "figure": figure,
            "over": over,
            "reached": reached,
            "verdict": _verdict(reached, low, over) if claimed else "not judged",
        }
        for figure, over, reached, low in named
    ]


def _verdict(reached: float | None, low: float | None, over: float) -> str:
    if reached is None or math.isnan(reached):
        return "not judged"
    if reached <= over:
        return "missed"
    return "met, but so few tracks may be luck" if low is not None and low <= over else "met"


def _pretrained(bundle: Bundle) -> dict[str, Any]:
    """What the manifest says of its regressors, which a user's labels can't judge."""
    metrics = bundle.manifest.get("metrics")
    result = {}
    for part in ("cv", "lockbox"):
        figures = metrics.get(part) if isinstance(metrics, dict) else None
        if isinstance(figures, dict) and {"arousal", "valence"} <= figures.keys():
            result[part] = {target: figures[target] for target in ("arousal", "valence")}
    return result


def _notes(rated: Rated, *, claimed: bool) -> list[str]:
    """Sentences without which the figures would say more than they may."""
    notes = []
    honest, learned = int(rated.data.judging.sum()), int(rated.trained_on.sum())
    if not claimed:
        notes.append(
            f"No accuracy is claimed: {honest} of the {len(rated.data.tracks)} labels were asked for or confirmed, "
            f"{MIN_TO_CLAIM} are needed. The figures tell how far model and labels agree, no more."
        )
    if learned:
        notes.append(
            f"The model was trained on {learned} of these tracks. Figures that include them flatter; only the "
            "holdout is honest."
        )
    elif not rated.tells_its_tracks:
        notes.append(
            "The bundle doesn't say which tracks it was trained on: if these are among them, the figures flatter."
        )
    used = rated.holdout.get("used")
    if isinstance(used, int) and used > 1:
        notes.append(f"The holdout was used {used} times; each use makes it a little less honest.")
    weak = sum(track.origin is LabelOrigin.WEAK for track in rated.data.tracks)
    if weak:
        notes.append(f"{weak} labels are weak: where the model differs, they may be wrong.")
    missing = [str(zone) for zone in ZONES if not np.any(rated.ranks == zone.rank)]
    if missing:
        notes.append(f"No track is labelled {' or '.join(missing)}, so nothing is known about it.")
    return notes


def _without_nan(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def figure_rows(evaluation: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Lines of a table: the name of a figure, then its value for each of `PARTS`."""
    parts = [evaluation["parts"][part] for part in PARTS]
    accuracy = "accuracy" if evaluation["claimed"] else "agreement (no claim)"
    rows = [
        ("tracks", [f"{part['tracks']:,}" for part in parts]),
        ("  trained on", [f"{part.get('trained_on', 0):,}" for part in parts]),
        (accuracy, [_shown(part, "zone", "accuracy") for part in parts]),
        ("  95 % interval", [_interval(part, "accuracy") for part in parts]),
        ("  of the commonest zone alone", [_shown(part, "zone", "majority") for part in parts]),
        ("weighted F1", [_shown(part, "zone", "weighted_f1") for part in parts]),
        ("  95 % interval", [_interval(part, "weighted_f1") for part in parts]),
    ]
    named: list[tuple[str, tuple[str, ...]]] = [
        ("balanced accuracy", ("zone", "balanced_accuracy")),
        ("macro F1", ("zone", "macro_f1")),
        *((f"recall of {zone}", ("zone", "recall", str(zone))) for zone in ZONES),
        ("YELLOW-PURPLE confusions", ("zone", "yellow_purple_confusions")),
        ("expected calibration error", ("reliability", "calibration_error")),
        ("log loss", ("reliability", "log_loss")),
        ("coverage at 80 % accuracy", ("reliability", "coverage_at_80")),
        ("expected rank (0 to 2): R²", ("rank", "r2")),
        ("  RMSE", ("rank", "rmse")),
        ("  Pearson", ("rank", "pearson")),
        ("  CCC", ("rank", "ccc")),
    ]
    return rows + [(name, [_shown(part, *keys) for part in parts]) for name, keys in named]


def _shown(part: Mapping[str, Any], *keys: str) -> str:
    value: Any = part
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return "–" if value is None else f"{value:.3f}"


def _interval(part: Mapping[str, Any], figure: str) -> str:
    low, high = (_shown(part, "zone", f"{figure}_{end}") for end in ("low", "high"))
    return "–" if low == "–" else f"{low}–{high}"
