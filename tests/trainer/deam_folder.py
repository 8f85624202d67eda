"""A small folder in DEAM's official layout, with synthesised music whose labels follow its energy."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from moodzone_agent.demo.encode import write_audio
from moodzone_agent.demo.music import compose, render


def make_deam(
    folder: Path, *, songs: int = 60, audio: bool = True, exchanged: bool = True, seconds: float = 5.0
) -> dict[int, tuple[float, float]]:
    """Write it; returns song id to true (arousal, valence). A third of the songs have ids up to 1000.

    With `exchanged`, those have their labels exchanged in the static file, as the release has.
    """
    static = folder / "annotations" / "annotations averaged per song" / "song_level"
    dynamic = static.with_name("dynamic (per second annotations)")
    for directory in (static, dynamic, folder / "MEMD_audio", folder / "metadata"):
        directory.mkdir(parents=True)
    rng = np.random.default_rng(5)
    ids = [*range(1, songs // 3 + 1), *range(1001, 1001 + songs - songs // 3)]
    truth = {}
    rows = ["song_id, valence_mean, valence_std, arousal_mean, arousal_std"]
    samples = ",".join(f"sample_{ms}ms" for ms in range(15_000, 40_000, 500))
    arousal_rows, valence_rows = ([f"song_id,{samples}"] for _ in range(2))
    metadata = ["song_id,artist,album,title,Genre,,"]
    for index, song in enumerate(ids):
        energy = float(rng.random())
        arousal, valence = 2 + 6 * energy, float(rng.uniform(2, 8))
        truth[song] = arousal, valence
        first, second = (arousal, valence) if exchanged and song <= 1000 else (valence, arousal)
        rows.append(f"{song},{first:.3f},0.9,{second:.3f},1.1")
        arousal_rows.append(f"{song}" + f",{(arousal - 5) / 4:.4f}" * 50)
        valence_rows.append(f"{song}" + f",{(valence - 5) / 4:.4f}" * 49 + ",")
        metadata.append(f"{song},\tArtist {index // 2}\t, An album, A title, with a comma,Electronic,,")
        path = folder / "MEMD_audio" / f"{song}.flac"
        if audio:
            samples = render(compose(song, energy=energy, duration=seconds), rate=22_050)
            write_audio(path, samples, rate=22_050)
        else:
            path.touch()
    _write(static / "static_annotations_averaged_songs_1_2000.csv", rows)
    _write(dynamic / "arousal.csv", arousal_rows)
    _write(dynamic / "valence.csv", valence_rows)
    _write(folder / "metadata" / "metadata_2014.csv", metadata)
    return truth


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
