"""Our folder of playlists in an XML, whatever its program calls elements and attributes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Generic, TypeVar

from exporters.lists import FOLDER, LISTS, ListEdit, joined_lists, list_edits
from exporters.xml.splice import Document, Element, NewElement
from moodzone_agent.errors import CollectionError

Track = TypeVar("Track")
_NODE: Final = "NODE"


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a program spells what both kinds of file have: nodes of the tree with a name and a type."""

    name: str
    type: str
    is_folder: str
    is_playlist: str
    count: str
    """Of the nodes in a folder."""
    entries: str
    """Of the tracks in a playlist."""
    in_program: str
    """Where the user renames a list, as the end of a sentence."""
    anew: str
    """How the user gets a sound file, as a sentence."""


class ListFolder(ABC, Generic[Track]):
    """The folder, its lists and their members. Raises CollectionError where something else has one of their names.

    Members that aren't known here, such as tracks of streaming services, stay where they are.
    """

    spelling: ClassVar[Spelling]

    def __init__(self, xml: Document) -> None:
        self._xml = xml
        self._playlists = xml.root.child("PLAYLISTS")
        self._top = None if self._playlists is None else self._playlists.child(_NODE)
        if self._top is not None and not self._is_of(self._top, self.spelling.is_folder):
            raise CollectionError(f"Its outermost list is no folder. {self.spelling.anew}.")
        self._folder = (
            None if self._top is None else self._only_node(self._top, FOLDER, self.spelling.is_folder)
        )
        self._lists: dict[str, _List] = {}
        for name in LISTS:
            node = None
            if self._folder is not None:
                node = self._only_node(self._folder, name, self.spelling.is_playlist)
            if node is not None:
                self._lists[name] = _List(node, self._playlist(node, name))

    @property
    def is_there(self) -> bool:
        """Whether there is such a folder."""
        return self._folder is not None

    def membership(self) -> dict[Track, str]:
        """The value of the place of each track that is in a list."""
        names: dict[Track, list[str]] = {}
        for name, held in self._lists.items():
            for entry in held.playlist.children:
                track = self._track(held.playlist, entry)
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
            name: self._new_list(name, edit.added)
            for name, edit in edits.items()
            if edit.added and name not in self._lists
        }
        if self._folder is not None:
            self._edit_folder(self._folder, edits, new)
        elif new:
            self._add_folder(list(new.values()))

    @abstractmethod
    def _inside(self, folder: Element) -> Element:
        """The element that holds a folder's nodes and counts them."""

    @abstractmethod
    def _playlist(self, node: Element, name: str) -> Element:
        """The element that holds a playlist's members and counts them. Raises CollectionError for unknown kinds."""

    @abstractmethod
    def _track(self, playlist: Element, entry: Element) -> Track | None:
        """The track that a member of a playlist names; None where it is no file of this machine."""

    @abstractmethod
    def _new_entry(self, playlist: Element, track: Track) -> NewElement:
        """A new member of a playlist that is there."""

    @abstractmethod
    def _new_list(self, name: str, tracks: list[Track]) -> NewElement: ...

    @abstractmethod
    def _new_folder(self, name: str, nodes: list[NewElement]) -> NewElement: ...

    @abstractmethod
    def _add_top(self, folder: NewElement) -> None:
        """Put our folder into a document whose playlists have no outermost folder yet."""

    def _edit_folder(
        self, folder: Element, edits: Mapping[str, ListEdit[Track]], new: Mapping[str, NewElement]
    ) -> None:
        emptied = [name for name in self._lists if self._empties(name, edits[name])]
        if not new and emptied and len(emptied) == len(self._inside(folder).children):
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

    def _leaving(self, playlist: Element, edit: ListEdit[Track]) -> list[Element]:
        if not edit.gone:
            return []
        return [entry for entry in playlist.children if self._track(playlist, entry) in edit.gone]

    def _empties(self, name: str, edit: ListEdit[Track]) -> bool:
        playlist = self._lists[name].playlist
        leaving = len(self._leaving(playlist, edit)) if not edit.added else 0
        return leaving > 0 and leaving == len(playlist.children)

    def _edit_list(self, playlist: Element, edit: ListEdit[Track]) -> None:
        leaving = self._leaving(playlist, edit)
        for entry in leaving:
            self._xml.remove_element(entry)
        for track in edit.added:
            self._xml.append_child(playlist, self._new_entry(playlist, track))
        if leaving or edit.added:
            entries = len(playlist.children) - len(leaving) + len(edit.added)
            self._xml.set_attribute(playlist, self.spelling.entries, str(entries))

    def _add_list(self, folder: Element, name: str, element: NewElement) -> None:
        """Put a new list in front of the one that follows in our order."""
        later = LISTS[LISTS.index(name) + 1 :]
        follower = next((self._lists[other] for other in later if other in self._lists), None)
        if follower is None:
            self._xml.append_child(self._inside(folder), element)
        else:
            self._xml.insert_before(follower.node, element)

    def _add_folder(self, lists: list[NewElement]) -> None:
        folder = self._new_folder(FOLDER, lists)
        if self._top is None:
            self._add_top(folder)
            return
        self._xml.append_child(self._inside(self._top), folder)
        self._set_count(self._top, 1)

    def _remove_folder(self, folder: Element) -> None:
        assert self._top is not None
        self._xml.remove_element(folder)
        self._set_count(self._top, -1)

    def _set_count(self, folder: Element, more: int) -> None:
        count = str(len(self._nodes(folder)) + more)
        self._xml.set_attribute(self._inside(folder), self.spelling.count, count)

    def _nodes(self, folder: Element) -> list[Element]:
        return [child for child in self._inside(folder).children if child.tag == _NODE]

    def _only_node(self, folder: Element, name: str, type_: str) -> Element | None:
        """The node of this name. Raises CollectionError where there are several, or it is of another type."""
        found = [node for node in self._nodes(folder) if node.attributes.get(self.spelling.name) == name]
        if len(found) > 1:
            raise CollectionError(
                f"It has {len(found)} lists or folders called {name} beside one another. "
                f"Rename all but one{self.spelling.in_program}."
            )
        if found and not self._is_of(found[0], type_):
            what = "folder" if type_ == self.spelling.is_folder else "playlist"
            raise CollectionError(f"Its {name} is no {what}. Rename it{self.spelling.in_program}.")
        return found[0] if found else None

    def _is_of(self, node: Element, type_: str) -> bool:
        return node.attributes.get(self.spelling.type) == type_


@dataclass(frozen=True, slots=True)
class _List:
    """One of our lists: the node of the tree, and what holds its members."""

    node: Element
    playlist: Element
