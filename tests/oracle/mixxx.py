"""A real Mixxx, on a display that nobody sees, and what its library says afterwards.

Each start has a settings folder and a home of its own. What keeps it free of dialogs: the folder of music stands in
the database beforehand, and ALSA's default device is one that swallows all sound.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

PROGRAMS: Final = ("mixxx", "Xvfb", "xdotool")
"""What has to be installed; `.ci/oracle` does it."""

_PATIENCE: Final = 120.0
"""Seconds, for a machine that does much else."""
_STEP: Final = 0.2
_TRIES: Final = 5
_GIVEN_UP: Final = "Failed to add track to library"
_NOBODY: Final = "1"
"""X's PointerRoot, which is no window."""
_ALSA: Final = "pcm.!default { type null }\nctl.!default { type null }\n"
_CONFIG: Final = "[Library]\nRescanOnStartup 1\n"
_TRAKTOR_LAST: Final = "ShowRekordboxLibrary 0\nShowSeratoLibrary 0\n"
"""Leaves Traktor as the last entry of the side bar."""


@dataclass(frozen=True, slots=True)
class Track:
    """A row of Mixxx's library."""

    artist: str
    title: str
    """Empty where Mixxx shows the file's name instead."""
    genre: str
    comment: str
    grouping: str
    color: int | None


@dataclass(frozen=True, slots=True)
class Cue:
    """A cue point or loop that a user can press."""

    hotcue: int
    position: float
    length: float
    color: int
    label: str


class Mixxx:
    """Mixxx with one folder of music. Its folder ``home`` is what Mixxx takes for the user's."""

    def __init__(self, folder: Path, music: Path) -> None:
        self.home = folder / "home"
        self._settings = folder / "settings"
        self._music = music
        self.database = self._settings / "mixxxdb.sqlite"
        self._output = folder / "output.txt"
        self._settings.mkdir(parents=True)
        self.home.mkdir(mode=0o700)
        (self.home / ".asoundrc").write_text(_ALSA)

    def scan(self, count: int, *load: Path) -> None:
        """Start Mixxx, let its library find ``count`` tracks, load up to two into the decks, end.

        Where its scanner and its main window write at the same moment, Mixxx gives tracks up that it could not
        add, and remembers their folder as scanned. It then begins once more with the database as it was.
        """
        self._prepare()
        before = self.database.read_bytes()
        for _ in range(_TRIES):
            if self._scan(count, load):
                return
            self.database.with_name(f"{self.database.name}-journal").unlink(missing_ok=True)
            self.database.write_bytes(before)
        raise AssertionError(f"Mixxx could not add all {count} tracks in {_TRIES} starts")

    def serato_crates(self, count: int) -> dict[str, list[Path]]:
        """The tracks of the database and the crates in the home's ``Music/_Serato_``, by their names.

        Mixxx reads them when its user opens the database in the side bar, into tables that it drops when it starts.
        """
        self._prepare()
        with closing(sqlite3.connect(self.database)) as database, database:
            database.execute("DELETE FROM serato_playlists")  # what an earlier run left
        with self.running() as running:
            running.until(
                lambda: len(self._rows("SELECT id FROM serato_playlists")) >= count or running.open_serato()
            )
            rows = self._rows(
                "SELECT p.name, l.location FROM serato_playlists p"
                " LEFT JOIN serato_playlist_tracks t ON t.playlist_id = p.id"
                " LEFT JOIN serato_library l ON l.id = t.track_id ORDER BY p.name, t.position"
            )
        crates: dict[str, list[Path]] = {}
        for name, location in rows:
            crates.setdefault(Path(name).stem, []).extend([] if location is None else [Path(location)])
        return crates

    def traktor(self, count: int) -> tuple[dict[str, list[str]], dict[str, str]]:
        """Playlists, at least ``count``, and comments of the newest Traktor's collection in the home's ``Documents``.

        Playlists are named by the way to them, such as ``-->Folder-->Name``, tracks by volume and path; one that
        the collection does not hold is an empty text. Mixxx reads it when its user opens it in the side bar.
        """
        self._prepare()
        (self._settings / "mixxx.cfg").write_text(_CONFIG + _TRAKTOR_LAST)
        with closing(sqlite3.connect(self.database)) as database, database:
            database.execute("DELETE FROM traktor_playlists")  # what an earlier run left
        with self.running() as running:
            running.until(
                lambda: len(self._rows("SELECT id FROM traktor_playlists")) >= count or running.open_traktor()
            )
            rows = self._rows(
                "SELECT p.name, l.location FROM traktor_playlists p"
                " JOIN traktor_playlist_tracks t ON t.playlist_id = p.id"
                " LEFT JOIN traktor_library l ON l.id = t.track_id ORDER BY p.name, t.position"
            )
            comments = dict(self._rows("SELECT location, comment FROM traktor_library"))
        playlists: dict[str, list[str]] = {}
        for name, location in rows:
            playlists.setdefault(name, []).append(location or "")
        return playlists, comments

    def tracks(self) -> dict[Path, Track]:
        """The library, as the last run left it."""
        rows = self._rows(
            "SELECT t.location, l.artist, l.title, l.genre, l.comment, l.grouping, l.color"
            " FROM library l JOIN track_locations t ON t.id = l.location"
        )
        return {
            Path(location): Track(
                artist or "",
                "" if title == Path(location).stem else title,
                genre or "",
                comment or "",
                grouping or "",
                color,
            )
            for location, artist, title, genre, comment, grouping, color in rows
        }

    def crates(self) -> dict[str, set[Path]]:
        """The crates, with their tracks."""
        rows = self._rows(
            "SELECT c.name, t.location FROM crates c LEFT JOIN crate_tracks ct ON ct.crate_id = c.id"
            " LEFT JOIN library l ON l.id = ct.track_id LEFT JOIN track_locations t ON t.id = l.location"
        )
        crates: dict[str, set[Path]] = {}
        for name, location in rows:
            crates.setdefault(name, set()).update([Path(location)] if location is not None else [])
        return crates

    def cues(self, path: Path) -> list[Cue]:
        """The cues of a track that have a number, by that."""
        rows = self._rows(
            "SELECT c.hotcue, c.position, c.length, c.color, c.label FROM cues c"
            " JOIN library l ON l.id = c.track_id JOIN track_locations t ON t.id = l.location"
            " WHERE c.hotcue >= 0 AND t.location = ? ORDER BY c.hotcue, c.id",
            str(path),
        )
        return [Cue(*row) for row in rows]

    def _prepare(self) -> None:
        """Give Mixxx a database of its own making, with the folder of music in it."""
        if self.database.exists():
            return
        with self.running() as running:
            running.until(
                lambda: bool(
                    self._rows("SELECT name FROM sqlite_master WHERE name = 'serato_playlist_tracks'")
                )
            )
        (self._settings / "mixxx.cfg").write_text(_CONFIG)
        with closing(sqlite3.connect(self.database)) as database, database:
            database.execute("INSERT INTO directories VALUES (?)", (str(self._music),))

    def _scan(self, count: int, load: Sequence[Path]) -> bool:
        """Whether Mixxx added all tracks."""

        def has_all() -> bool:
            return len(self._rows("SELECT id FROM library")) >= count

        with self.running(*load) as running:
            running.until(lambda: running.has_said(_GIVEN_UP) or has_all())
            if load and has_all():
                running.until(lambda: all(self._is_loaded(path) for path in load))
                running.quit()
        return has_all()

    def _is_loaded(self, path: Path) -> bool:
        """Whether the waveform of a track was kept, the last thing that comes of loading it."""
        return bool(
            self._rows(
                "SELECT a.id FROM track_analysis a JOIN library l ON l.id = a.track_id"
                " JOIN track_locations t ON t.id = l.location WHERE t.location = ?",
                str(path),
            )
        )

    def _rows(self, query: str, *values: str) -> list[tuple]:  # type: ignore[type-arg]
        """What the database says; nothing as long as Mixxx has not made it, or is writing."""
        if not self.database.exists():
            return []
        try:
            with closing(sqlite3.connect(f"{self.database.as_uri()}?mode=ro", uri=True)) as database:
                return database.execute(query, values).fetchall()
        except sqlite3.OperationalError:
            return []

    @contextmanager
    def running(self, *load: Path) -> Iterator[_Running]:
        """Mixxx on a display of its own; ended, if it still runs, without being asked."""
        environment = {
            "HOME": str(self.home),
            "LC_ALL": "C.UTF-8",
            "LIBGL_ALWAYS_SOFTWARE": "1",
            "PATH": os.environ["PATH"],
            "XDG_RUNTIME_DIR": str(self.home),
        }
        with self._output.open("wb") as output, _display(output) as display:
            environment["DISPLAY"] = display
            command = ["mixxx", "--settingsPath", str(self._settings), *map(str, load)]
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
            with _ended(process):
                yield _Running(process, environment, self._output)


class _Running:
    """A Mixxx that runs, and a user in front of it."""

    def __init__(
        self, process: subprocess.Popen[bytes], environment: Mapping[str, str], output: Path
    ) -> None:
        self._process = process
        self._environment = environment
        self._output = output

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something. Raises AssertionError where it does not come about, or Mixxx ends before."""
        end = time.monotonic() + _PATIENCE
        while not condition():
            self._expect(is_so=time.monotonic() < end and self._process.poll() is None)
            time.sleep(_STEP)

    def has_said(self, text: str) -> bool:
        """Whether a message of Mixxx's holds this text."""
        return text in self._output.read_text(errors="replace")

    def quit(self) -> None:
        """Have Mixxx save everything and end."""
        end = time.monotonic() + _PATIENCE
        while self._process.poll() is None and time.monotonic() < end:
            self._press("ctrl+q")
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STEP)
        self._expect(is_so=self._process.poll() == 0)

    def open_serato(self) -> bool:
        """One step down the side bar, whose last entry is Serato, to the last database in that.

        Mixxx looks for databases, and fills the one that was chosen, in its own time. So this is to be repeated;
        False, so that it can stand in a condition.
        """
        self._press("ctrl+f", "Tab", "End", "Right")
        return False

    def open_traktor(self) -> bool:
        """One step to the last entry of the side bar, which is Traktor; as `open_serato`."""
        self._press("ctrl+f", "Tab", "End", "Up", "Down")
        return False

    def _expect(self, *, is_so: bool) -> None:
        if not is_so:
            said = self._output.read_text(errors="replace")[-4000:]
            raise AssertionError(f"Mixxx, with exit code {self._process.poll()}, said:\n{said}")

    def _press(self, *keys: str) -> bool:
        """Whether the main window was there to press keys in it.

        A window that has the focus already would not hear of getting it, so it is taken away before.
        """
        command = ["xdotool", "search", "--onlyvisible", "--name", "^Mixxx$", "windowfocus"]
        command += ["key", "--delay", "50", *keys]
        for step in (["xdotool", "windowfocus", _NOBODY], command):
            done = subprocess.run(step, env=self._environment, capture_output=True, check=False)
        return done.returncode == 0


@contextmanager
def _display(output: BinaryIO) -> Iterator[str]:
    """A display that nobody sees; its name."""
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1600x1200x24", "-nolisten", "tcp"]
    with os.fdopen(reader) as numbers:
        try:
            process = subprocess.Popen(command, pass_fds=[writer], stdout=output, stderr=output)
        finally:
            os.close(writer)
        with _ended(process):
            yield f":{numbers.readline().strip()}"


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Ends the process in the end."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
