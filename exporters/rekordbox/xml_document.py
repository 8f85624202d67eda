"""A rekordbox XML (DJ_PLAYLISTS 1.0.0): its tracks with comments and colours, and edits of them.

``DJ_PLAYLISTS`` holds ``PRODUCT``, ``COLLECTION`` with a ``TRACK`` each, and ``PLAYLISTS``. rekordbox refuses a
``COLLECTION`` whose ``Entries`` isn't the number of its tracks. ``Colour`` is ``0xRRGGBB``, and not there where a
track has none. Source: Pioneer's "xml_format_list.pdf", and exports of 5.6 to 6.6.

Left out are tracks of streaming services and those whose path is none of this machine (a drive letter on
Linux). Of several TRACKs with one Location the first tells what stands there; all that hold the same are edited.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path, PureWindowsPath
from typing import Final

from exporters.base import Change, Field, Want, comparable
from exporters.rekordbox.location import from_location, to_location
from exporters.rekordbox.xml_lists import RekordboxLists, Track
from exporters.xml.splice import Element, new_element, parse, without_forbidden
from moodzone_agent.errors import CollectionError

VERSION: Final = "1.0.0"
MADE_BY_US: Final = "MoodZone"
"""The name of the product in a document that is no export, but was made by us."""
NEW: Final = f"""\
<?xml version="1.0" encoding="UTF-8"?>

<DJ_PLAYLISTS Version="{VERSION}">
  <PRODUCT Name="{MADE_BY_US}"/>
  <COLLECTION Entries="0"/>
  <PLAYLISTS>
    <NODE Type="0" Name="ROOT" Count="0"/>
  </PLAYLISTS>
</DJ_PLAYLISTS>
""".encode()
"""A document without tracks."""

_ATTRIBUTES: Final = {Field.TEXT: "Comments", Field.COLOUR: "Colour"}
_KINDS: Final = {".aif": "AIFF", ".aifc": "AIFF"}


class RekordboxDocument:
    """A document that was read, and its edits. Raises CollectionError for one that is damaged or no such document."""

    def __init__(self, data: bytes) -> None:
        self._xml = parse(data)
        root = self._xml.root
        _expect_known(root)
        self.tracks: dict[str, Track] = {}
        """By comparable path, in the document's order."""
        self._ids: dict[str, Track | None] = {}
        self._collection = root.child("COLLECTION")
        self._read_tracks()
        self.lists = RekordboxLists(self._xml, self._track_of_key)
        self._membership = self.lists.membership()

    @property
    def product(self) -> str:
        """The name and version of the program that wrote it."""
        product = self._xml.root.child("PRODUCT")
        if product is None:
            return ""
        return " ".join(filter(None, map(product.attributes.get, ("Name", "Version"))))

    @property
    def takes_tracks(self) -> bool:
        """Whether tracks may be added: in a document that we made. An export shows what rekordbox holds."""
        product = self._xml.root.child("PRODUCT")
        named = product is not None and product.attributes.get("Name") == MADE_BY_US
        return named and self._collection is not None

    def track(self, path: Path) -> Track | None:
        """The track with this path."""
        return self.tracks.get(comparable(path))

    def value(self, track: Track | None, field: Field) -> str:
        """What stands in a place; empty where nothing does."""
        if track is None:
            return ""
        if field is Field.LIST:
            return self._membership.get(track, "")
        return _value(track.elements[0], field)

    def carry_out(self, changes: Iterable[Change]) -> None:
        """Edit places, of which each holds what its change expects; a track that isn't there is added."""
        by_track: dict[str, dict[Field, Change]] = {}
        for change in changes:
            by_track.setdefault(comparable(change.want.path), {})[change.field] = change
        moves: list[tuple[Track, str, str]] = []
        for key, fields in by_track.items():
            track = self.tracks.get(key)
            if track is None:
                track = self._add(next(iter(fields.values())).want, fields)
            else:
                self._edit(track, fields)
            if Field.LIST in fields:
                moves.append((track, fields[Field.LIST].before, fields[Field.LIST].after))
        self.lists.move(moves)
        self._count()

    def to_bytes(self) -> bytes:
        """The document with its edits. Raises CollectionError where the result couldn't be proven."""
        return self._xml.to_bytes()

    def _read_tracks(self) -> None:
        for element in self._elements():
            track_id = element.attributes.get("TrackID", "")
            if not track_id or track_id in self._ids:
                raise CollectionError(
                    f"It has a track without TrackID, or with that of another ({track_id!r}). Export it anew."
                )
            location = element.attributes.get("Location", "")
            path = _path(location)
            track = None
            if path is not None:
                track = self.tracks.setdefault(comparable(path), Track(path, track_id, location))
                track.elements += (element,)
            self._ids[track_id] = track

    def _elements(self) -> list[Element]:
        children = self._collection.children if self._collection is not None else []
        return [child for child in children if child.tag == "TRACK"]

    def _track_of_key(self, key: str, *, is_location: bool) -> Track | None:
        """The track that a playlist names; None where the collection has none that is a file here."""
        if not is_location:
            return self._ids.get(key)
        path = _path(key)
        return None if path is None else self.track(path)

    def _edit(self, track: Track, fields: Mapping[Field, Change]) -> None:
        for field, name in _ATTRIBUTES.items():
            change = fields.get(field)
            if change is None:
                continue
            for element in track.elements:
                if _value(element, field) != change.before:
                    continue  # a duplicate with a value of its own
                if change.after or not _was_added(element, name):
                    self._xml.set_attribute(element, name, change.after)
                else:
                    self._xml.remove_attribute(element, name)

    def _add(self, want: Want, fields: Mapping[Field, Change]) -> Track:
        assert self._collection is not None
        track = Track(want.path, self._free_id(), to_location(want.path))
        values = {
            name: fields[field].after
            for field, name in _ATTRIBUTES.items()
            if field in fields and fields[field].after
        }
        attributes = {"TrackID": track.track_id, **_about(want), "Location": track.location, **values}
        self._xml.append_child(self._collection, new_element("TRACK", attributes))
        self.tracks[comparable(want.path)] = self._ids[track.track_id] = track
        return track

    def _free_id(self) -> str:
        number = len(self._ids) + 1
        while str(number) in self._ids:
            number += 1
        return str(number)

    def _count(self) -> None:
        if self._collection is not None:
            added = sum(not track.elements for track in self.tracks.values())
            self._xml.set_attribute(self._collection, "Entries", str(len(self._elements()) + added))


def _expect_known(root: Element) -> None:
    if root.tag != "DJ_PLAYLISTS":
        raise CollectionError(
            f"It is no XML of rekordbox, but of {root.tag}. Name the file that rekordbox exported."
        )
    version = root.attributes.get("Version", "")
    if version != VERSION:
        raise CollectionError(
            f"It is in version {version or '(none)'} of rekordbox's XML, and only {VERSION} is known. "
            "Look for a newer MoodZone."
        )


def _path(location: str) -> Path | None:
    """The file of this machine that a Location names."""
    path = from_location(location)
    if path is None or isinstance(path, PureWindowsPath) != (os.name == "nt"):
        return None
    return Path(path)


def _value(element: Element, field: Field) -> str:
    value = element.attributes.get(_ATTRIBUTES[field], "")
    if field is Field.COLOUR and value[:2].lower() == "0x":
        return "0x" + value[2:].upper()
    return value


def _was_added(element: Element, name: str) -> bool:
    """Whether we gave the element an attribute, as its place at the end tells: rekordbox puts Comments midway."""
    names = list(element.attributes)
    return name == "Colour" or set(names[names.index(name) + 1 :]) <= {"Colour"}


def _about(want: Want) -> dict[str, str]:
    """What a new track shows besides its zone."""
    suffix = want.path.suffix.lower()
    about = {
        "Name": without_forbidden(want.title or want.path.stem),
        "Artist": without_forbidden(want.artist),
        "Kind": f"{_KINDS.get(suffix, without_forbidden(suffix[1:]).upper())} File",
    }
    with suppress(OSError):
        about["Size"] = str(want.path.stat().st_size)
    if want.duration is not None:
        about["TotalTime"] = str(round(want.duration))
    return about
