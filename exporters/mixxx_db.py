"""Mixxx's own library, ``mixxxdb.sqlite``: colours of tracks, and a crate a zone.

The schema's version stands in the table ``settings``; 32 is that of Mixxx 2.3, 39 that of 2.5. ``library.color`` is
0xRRGGBB or NULL, ``library.location`` the number of a row of ``track_locations``, crates stand side by side and have
unique names. ``crate_tracks`` refers to a table ``library_old`` that Mixxx has dropped, so SQLite cannot check its
foreign keys. Sources: Mixxx's ``res/schema.xml``, databases made by Mixxx 2.3.3.

Comments are only read. They come from the files, where the tags' target writes them, and Mixxx may write its own copy
back to the file: a second token would only be an echo of the first.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from exporters.base import Change, Collection, Field, Machine, Target, Want, comparable
from exporters.database import DatabaseCollection, Track
from exporters.lists import FOLDER, LISTS, joined_lists, moves
from exporters.planning import expect_three
from exporters.programs import MIXXX
from moodzone_agent.errors import CollectionError, UsageError
from moodzone_agent.types import Zone

_FILE: Final = "mixxxdb.sqlite"
_VERSIONS: Final = ("32", "39")
_FOLDERS: Final = (
    ".mixxx",
    "Library/Containers/org.mixxx.mixxx/Data/Library/Application Support/Mixxx",
    "Library/Application Support/Mixxx",
    "AppData/Local/Mixxx",
)
"""Where Mixxx keeps its settings, from the user's home: on Linux, macOS (in its sandbox and without), Windows."""


@dataclass(frozen=True, slots=True)
class MixxxSettings:
    """Where the database is, and the zones' colours as ``RRGGBB``: Mixxx takes any."""

    database: str = ""
    """Empty where Mixxx keeps it by itself."""
    yellow: str = "FFFF00"
    green: str = "00CC00"
    purple: str = "8800CC"

    def __post_init__(self) -> None:
        for colour in (self.yellow, self.green, self.purple):
            if not re.fullmatch("[0-9A-Fa-f]{6}", colour):
                raise UsageError(
                    f'a colour of [mixxx] in the settings is six hexadecimal digits like "FFFF00", not {colour!r}'
                )
        expect_three(self.colours, "mixxx")

    @property
    def colours(self) -> dict[Zone, str]:
        """The colours by zone."""
        return {
            Zone.YELLOW: self.yellow.upper(),
            Zone.GREEN: self.green.upper(),
            Zone.PURPLE: self.purple.upper(),
        }


class MixxxCollection(DatabaseCollection):
    """A database of Mixxx."""

    target: ClassVar[str] = "mixxx"
    program = MIXXX
    is_store: ClassVar[bool] = True
    carries: ClassVar[frozenset[Field]] = frozenset({Field.COLOUR, Field.LIST})
    checks_foreign_keys: ClassVar[bool] = False

    def __init__(self, path: Path, settings: MixxxSettings) -> None:
        super().__init__(Path(os.path.abspath(path)), settings.colours)  # noqa: PTH100 (a link stays a link)

    def _version(self, connection: sqlite3.Connection) -> str:
        row = connection.execute("SELECT value FROM settings WHERE name = 'mixxx.schema.version'").fetchone()
        version = str(row["value"]) if row else "unknown"
        if version not in _VERSIONS:
            raise CollectionError(
                f"{self.path} has schema {version}; MoodZone knows {' and '.join(_VERSIONS)} (Mixxx 2.3 and 2.5): "
                "use one of these, or a MoodZone that knows it."
            )
        return f"schema {version}"

    def _tracks(self, connection: sqlite3.Connection) -> Iterator[Track]:
        crates: dict[int, list[str]] = {}
        for name in LISTS:
            for row in connection.execute(
                "SELECT track_id FROM crate_tracks WHERE crate_id = (SELECT id FROM crates WHERE name = ?)",
                (_crate_name(name),),
            ):
                crates.setdefault(row["track_id"], []).append(name)
        for row in connection.execute(
            "SELECT l.id, t.location, l.comment, l.color FROM library l JOIN track_locations t ON t.id = l.location"
        ):
            values = {
                Field.COLOUR: _hex(row["color"]),
                Field.LIST: joined_lists(crates.get(row["id"], ())),
            }
            yield Track(row["id"], Path(row["location"]), str(row["comment"] or ""), values)

    def _lists(self, connection: sqlite3.Connection) -> list[str]:
        there = {row["name"] for row in connection.execute("SELECT name FROM crates")}
        return [name for name in map(_crate_name, LISTS) if name in there]

    def _put(
        self, connection: sqlite3.Connection, tracks: Mapping[str, Track], changes: Sequence[Change]
    ) -> None:
        def number(want: Want) -> int:
            return tracks[comparable(want.path)].id

        connection.executemany(
            "UPDATE library SET color = ? WHERE id = ?",
            [
                (int(change.after, 16) if change.after else None, number(change.want))
                for change in changes
                if change.field is Field.COLOUR
            ],
        )
        moved = [change for change in changes if change.field is Field.LIST]
        for name in LISTS:
            taken, added = moves(name, moved)
            # In this order, since a crate that is left empty goes, with all that the user set for it.
            _put_in(connection, _crate_name(name), [number(want) for want in added])
            _take_out(connection, _crate_name(name), [number(want) for want in taken])


def _put_in(connection: sqlite3.Connection, crate: str, tracks: Sequence[int]) -> None:
    """Put tracks into a crate, which is made where it is missing."""
    if not tracks:
        return
    connection.execute("INSERT OR IGNORE INTO crates (name) VALUES (?)", (crate,))
    connection.executemany(
        "INSERT INTO crate_tracks (crate_id, track_id) SELECT id, ? FROM crates WHERE name = ?",
        [(track, crate) for track in tracks],
    )


def _take_out(connection: sqlite3.Connection, crate: str, tracks: Sequence[int]) -> None:
    """Take tracks out of a crate; one that is left empty goes, unless the user locked it or feeds Auto DJ from it."""
    if not tracks:
        return
    connection.executemany(
        "DELETE FROM crate_tracks WHERE track_id = ? AND crate_id = (SELECT id FROM crates WHERE name = ?)",
        [(track, crate) for track in tracks],
    )
    connection.execute(
        "DELETE FROM crates WHERE name = ? AND locked = 0 AND autodj_source = 0"
        " AND id NOT IN (SELECT crate_id FROM crate_tracks)",
        (crate,),
    )


def _crate_name(name: str) -> str:
    return f"{FOLDER} {name}"


def _hex(colour: object) -> str:
    if colour is None:
        return ""
    return f"{colour:06X}" if isinstance(colour, int) else str(colour)


def _find(machine: Machine, settings: MixxxSettings) -> list[Collection]:
    paths = [machine.home / folder / _FILE for folder in _FOLDERS]
    if settings.database:
        paths.insert(0, Path(settings.database).expanduser())
    return [MixxxCollection(path, settings) for path in dict.fromkeys(paths) if path.is_file()]


def _open(path: Path, _: Machine, settings: MixxxSettings) -> Collection:
    return MixxxCollection(path / _FILE if path.is_dir() else path, settings)


TARGET: Final[Target[MixxxSettings]] = Target(
    name=MixxxCollection.target,
    shown_in="Mixxx's library",
    carries=MixxxCollection.carries,
    find=_find,
    open=_open,
    after=(
        "Mixxx shows colours and crates at its next start.",
        "There, Import From File Tags on a track takes its colour away again.",
    ),
    program=MIXXX,
)
