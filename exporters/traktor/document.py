"""Traktor's collection (NML): its tracks with colours and comments, and edits of them.

``NML`` holds ``COLLECTION`` with an ``ENTRY`` for each track, and ``PLAYLISTS``. An ``ENTRY`` holds ``LOCATION`` and
``INFO``, of which ``COLOR`` is 1 to 7, 0 or not there for none, and ``COMMENT`` the first of two comments. Versions
15 (Traktor 2), 19 (2 and 3) and 20 (Pro 4) are alike in this. Source: collections of Traktor 2 and 3.

Left out are tracks whose path is none of this machine (a drive letter on macOS). Of several ENTRYs with one path
the first tells what stands there; all that hold the same are edited.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PureWindowsPath
from typing import Final

from exporters.base import Change, Field, comparable
from exporters.traktor.lists import Track, TraktorLists
from exporters.traktor.location import Location, from_location
from exporters.xml.splice import Element, parse, without_garbage_collection
from moodzone_agent.errors import CollectionError

VERSIONS: Final = ("15", "19", "20")
"""The versions that are known."""

_ATTRIBUTES: Final = {Field.TEXT: "COMMENT", Field.COLOUR: "COLOR"}
_NO_COLOUR: Final = "0"


class TraktorDocument:
    """A document that was read, and its edits. Raises CollectionError for one that is damaged or no such document.

    ``system`` are the names of the system's volume, as in `from_location`.
    """

    @without_garbage_collection()
    def __init__(self, data: bytes, system: frozenset[str]) -> None:
        self._xml = parse(data)
        self._system = system
        self.version = _known_version(self._xml.root)
        self.tracks: dict[str, Track] = {}
        """By comparable path, in the document's order."""
        self._keys: dict[str, Track] = {}
        self._read_tracks()
        self.lists = TraktorLists(self._xml, lambda key: self._keys.get(_composed(key)))
        self._membership = self.lists.membership()

    def track(self, path: Path) -> Track | None:
        """The track with this path."""
        return self.tracks.get(comparable(path))

    def value(self, track: Track | None, field: Field) -> str:
        """What stands in a place; empty where nothing does."""
        if track is None:
            return ""
        if field is Field.LIST:
            return self._membership.get(track, "")
        return _value(track.infos[0], field) if track.infos else ""

    @without_garbage_collection()
    def carry_out(self, changes: Iterable[Change]) -> None:
        """Edit places, each of which is there and holds what its change expects."""
        moves: list[tuple[Track, str, str]] = []
        for change in changes:
            track = self.tracks[comparable(change.want.path)]
            if change.field is Field.LIST:
                moves.append((track, change.before, change.after))
            else:
                self._edit(track, change)
        self.lists.move(moves)

    def to_bytes(self) -> bytes:
        """The document with its edits. Raises CollectionError where the result couldn't be proven."""
        return self._xml.to_bytes()

    def _read_tracks(self) -> None:
        for location, entry in self._entries():
            path = from_location(location, self._system)
            if path is None or isinstance(path, PureWindowsPath) != (os.name == "nt"):
                continue
            track = self.tracks.setdefault(comparable(path), Track(Path(path), location.key))
            info = entry.child("INFO")
            if info is not None:
                track.infos += (info,)
            self._keys[_composed(location.key)] = track

    def _entries(self) -> Iterator[tuple[Location, Element]]:
        """Every track of the collection, and where it is."""
        collection = self._xml.root.child("COLLECTION")
        for entry in collection.children if collection is not None else ():
            location = entry.child("LOCATION")
            if entry.tag == "ENTRY" and location is not None:
                yield _location(location.attributes), entry

    def _edit(self, track: Track, change: Change) -> None:
        name = _ATTRIBUTES[change.field]
        for info in track.infos:
            if _value(info, change.field) != change.before:
                continue  # a duplicate with a value of its own
            if change.after or not _was_added(info, name):
                self._xml.set_attribute(info, name, change.after)
            else:
                self._xml.remove_attribute(info, name)


def _known_version(root: Element) -> str:
    if root.tag != "NML":
        raise CollectionError(f"It is no collection of Traktor, but {root.tag}. Name its collection.nml.")
    version = root.attributes.get("VERSION", "")
    if version not in VERSIONS:
        raise CollectionError(
            f"It is in version {version or '(none)'} of Traktor's NML, and only {', '.join(VERSIONS)} are known. "
            "Look for a newer MoodZone."
        )
    return version


def _location(attributes: Mapping[str, str]) -> Location:
    return Location(*(attributes.get(name, "") for name in ("DIR", "FILE", "VOLUME")))


def _composed(key: str) -> str:
    return unicodedata.normalize("NFC", key)


def _value(info: Element, field: Field) -> str:
    value = info.attributes.get(_ATTRIBUTES[field], "")
    return "" if field is Field.COLOUR and value == _NO_COLOUR else value


def _was_added(info: Element, name: str) -> bool:
    """Whether we gave the element an attribute, as its place at the end tells: Traktor puts COMMENT midway."""
    names = list(info.attributes)
    return name == "COLOR" or (name in names and set(names[names.index(name) + 1 :]) <= {"COLOR"})
