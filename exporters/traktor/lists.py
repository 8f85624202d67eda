"""Our folder of playlists in Traktor's collection.

``PLAYLISTS`` holds one ``NODE`` called $ROOT. A ``NODE`` of ``TYPE`` FOLDER holds ``SUBNODES``, whose ``COUNT`` is
the number of nodes in it. One of ``TYPE`` PLAYLIST holds a ``PLAYLIST`` with a ``UUID`` of its own, and that holds
``ENTRIES`` times an ``ENTRY`` whose ``PRIMARYKEY`` names a track. Source: collections of Traktor 2 and 3.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from exporters.lists import FOLDER
from exporters.xml.lists import ListFolder, Spelling
from exporters.xml.splice import Document, Element, NewElement, new_element
from moodzone_agent.errors import CollectionError

_IS_FOLDER: Final = "FOLDER"
_IS_PLAYLIST: Final = "PLAYLIST"
_KIND: Final = "LIST"
_NODES: Final = "SUBNODES"


@dataclass(eq=False, slots=True)
class Track:
    """A file of the collection."""

    path: Path
    key: str
    """By which playlists name it."""
    infos: tuple[Element, ...] = ()
    """The INFO of each ENTRY that it has, one but for duplicates; none where Traktor made none."""


class TraktorLists(ListFolder[Track]):
    """A node holds an element that holds its nodes, or its members."""

    spelling = Spelling(
        name="NAME",
        type="TYPE",
        is_folder=_IS_FOLDER,
        is_playlist=_IS_PLAYLIST,
        count="COUNT",
        entries="ENTRIES",
        in_program=" in Traktor, and close it",
        anew="Let Traktor write the file anew",
    )

    def __init__(self, xml: Document, track_of_key: Callable[[str], Track | None]) -> None:
        super().__init__(xml)
        self._track_of_key = track_of_key

    def _inside(self, folder: Element) -> Element:
        nodes = folder.child(_NODES)
        if nodes is None:
            raise CollectionError(
                f"It has a folder of playlists without {_NODES}. Let Traktor write it anew."
            )
        return nodes

    def _playlist(self, node: Element, name: str) -> Element:
        playlist = node.child("PLAYLIST")
        if playlist is None or playlist.attributes.get("TYPE") != _KIND:
            raise CollectionError(
                f"Its playlist {name} is of an unknown kind. Rename it in Traktor, and close it."
            )
        return playlist

    def _track(self, playlist: Element, entry: Element) -> Track | None:
        del playlist
        key = entry.child("PRIMARYKEY")
        return None if key is None else self._track_of_key(key.attributes.get("KEY", ""))

    def _new_entry(self, playlist: Element, track: Track) -> NewElement:
        del playlist
        return _entry(track)

    def _new_list(self, name: str, tracks: list[Track]) -> NewElement:
        # Made from the name, so that a list that goes and comes back is the same one to Traktor.
        identity = uuid.uuid5(uuid.NAMESPACE_URL, f"moodzone:traktor/{FOLDER}/{name}").hex
        attributes = {"ENTRIES": str(len(tracks)), "TYPE": _KIND, "UUID": identity}
        playlist = new_element("PLAYLIST", attributes, [_entry(track) for track in tracks])
        return new_element("NODE", {"TYPE": _IS_PLAYLIST, "NAME": name}, [playlist])

    def _new_folder(self, name: str, nodes: list[NewElement]) -> NewElement:
        inside = new_element(_NODES, {"COUNT": str(len(nodes))}, nodes)
        return new_element("NODE", {"TYPE": _IS_FOLDER, "NAME": name}, [inside])

    def _add_top(self, folder: NewElement) -> None:
        top = self._new_folder("$ROOT", [folder])
        if self._playlists is not None:
            self._xml.append_child(self._playlists, top)
            return
        playlists = new_element("PLAYLISTS", children=[top])
        follower = self._xml.root.child("INDEXING")
        if follower is None:
            self._xml.append_child(self._xml.root, playlists)
        else:
            self._xml.insert_before(follower, playlists)


def _entry(track: Track) -> NewElement:
    return new_element("ENTRY", children=[new_element("PRIMARYKEY", {"TYPE": "TRACK", "KEY": track.key})])
