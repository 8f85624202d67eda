"""Our folder of playlists in a rekordbox XML.

``PLAYLISTS`` holds one ``NODE`` called ROOT, of ``Type`` 0: a folder, whose ``Count`` is the number of nodes in
it. A playlist is of ``Type`` 1, with ``Entries`` tracks, and names them by ``KeyType`` 0, their TrackID, or 1,
their Location. No two nodes of a folder have one name. Source: Pioneer's "xml_format_list.pdf".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from exporters.lists import FOLDER, LISTS, ListEdit, joined_lists, list_edits
from exporters.xml_splice import Document, Element, NewElement, new_element
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


class ListFolder:
    """The folder, its lists and their members. Raises CollectionError where something else has one of their names.

    Members that aren't known here, such as tracks of streaming services, stay where they are.
    """

    def __init__(self, xml: Document, track_of_key: TrackOfKey) -> None:
        self._xml = xml
        self._track_of_key = track_of_key
        self._playlists = xml.root.child("PLAYLISTS")
        self._top = None if self._playlists is None else self._playlists.child("NODE")
        if self._top is not None and self._top.attributes.get("Type") != _IS_FOLDER:
            raise CollectionError("Its outermost list is no folder. Export it anew.")
        self._folder = None if self._top is None else _only_node(self._top, FOLDER, _IS_FOLDER)
        self._lists: dict[str, Element] = {}
        for name in LISTS:
            node = None if self._folder is None else _only_node(self._folder, name, _IS_PLAYLIST)
            if node is not None:
                _expect_known_keys(node, name)
                self._lists[name] = node

    @property
    def is_there(self) -> bool:
        """Whether there is such a folder."""
        return self._folder is not None

    def membership(self) -> dict[Track, str]:
        """The value of the place of each track that is in a list."""
        names: dict[Track, list[str]] = {}
        for name, node in self._lists.items():
            for entry in node.children:
                track = self._track(node, entry)
                if track is not None:
                    names.setdefault(track, []).append(name)
        return {track: joined_lists(found) for track, found in names.items()}

    def move(self, moves: Iterable[tuple[Track, str, str]]) -> None:
        """Take tracks out of lists and add them to others; of each track the value of its place before and after.

        A list that is left empty by that goes, and so does the folder, but not a ``PLAYLISTS`` that was made for
        it. New members come last.
        """
        edits = list_edits(moves)
        new = {
            name: _new_list(name, edit.added)
            for name, edit in edits.items()
            if edit.added and name not in self._lists
        }
        if self._folder is not None:
            self._edit_folder(self._folder, edits, new)
        elif new:
            self._add_folder(list(new.values()))

    def _edit_folder(
        self, folder: Element, edits: Mapping[str, ListEdit[Track]], new: Mapping[str, NewElement]
    ) -> None:
        emptied = [name for name in self._lists if self._empties(name, edits[name])]
        if not new and emptied and len(emptied) == len(folder.children):
            self._remove_folder(folder)
            return
        for name, node in self._lists.items():
            if name in emptied:
                self._xml.remove_element(node)
            else:
                self._edit_list(node, edits[name])
        for name, element in new.items():
            self._add_list(folder, name, element)
        if new or emptied:
            self._set_count(folder, len(new) - len(emptied))

    def _track(self, node: Element, entry: Element) -> Track | None:
        is_location = node.attributes.get("KeyType") == _BY_LOCATION
        return self._track_of_key(entry.attributes.get("Key", ""), is_location=is_location)

    def _leaving(self, node: Element, edit: ListEdit[Track]) -> list[Element]:
        return [entry for entry in node.children if self._track(node, entry) in edit.gone]

    def _empties(self, name: str, edit: ListEdit[Track]) -> bool:
        node = self._lists[name]
        leaving = len(self._leaving(node, edit)) if edit.gone and not edit.added else 0
        return leaving > 0 and leaving == len(node.children)

    def _edit_list(self, node: Element, edit: ListEdit[Track]) -> None:
        leaving = self._leaving(node, edit) if edit.gone else []
        for entry in leaving:
            self._xml.remove_element(entry)
        for track in edit.added:
            is_location = node.attributes.get("KeyType") == _BY_LOCATION
            key = track.location if is_location else track.track_id
            self._xml.append_child(node, new_element("TRACK", {"Key": key}))
        if leaving or edit.added:
            entries = len(node.children) - len(leaving) + len(edit.added)
            self._xml.set_attribute(node, "Entries", str(entries))

    def _add_list(self, folder: Element, name: str, element: NewElement) -> None:
        """Put a new list in front of the one that follows in our order."""
        later = LISTS[LISTS.index(name) + 1 :]
        follower = next((self._lists[other] for other in later if other in self._lists), None)
        if follower is None:
            self._xml.append_child(folder, element)
        else:
            self._xml.insert_before(follower, element)

    def _add_folder(self, lists: list[NewElement]) -> None:
        attributes = {"Name": FOLDER, "Type": _IS_FOLDER, "Count": str(len(lists))}
        folder = new_element("NODE", attributes, lists)
        if self._top is not None:
            self._xml.append_child(self._top, folder)
            self._set_count(self._top, 1)
            return
        top = new_element("NODE", {"Type": _IS_FOLDER, "Name": "ROOT", "Count": "1"}, [folder])
        if self._playlists is not None:
            self._xml.append_child(self._playlists, top)
        else:
            self._xml.append_child(self._xml.root, new_element("PLAYLISTS", children=[top]))

    def _remove_folder(self, folder: Element) -> None:
        assert self._top is not None
        self._xml.remove_element(folder)
        self._set_count(self._top, -1)

    def _set_count(self, folder: Element, more: int) -> None:
        self._xml.set_attribute(folder, "Count", str(len(_nodes(folder)) + more))


def _nodes(folder: Element) -> list[Element]:
    return [child for child in folder.children if child.tag == "NODE"]


def _only_node(folder: Element, name: str, type_: str) -> Element | None:
    """The node of this name. Raises CollectionError where there are several, or it is of another type."""
    found = [node for node in _nodes(folder) if node.attributes.get("Name") == name]
    if len(found) > 1:
        raise CollectionError(
            f"It has {len(found)} lists or folders called {name} beside one another. Rename all but one."
        )
    if found and found[0].attributes.get("Type") != type_:
        what = "folder" if type_ == _IS_FOLDER else "playlist"
        raise CollectionError(f"Its {name} is no {what}. Rename it, and run again.")
    return found[0] if found else None


def _expect_known_keys(node: Element, name: str) -> None:
    kind = node.attributes.get("KeyType", "")
    if kind not in {_BY_ID, _BY_LOCATION}:
        raise CollectionError(f"Its playlist {name} has the unknown KeyType {kind!r}. Export it anew.")


def _new_list(name: str, tracks: list[Track]) -> NewElement:
    attributes = {"Name": name, "Type": _IS_PLAYLIST, "KeyType": _BY_ID, "Entries": str(len(tracks))}
    return new_element(
        "NODE", attributes, [new_element("TRACK", {"Key": track.track_id}) for track in tracks]
    )
