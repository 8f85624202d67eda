"""Music made up for a user who has labelled it: zones follow the energy."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx

from moodzone_agent.classify.bundle import HEAD_MODEL, MANIFEST, PRETRAINED, Bundle, load_bundle
from moodzone_agent.demo.encode import write_audio
from moodzone_agent.demo.music import compose, render
from moodzone_agent.types import Zone
from trainer.export.head import head_to_onnx
from trainer.finetuning.finetune import Recipe, tune
from trainer.finetuning.strategies import Labelled, load_base


def make_labelled_music(
    folder: Path, *, songs: int, seconds: float = 3.0, swapped: tuple[int, ...] = ()
) -> Path:
    """Clips of two songs an artist, of all energies, and ``labels.csv`` with paths, zones and origins; returns it.

    The songs at the places `swapped` are labelled YELLOW in place of PURPLE, or the reverse. Two of three labels were
    asked for, the rest is imported.
    """
    folder.mkdir(parents=True)
    energies = np.random.default_rng(11).permutation(np.linspace(0, 1, songs))
    rows = ["path,zone,origin"]
    for place, energy in enumerate(energies.tolist()):
        zone = Zone.YELLOW if energy < 1 / 3 else Zone.PURPLE if energy > 2 / 3 else Zone.GREEN
        if place in swapped:
            zone = Zone.PURPLE if energy < 0.5 else Zone.YELLOW
        samples = render(compose(place, energy=energy, duration=seconds), rate=22_050)
        name = f"{place:03} {energy:.2f}.flac"
        write_audio(folder / name, samples, rate=22_050, tags={"artist": f"Artist {place // 2}"})
        rows.append(f"{name},{zone},{'imported' if place % 3 == 2 else 'asked'}")
    table = folder / "labels.csv"
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return table


def make_head_bundle(
    folder: Path, labels: Labelled, *, audio_ids: list[str] | None = None, salt: str | None = None
) -> Bundle:
    """A copy of the bundle that ships, with a head tuned on these labels, and what its manifest tells of them."""
    shutil.copytree(PRETRAINED, folder)
    head = tune(labels, load_base(load_bundle()), Recipe(strategy="logistic")).head
    onnx.save(head_to_onnx(head), folder / HEAD_MODEL)
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    manifest["files"][HEAD_MODEL] = hashlib.sha256((folder / HEAD_MODEL).read_bytes()).hexdigest()
    manifest["id"] = "user-test"
    if audio_ids is not None:
        manifest["trained_on"]["user_audio_ids"] = audio_ids
    if salt is not None:
        manifest["holdout"] = {"salt": salt, "used": 2}
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return load_bundle(folder)
