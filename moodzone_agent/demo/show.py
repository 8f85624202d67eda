"""The demonstration: the whole loop, on music made up for it, in a folder that goes away again."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from exporters.base import Want, WriteStatus
from exporters.journal import Journal
from exporters.tags.edit import read_state
from moodzone_agent.classify.bundle import load_bundle
from moodzone_agent.classify.session import ZoneModel
from moodzone_agent.config import Places, Settings
from moodzone_agent.console import ScanProgress, track_table, zone_text
from moodzone_agent.demo.encode import write_audio
from moodzone_agent.demo.music import Song, compose, render_blocks
from moodzone_agent.errors import UsageError
from moodzone_agent.library.store import Library
from moodzone_agent.machine import open_collection
from moodzone_agent.pipeline import scan
from moodzone_agent.types import Label, LabelOrigin, Zone
from moodzone_agent.undoing import undo_run
from moodzone_agent.workers import default_jobs
from moodzone_agent.writing import wanted, write_zones

_ENDINGS: Final = (".mp3", ".flac", ".m4a", ".ogg", ".opus", ".aiff", ".wav", ".mp3", ".flac")
_SECONDS: Final = 75.0
_WIDTH: Final = 100


@dataclass(frozen=True, slots=True)
class _Demo:
    """One demonstration in its folder."""

    console: Console
    music: Path
    places: Places
    model: ZoneModel
    settings: Settings

    def run(self) -> bool:
        """All steps; whether every file was at the end what it was at the beginning."""
        songs = self._compose()
        before = _digests(self.music)
        with Library.open(self.places.library) as library:
            self._rate(library)
            self._write(library, "2. Zones go into the comments; what stood there stays")
            self._correct(library, songs)
            self._write(library, "3. You say that one of them is PURPLE; it is written")
            self._undo(library)
        same = _digests(self.music) == before
        self.console.print(
            Text("✓ every file is byte for byte what it was", "green")
            if same
            else Text("✗ some files differ from what they were", "bold red")
        )
        return same

    def _compose(self) -> list[Song]:
        songs = [
            compose(seed, energy=index / (len(_ENDINGS) - 1), duration=_SECONDS)
            for index, seed in enumerate(range(7, 7 + len(_ENDINGS)))
        ]
        with self.console.status("Making up nine tracks, from calm to hard ..."):
            for song, ending in zip(songs, _ENDINGS, strict=True):
                write_audio(
                    self.music / f"{song.title}{ending}",
                    render_blocks(song),
                    tags={"title": song.title, "artist": song.artist} | _comment(ending),
                )
        return songs

    def _rate(self, library: Library) -> None:
        self._heading("1. Nine synthesised tracks, rated")
        with ScanProgress(self.console) as progress:
            for result in scan(
                [self.music], library, self.model, jobs=default_jobs(), on_plan=progress.follow
            ):
                progress.name(result.path)
        tracks = [track for track in library.tracks() if track.estimate]
        tracks.sort(key=lambda track: track.estimate.arousal if track.estimate else 0)
        self.console.print(track_table(tracks))

    def _write(self, library: Library, heading: str) -> None:
        self._heading(heading)
        table = Table(box=None, header_style="dim", padding=(0, 1))
        for name in ("File", "Comment before", "Comment after"):
            table.add_column(name)
        with Journal(self.places.journal).start("write") as run:
            wants = [want for want in wanted(library, [self.music]) if isinstance(want, Want)]
            tags = open_collection("tags", self.music, library, self.settings)
            for result in write_zones(wants, tags, library, run, self.places.backups):
                state = read_state(result.path)
                if result.status is WriteStatus.WRITTEN and state.mark:
                    after = Text(state.text)
                    after.highlight_regex(r"#\S+", zone_text(state.mark.zone).style)
                    table.add_row(result.path.name, Text(result.before), after)
        self.console.print(table)

    def _correct(self, library: Library, songs: list[Song]) -> None:
        """Label the most energetic song that isn't PURPLE."""
        by_title = {track.title: track for track in library.tracks()}
        for song in reversed(songs):
            track = by_title.get(song.title)
            if track is not None and track.mark is not None and track.mark.zone is not Zone.PURPLE:
                library.add_label(Label(track.audio_id, Zone.PURPLE, LabelOrigin.CORRECTED, "demo", 0))
                return

    def _undo(self, library: Library) -> None:
        self._heading("4. Undo takes both writes back")
        journal = Journal(self.places.journal)
        for _ in range(2):
            results = undo_run(library, journal, self.settings, self.places.backups)
            outcome = results[0].outcome if results else "files"
            self.console.print(f"{len(results)} {outcome}", highlight=False)

    def _heading(self, text: str) -> None:
        self.console.print(Text(f"\n{text}", "bold"))


def run_demo(*, keep: Path | None, svg: Path | None) -> int:
    """Show the whole loop; returns the exit code, 0 if every file came back byte for byte.

    Errors: `UsageError` if the folder to keep things in exists already.
    """
    console = Console(record=svg is not None, width=_WIDTH if svg else None)
    if keep is not None:
        try:
            keep.mkdir(parents=True)
        except OSError as error:
            raise UsageError(f"{keep} cannot be made ({error.strerror}); name a new folder") from error
        fine = _run_in(keep.absolute(), console)
    else:
        with tempfile.TemporaryDirectory(prefix="moodzone-demo-") as folder:
            fine = _run_in(Path(folder), console)
    if svg is not None:
        console.save_svg(str(svg), title="moodzone demo")
    return 0 if fine else 1


def _run_in(folder: Path, console: Console) -> bool:
    music = folder / "music"
    music.mkdir()
    return _Demo(console, music, Places.under(folder), ZoneModel(load_bundle()), Settings()).run()


def _comment(ending: str) -> dict[str, str]:
    """A comment as Mixed In Key leaves it, where FFmpeg's writer puts comments where DJ software does."""
    return {"comment": "8A - 7"} if ending in {".flac", ".m4a", ".ogg", ".opus"} else {}


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}
