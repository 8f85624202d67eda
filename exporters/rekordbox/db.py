"""rekordbox 6 and 7's own database as a target: colours, comments, playlists and My Tags.

It is read and written only with the user's consent, one each in the settings. Tracks are never added, and sticks
have databases of their own, which nothing here opens. A track has three places: the comment, the colour and one for
lists, which stands for the playlists in the folder MoodZone and for the My Tags of the category MoodZone. Both are
written alike. A correction may be made in either: see `exporters.rekordbox.db_rows.lists_of`.

Undo puts values back. Then rows are as they were, but for ``rb_local_usn`` and ``updated_at`` of those that were
changed, and for the count of all changes. A colour or comment that was NULL is ``0`` or empty, as rekordbox has it.
Where a playlist was brought in line with a My Tag, or the reverse, it stays so.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from exporters.atomic import replace_content
from exporters.backup import backup_folder
from exporters.base import (
    Change,
    Collection,
    Field,
    Machine,
    Place,
    Sighting,
    Target,
    Want,
    Withheld,
    WriteStatus,
    comparable,
)
from exporters.census import Census, take_census
from exporters.database import reading, writing
from exporters.filesystem import explain
from exporters.lists import FOLDER, list_of
from exporters.planning import expect_three, marks_in, plan_colour, plan_text, plan_value
from exporters.programs import REKORDBOX
from exporters.rekordbox.cipher import connect, copy_database, is_installed, translated
from exporters.rekordbox.db_rows import (
    MY_TAGS,
    PLAYLISTS,
    ListPlace,
    ListRow,
    RowWriter,
    Track,
    has_folder,
    lists_of,
    playlists_of_ours,
    tracks_of,
    version_of,
)
from exporters.rekordbox.hints import hints
from exporters.rekordbox.master_playlists import NAME, with_playlists
from exporters.undo import COLLECTION
from moodzone_agent.errors import CollectionError, FileError
from moodzone_agent.types import Zone

if TYPE_CHECKING:
    from exporters.journal import Run
    from exporters.programs import Program

_NOT_HELD: Final = "rekordbox's collection does not hold it; import the file there"
_FIELDS: Final = (Field.TEXT, Field.COLOUR, Field.LIST)
_CONSENTS: Final = (
    ("read", "May MoodZone look for your corrections in a copy of rekordbox's database?"),
    ("write", "May it also write zones into rekordbox's database, while rekordbox is closed?"),
)
_FOLDERS: Final = (("Library", "Pioneer"), ("AppData", "Roaming", "Pioneer"))
"""Under the home folder, on macOS and on Windows."""


class RekordboxDbColour(StrEnum):
    """The eight colours that rekordbox has for tracks, by the names in its database."""

    PINK = "Pink"
    RED = "Red"
    ORANGE = "Orange"
    YELLOW = "Yellow"
    GREEN = "Green"
    AQUA = "Aqua"
    BLUE = "Blue"
    PURPLE = "Purple"

    @property
    def id(self) -> str:
        """As ``djmdContent.ColorID`` keeps it: the ID of its row in ``djmdColor``, 1 to 8."""
        return str(1 + list(RekordboxDbColour).index(self))


@dataclass(frozen=True, slots=True)
class RekordboxDbSettings:
    """What MoodZone may do with rekordbox's database, and which colours it gives.

    - ``read``: look into a copy of it, for corrections.
    - ``write``: change it, while rekordbox is closed. It is then read, too.
    - ``database``: where it is; empty to look in rekordbox's folder.
    """

    read: bool = False
    write: bool = False
    database: str = ""
    yellow: RekordboxDbColour = RekordboxDbColour.YELLOW
    green: RekordboxDbColour = RekordboxDbColour.GREEN
    purple: RekordboxDbColour = RekordboxDbColour.PURPLE

    def __post_init__(self) -> None:
        expect_three(self.colours, "rekordbox_db")

    @property
    def colours(self) -> dict[Zone, str]:
        """The zones' colours as the database keeps them."""
        return {Zone.YELLOW: self.yellow.id, Zone.GREEN: self.green.id, Zone.PURPLE: self.purple.id}


@dataclass(frozen=True, slots=True)
class _Content:
    """What was read of a database."""

    version: str
    tracks: dict[str, Track]
    lists: dict[str, ListPlace]
    folders: tuple[str, ...]

    @classmethod
    def read(cls, connection: sqlite3.Connection) -> _Content:
        version = version_of(connection)
        there = [f"{FOLDER}{what}" for shelf, what in _KINDS if has_folder(connection, shelf)]
        return cls(version, tracks_of(connection), lists_of(connection), tuple(there))

    def track(self, path: Path) -> Track | None:
        return self.tracks.get(comparable(path))

    def list_place(self, track: Track | None) -> ListPlace:
        return self.lists.get(track.id, ListPlace()) if track else ListPlace()

    def value(self, track: Track | None, field: Field) -> str:
        if track is None:
            return ""
        if field is Field.LIST:
            return self.list_place(track).value
        return track.comment if field is Field.TEXT else track.colour


_KINDS: Final = ((PLAYLISTS, ""), (MY_TAGS, " (My Tag)"))


class RekordboxDb(Collection):
    """One ``master.db``, with the ``masterPlaylists6.xml`` beside it. A track that it doesn't hold has no places."""

    target: ClassVar[str] = "rekordbox-db"
    program: ClassVar[Program | None] = REKORDBOX
    is_store: ClassVar[bool] = True
    carries: ClassVar[frozenset[Field]] = frozenset(_FIELDS)

    def __init__(self, path: Path, settings: RekordboxDbSettings) -> None:
        super().__init__(Path(os.path.abspath(path)), settings.colours)  # noqa: PTH100 (a link stays a link)
        self._settings = settings

    def version(self) -> str:
        """The database's, such as 6000."""
        return self._read().version

    def census(self, ours: Callable[[Place], frozenset[str]] = lambda _: frozenset()) -> Census:
        """Comments, and colours as ``ColorID`` keeps them."""
        content = self._read()
        rows = []
        for track in content.tracks.values():
            is_ours = track.colour in ours(Place(track.path, Field.COLOUR))
            rows.append((track.path, track.comment, "" if is_ours else track.colour))
        return take_census(rows, content.folders)

    def read(self, among: frozenset[Path] | None = None) -> Iterator[Sighting]:
        """Three places of each track whose file can be on this machine."""
        content = self._read()
        for track in content.tracks.values():
            for field in _FIELDS if among is None or track.path in among else ():
                value = content.value(track, field)
                yield Sighting(Place(track.path, field), value, marks_in(field, value, self.colours))

    def preview(self, wants: Iterable[Want]) -> Iterator[Change]:
        """One change each for comment, colour and lists."""
        content = self._read()
        for want in wants:
            track = content.track(want.path)
            if want.mark and track is None:
                yield Change(want, Field.TEXT, "", "").skipped(_NOT_HELD)
                continue
            yield plan_text(want, content.value(track, Field.TEXT))
            yield plan_colour(want, content.value(track, Field.COLOUR), self.colours)
            yield _plan_lists(want, content.list_place(track))

    def write(self, changes: Sequence[Change], run: Run, backups: Path) -> Iterator[Change]:
        """As every collection. Raises CollectionError, too, where the settings don't allow it."""
        if not self._settings.write:
            raise CollectionError(
                "MoodZone may not write to rekordbox's database: allow it by `write = true` under [rekordbox_db] in "
                "the settings."
            )
        return super().write(changes, run, backups)

    def files(self) -> list[Path]:
        """The database, what stands beside it until it is written into it, and the XML of the playlists."""
        return [self.path, self.path.with_name(f"{self.path.name}-wal"), self._xml]

    def back_up(self, backups: Path, label: str) -> None:
        """Keep a copy of the database, made by SQLite and encrypted as it is, and one of the XML.

        As any use of the database does, this takes in what a program that crashed left in its ``-wal``.
        """
        with backup_folder(backups, label, self.path) as folder:
            copy_database(self.path, folder / self.path.name)
            if self._xml.exists():
                shutil.copy2(self._xml, folder)

    def _apply(self, changes: list[Change], run: Run) -> Iterator[Change]:
        kept: list[Change] = []
        done: list[Change] = []  # filled under the lock; the journal gets what is in it at the end
        with translated(self.path), writing(self.path, run, self.name, done, connect) as connection:
            content = _Content.read(connection)
            for change in changes:
                track = content.track(change.want.path)
                found = content.value(track, change.field)
                if found != change.before:
                    kept.append(change.kept(found))
                elif track is None:
                    kept.append(change.skipped(_NOT_HELD))
                else:
                    done.append(change)
            removed = _change_rows(connection, content, done)
            playlists = playlists_of_ours(connection)
        yield from kept
        yield from done
        self._update_xml(playlists, removed, run)

    def _update_xml(self, playlists: list[ListRow], removed: list[int], run: Run) -> None:
        """Let the XML follow the database. What is missing there after a failure comes with the next write."""
        if not self._xml.exists():
            return
        try:
            old = self._xml.read_bytes()
            new = with_playlists(old, playlists, removed)
            if new != old:
                replace_content(self._xml, old, new, run, note={COLLECTION: self.name})
        except (OSError, CollectionError, FileError) as error:
            reason = explain(error) if isinstance(error, OSError) else str(error)
            raise CollectionError(
                f"{self.path} was written, but {self._xml} could not follow ({reason}): see to that file; the next "
                "write adds what it lacks."
            ) from error

    @property
    def _xml(self) -> Path:
        return self.path.with_name(NAME)

    def _read(self) -> _Content:
        if not (self._settings.read or self._settings.write):
            raise CollectionError(
                "MoodZone may not read rekordbox's database: allow it by `read = true` under [rekordbox_db] in the "
                "settings."
            )
        with translated(self.path), reading(self.path, connect) as connection:
            return _Content.read(connection)


def _change_rows(connection: sqlite3.Connection, content: _Content, changes: list[Change]) -> list[int]:
    """Carry out changes; returns the IDs of the playlists that went."""
    rows = RowWriter(connection)
    lists: dict[str, str] = {}
    for change in changes:
        track = content.tracks[comparable(change.want.path)]
        match change.field:
            case Field.TEXT:
                rows.set_comment(track, change.after)
            case Field.COLOUR:
                rows.set_colour(track, change.after)
            case _:
                lists[track.id] = change.after
    rows.put_in_lists(PLAYLISTS, lists)
    rows.put_in_lists(MY_TAGS, lists)
    return rows.removed


def _plan_lists(want: Want, place: ListPlace) -> Change:
    """The change of the lists. Where one of the two kinds holds the zone already, the other follows if it is ours."""
    change = plan_value(want, Field.LIST, place.value, list_of(want.mark))
    if change.status is WriteStatus.UNCHANGED and place.stale in want.ours.get(Field.LIST, ()):
        return replace(change, status=WriteStatus.WRITTEN, ours=change.after)
    return change


def _find(machine: Machine, settings: RekordboxDbSettings) -> list[Collection]:
    """The database of the settings, or rekordbox's own; nothing without consent or without the extra."""
    if not (settings.read or settings.write) or not is_installed():
        return []
    return [RekordboxDb(path, settings) for path in _paths(machine, settings)]


def _withheld(machine: Machine, settings: RekordboxDbSettings) -> list[Withheld]:
    """The same databases where consent or the extra is missing. Consent is asked for once the extra is there."""
    cures = []
    if not is_installed():
        cures.append('install what opens it by `pip install "moodzone[rekordbox]"`')
    if not (settings.read or settings.write):
        cures.append("allow it by `read = true` or `write = true` under [rekordbox_db] in the settings")
    consents = _CONSENTS if is_installed() else ()
    return [Withheld(path, "; ".join(cures), consents) for path in _paths(machine, settings) if cures]


def _paths(machine: Machine, settings: RekordboxDbSettings) -> list[Path]:
    named = [Path(settings.database).expanduser()] if settings.database else []
    paths = named or [machine.home.joinpath(*parts, "rekordbox", "master.db") for parts in _FOLDERS]
    return [path for path in paths if path.exists()]


TARGET: Final[Target[RekordboxDbSettings]] = Target(
    name=RekordboxDb.target,
    shown_in="rekordbox 6 and 7, in its own database",
    carries=RekordboxDb.carries,
    find=_find,
    open=lambda path, _, settings: RekordboxDb(path, settings),
    after=(
        "Colours, comments, playlists and My Tags show at rekordbox's next start.",
        *hints(RekordboxDbColour.YELLOW, RekordboxDbColour.GREEN, RekordboxDbColour.PURPLE),
        "A copy of the database was made before; `moodzone undo` takes back what was written, value by value.",
        "rekordbox shows four columns of My Tags: name one of them MoodZone before the first write. Else a fifth is",
        "made, and whether that shows is not known.",
    ),
    program=REKORDBOX,
    withheld=_withheld,
)
