"""Our folder of playlists in a rekordbox XML.

``PLAYLISTS`` holds one ``NODE`` called ROOT, of ``Type`` 0: a folder, whose ``Count`` is the number of nodes in
it. A playlist is of ``Type`` 1, with ``Entries`` tracks, and names them by ``KeyType`` 0, their TrackID, or 1,
their Location. No two nodes of a folder have one name. Source: Pioneer's "xml_format_list.pdf".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from exporters.xml.lists import ListFolder, Spelling
from exporters.xml.splice import Document, Element, NewElement, new_element
from moodzone_agent.errors import CollectionError

_IS_FOLDER: Final = "0"
_IS_PLAYLIST: Final = "1"
_BY_ID: Final = "0"
_BY_LOCATION: Final = "1"


@dataclass(eq=False, slots=True)
class Track:
    """A file of the collection."""

    path: Path
    track_id: str
    location: str
    elements: tuple[Element, ...] = ()
    """Its TRACKs, one but for duplicates; none yet where it was added."""


class TrackOfKey(Protocol):
    """Finds the track that a playlist names."""

    def __call__(self, key: str, *, is_location: bool) -> Track | None: ...


class RekordboxLists(ListFolder[Track]):
    """A node holds its nodes, or its members, itself."""

    spelling = Spelling(
        name="Name",
        type="Type",
        is_folder=_IS_FOLDER,
        is_playlist=_IS_PLAYLIST,
        count="Count",
        entries="Entries",
        in_program=", and run again",
        anew="Export it anew",
    )

    def __init__(self, xml: Document, track_of_key: TrackOfKey) -> None:
        super().__init__(xml)
        self._track_of_key = track_of_key

    def _inside(self, folder: Element) -> Element:
        return folder

    def _playlist(self, node: Element, name: str) -> Element:
        kind = node.attributes.get("KeyType", "")
        if kind not in {_BY_ID, _BY_LOCATION}:
            raise CollectionError(f"Its playlist {name} has the unknown KeyType {kind!r}. Export it anew.")
        return node

    def _track(self, playlist: Element, entry: Element) -> Track | None:
        return self._track_of_key(entry.attributes.get("Key", ""), is_location=_is_by_location(playlist))

    def _new_entry(self, playlist: Element, track: Track) -> NewElement:
        return _entry(track.location if _is_by_location(playlist) else track.track_id)

    def _new_list(self, name: str, tracks: list[Track]) -> NewElement:
        attributes = {"Name": name, "Type": _IS_PLAYLIST, "KeyType": _BY_ID, "Entries": str(len(tracks))}
        return new_element("NODE", attributes, [_entry(track.track_id) for track in tracks])

    def _new_folder(self, name: str, nodes: list[NewElement]) -> NewElement:
        return new_element("NODE", {"Name": name, "Type": _IS_FOLDER, "Count": str(len(nodes))}, nodes)

    def _add_top(self, folder: NewElement) -> None:
        top = new_element("NODE", {"Type": _IS_FOLDER, "Name": "ROOT", "Count": "1"}, [folder])
        if self._playlists is not None:
            self._xml.append_child(self._playlists, top)
        else:
            self._xml.append_child(self._xml.root, new_element("PLAYLISTS", children=[top]))


def _is_by_location(playlist: Element) -> bool:
    return playlist.attributes.get("KeyType") == _BY_LOCATION


def _entry(key: str) -> NewElement:
    return new_element("TRACK", {"Key": key})
