"""A model card: what a bundle's manifest says of it, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from moodzone_agent.classify.bundle import Bundle

CARD: Final = "CARD.md"

_SECTIONS: Final = {"cv": "cross-validation", "lockbox": "lockbox"}
_ROWS: Final = (
    ("zone accuracy", ("zone", "accuracy")),
    ("of always answering the commonest zone", ("zone", "majority")),
    ("balanced accuracy", ("zone", "balanced_accuracy")),
    ("macro F1", ("zone", "macro_f1")),
    ("recall of YELLOW", ("zone", "recall", "YELLOW")),
    ("recall of GREEN", ("zone", "recall", "GREEN")),
    ("recall of PURPLE", ("zone", "recall", "PURPLE")),
    ("YELLOW taken for PURPLE or the reverse", ("zone", "yellow_purple_confusions")),
    ("arousal R²", ("arousal", "r2")),
    ("valence R²", ("valence", "r2")),
)


def model_card(bundle: Bundle) -> str:
    """Markdown: data, licence, figures beside the majority baseline, limits. What a manifest lacks is left out."""
    parts = [
        f"# Model {bundle.model_id}",
        "Rates the energy of music: YELLOW low, GREEN in between, PURPLE high.",
        "## Data and licence\n\n" + "\n".join(_data(bundle.manifest)),
        "## Figures\n\n" + "\n".join(_figures(bundle)),
        "## Limits\n\n" + "\n".join(f"- {limit}" for limit in _limits(bundle)),
    ]
    return "\n\n".join(parts) + "\n"


def _data(manifest: Mapping[str, Any]) -> Iterator[str]:
    trained_on = manifest.get("trained_on")
    if not isinstance(trained_on, Mapping) or not trained_on:
        yield "The manifest doesn't say what it was trained on."
        return
    for name, value in trained_on.items():
        if isinstance(value, list):
            continue  # of audio ids, for programs
        if isinstance(value, Mapping):
            shown = ", ".join(f"{key} {count}" for key, count in value.items()) or "none"
        else:
            shown = f"{value:,}" if isinstance(value, int) else str(value)
        yield f"- {name.replace('_', ' ')}: {shown}"


def _figures(bundle: Bundle) -> Iterator[str]:
    metrics = bundle.manifest.get("metrics")
    sections = metrics if isinstance(metrics, Mapping) else {}
    shown = {
        name: values for name, values in sections.items() if _at(values, ("zone", "accuracy")) is not None
    }
    if shown:
        heads = (
            _SECTIONS.get(name, name) + (f", {songs:,} songs" if isinstance(songs, int) else "")
            for name, values in shown.items()
            for songs in [_at(values, ("zone", "songs"))]
        )
        yield "| | " + " | ".join(heads) + " |"
        yield "|---" * (len(shown) + 1) + "|"
        for row, keys in _ROWS:
            values = [_at(figures, keys) for figures in shown.values()]
            if any(value is not None for value in values):
                cells = (f"{value:.3f}" if isinstance(value, (int, float)) else "" for value in values)
                yield f"| {row} | " + " | ".join(cells) + " |"
        yield ""
    else:
        yield "The manifest holds no figures.\n"
    yield f"Estimates with a confidence of at least {bundle.sure_from:.2f} are called sure."


def _limits(bundle: Bundle) -> Iterator[str]:
    trained_on = bundle.manifest.get("trained_on")
    if isinstance(trained_on, Mapping) and "DEAM" in str(trained_on.get("data", "")):
        yield (
            "DEAM's songs are of all genres, and few are dance music: how far the figures hold for a DJ's library "
            "is not known."
        )
    if bundle.head_model is not None:
        yield "It has learned one user's zones from that user's labels; it says little of other music and other ears."
    if bundle.accepts_cuts:
        yield "Where the zones lie is a setting (`[zones]`, `moodzone calibrate`); the figures are for the usual cuts."
    yield f"It works with version {bundle.manifest['features_version']} of the features only."


def _at(values: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        if not isinstance(values, Mapping) or key not in values:
            return None
        values = values[key]
    return values
