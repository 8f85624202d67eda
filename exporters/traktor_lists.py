"""Our folder of playlists in Traktor's collection.

``PLAYLISTS`` holds one ``NODE`` called $ROOT. A ``NODE`` of ``TYPE`` FOLDER holds ``SUBNODES``, whose ``COUNT`` is
the number of nodes in it. One of ``TYPE`` PLAYLIST holds a ``PLAYLIST`` with a ``UUID`` of its own, and that holds
``ENTRIES`` times an ``ENTRY`` whose ``PRIMARYKEY`` names a track. Source: collections of Traktor 2 and 3.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from exporters.lists import FOLDER, LISTS, ListEdit, joined_lists, list_edits
from exporters.xml_splice import Document, Element, NewElement, new_element
from moodzone_agent.errors import CollectionError

_IS_FOLDER: Final = "FOLDER"
_IS_PLAYLIST: Final = "PLAYLIST"
_KIND: Final = "LIST"


@dataclass(eq=False, slots=True)
class Track:
    """A file of the collection."""

    path: Path
    key: str
    """By which playlists name it."""
    infos: tuple[Element, ...] = ()
    """The INFO of each ENTRY that it has, one but for duplicates; none where Traktor made none."""


class ListFolder:
    """The folder, its lists and their members. Raises CollectionError where something else has one of their names.

    Members that aren't known here stay where they are.
    """

    def __init__(self, xml: Document, track_of_key: Callable[[str], Track | None]) -> None:
        self._xml = xml
        self._track_of_key = track_of_key
        self._playlists = xml.root.child("PLAYLISTS")
        self._top = None if self._playlists is None else self._playlists.child("NODE")
        if self._top is not None and self._top.attributes.get("TYPE") != _IS_FOLDER:
            raise CollectionError("Its outermost list is no folder. Let Traktor write the file anew.")
        self._folder = None if self._top is None else _only_node(self._top, FOLDER, _IS_FOLDER)
        self._lists: dict[str, _List] = {}
        for name in LISTS:
            node = None if self._folder is None else _only_node(self._folder, name, _IS_PLAYLIST)
            if node is not None:
                self._lists[name] = _List(node, _playlist(node, name))

    @property
    def is_there(self) -> bool:
        """Whether there is such a folder."""
        return self._folder is not None

    def membership(self) -> dict[Track, str]:
        """The value of the place of each track that is in a list."""
        names: dict[Track, list[str]] = {}
        for name, held in self._lists.items():
            for entry in held.playlist.children:
                track = self._track(entry)
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
        if not new and emptied and len(emptied) == len(_nodes(folder)):
            self._remove_folder(folder)
            return
        for name, held in self._lists.items():
            if name in emptied:
                self._xml.remove_element(held.node)
            else:
                self._edit_list(held.playlist, edits[name])
        for name, element in new.items():
            self._add_list(folder, name, element)
        if new or emptied:
            self._set_count(folder, len(new) - len(emptied))

    def _track(self, entry: Element) -> Track | None:
        key = entry.child("PRIMARYKEY")
        return None if key is None else self._track_of_key(key.attributes.get("KEY", ""))

    def _leaving(self, playlist: Element, edit: ListEdit[Track]) -> list[Element]:
        return [entry for entry in playlist.children if self._track(entry) in edit.gone] if edit.gone else []

    def _empties(self, name: str, edit: ListEdit[Track]) -> bool:
        playlist = self._lists[name].playlist
        leaving = len(self._leaving(playlist, edit)) if not edit.added else 0
        return leaving > 0 and leaving == len(playlist.children)

    def _edit_list(self, playlist: Element, edit: ListEdit[Track]) -> None:
        leaving = self._leaving(playlist, edit)
        for entry in leaving:
            self._xml.remove_element(entry)
        for track in edit.added:
            self._xml.append_child(playlist, _new_entry(track))
        if leaving or edit.added:
            entries = len(playlist.children) - len(leaving) + len(edit.added)
            self._xml.set_attribute(playlist, "ENTRIES", str(entries))

    def _add_list(self, folder: Element, name: str, element: NewElement) -> None:
        """Put a new list in front of the one that follows in our order."""
        later = LISTS[LISTS.index(name) + 1 :]
        follower = next((self._lists[other] for other in later if other in self._lists), None)
        if follower is None:
            self._append_node(folder, element)
        else:
            self._xml.insert_before(follower.node, element)

    def _add_folder(self, lists: list[NewElement]) -> None:
        folder = _new_folder(FOLDER, lists)
        if self._top is not None:
            self._append_node(self._top, folder)
            self._set_count(self._top, 1)
            return
        top = _new_folder("$ROOT", [folder])
        if self._playlists is not None:
            self._xml.append_child(self._playlists, top)
            return
        playlists = new_element("PLAYLISTS", children=[top])
        follower = self._xml.root.child("INDEXING")
        if follower is None:
            self._xml.append_child(self._xml.root, playlists)
        else:
            self._xml.insert_before(follower, playlists)

    def _append_node(self, folder: Element, element: NewElement) -> None:
        self._xml.append_child(self._subnodes(folder), element)

    def _remove_folder(self, folder: Element) -> None:
        assert self._top is not None
        self._xml.remove_element(folder)
        self._set_count(self._top, -1)

    def _set_count(self, folder: Element, more: int) -> None:
        self._xml.set_attribute(self._subnodes(folder), "COUNT", str(len(_nodes(folder)) + more))

    def _subnodes(self, folder: Element) -> Element:
        subnodes = folder.child("SUBNODES")
        if subnodes is None:
            raise CollectionError("It has a folder of playlists without SUBNODES. Let Traktor write it anew.")
        return subnodes


@dataclass(frozen=True, slots=True)
class _List:
    """One of our lists: the node of the tree, and what holds its members."""

    node: Element
    playlist: Element


def _nodes(folder: Element) -> list[Element]:
    subnodes = folder.child("SUBNODES")
    return [] if subnodes is None else [child for child in subnodes.children if child.tag == "NODE"]


def _only_node(folder: Element, name: str, type_: str) -> Element | None:
    """The node of this name. Raises CollectionError where there are several, or it is of another type."""
    found = [node for node in _nodes(folder) if node.attributes.get("NAME") == name]
    if len(found) > 1:
        raise CollectionError(
            f"It has {len(found)} lists or folders called {name} beside one another. "
            "Rename all but one in Traktor, and close it."
        )
    if found and found[0].attributes.get("TYPE") != type_:
        raise CollectionError(f"Its {name} is no {type_.lower()}. Rename it in Traktor, and close it.")
    return found[0] if found else None


def _playlist(node: Element, name: str) -> Element:
    playlist = node.child("PLAYLIST")
    if playlist is None or playlist.attributes.get("TYPE") != _KIND:
        raise CollectionError(
            f"Its playlist {name} is of an unknown kind. Rename it in Traktor, and close it."
        )
    return playlist


def _new_folder(name: str, nodes: list[NewElement]) -> NewElement:
    subnodes = new_element("SUBNODES", {"COUNT": str(len(nodes))}, nodes)
    return new_element("NODE", {"TYPE": _IS_FOLDER, "NAME": name}, [subnodes])


def _new_list(name: str, tracks: list[Track]) -> NewElement:
    # Made from the name, so that a list that goes and comes back is the same one to Traktor.
    identity = uuid.uuid5(uuid.NAMESPACE_URL, f"moodzone:traktor/{FOLDER}/{name}").hex
    attributes = {"ENTRIES": str(len(tracks)), "TYPE": _KIND, "UUID": identity}
    playlist = new_element("PLAYLIST", attributes, [_new_entry(track) for track in tracks])
    return new_element("NODE", {"TYPE": _IS_PLAYLIST, "NAME": name}, [playlist])


def _new_entry(track: Track) -> NewElement:
    return new_element("ENTRY", children=[new_element("PRIMARYKEY", {"TYPE": "TRACK", "KEY": track.key})])
