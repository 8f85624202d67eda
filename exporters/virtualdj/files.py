"""VirtualDJ's files: lists, and what its database tells of tracks.

A list (``.vdjfolder``, since 2024) is XML: ``VirtualFolder`` times ``song``, of which only ``path`` is needed;
``size``, ``artist``, ``title`` and ``idx``, its place in the order, are usual. Songs of streaming services have a
``path`` like ``netsearch://td1``. Source: VDJPedia, and files of users of VirtualDJ 2024 and later.

``database.xml`` holds a ``Song`` with its ``FilePath`` for each track of its drive; in it, ``Infos`` has the
``UserColor``, ARGB as a decimal number, ``Tags`` the ``Grouping``, and ``Comment`` is a text. It is only read: its
vendor wants no other program to write it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from exporters.base import Want, comparable
from exporters.xml.splice import Document, Element, new_element, parse, walk, without_forbidden
from moodzone_agent.errors import CollectionError

_NEW: Final = b'<?xml version="1.0" encoding="UTF-8"?>\r\n<VirtualFolder/>\r\n'
_ROOT: Final = "VirtualFolder"
_SONG: Final = "song"
_DATABASE: Final = "VirtualDJ_Database"
_IN_ROOT: Final = 2
"""Elements that are open inside the outermost one: itself and that."""


class SongList:
    """A list that was read, and its edits. Raises CollectionError for one that is damaged, or a filter."""

    def __init__(self, data: bytes = _NEW) -> None:
        self._xml = parse(data)
        root = self._xml.root
        if root.tag != _ROOT or "filter" in root.attributes:
            raise CollectionError("It is no list of songs. Rename it in VirtualDJ, and close it.")
        self._left = len(root.children)
        """How many elements there will be."""

    def tracks(self) -> Iterator[Path]:
        """The files that it names, in their order."""
        yield from (path for _, path in self._songs())

    def edit(self, taken: Iterable[Path], added: Iterable[Want]) -> None:
        """Take tracks out, and put others at the end. Raises CollectionError where XML cannot hold a path."""
        gone = {comparable(path) for path in taken}
        for song, path in self._songs():
            if comparable(path) in gone:
                self._xml.remove_element(song)
                self._left -= 1
        index = _next_index(self._xml)
        for want in added:
            attributes = _about(want) if index is None else {**_about(want), "idx": str(index)}
            self._xml.append_child(self._xml.root, new_element(_SONG, attributes))
            self._left += 1
            index = None if index is None else index + 1

    def to_bytes(self, *, even_if_empty: bool = False) -> bytes | None:
        """The list with its edits; None where nothing is left in it, neither songs nor what the user set for it."""
        return self._xml.to_bytes() if self._left or self._xml.root.attributes or even_if_empty else None

    def _songs(self) -> Iterator[tuple[Element, Path]]:
        for child in self._xml.root.children:
            path = path_of(child.attributes.get("path", "")) if child.tag == _SONG else None
            if path is not None:
                yield child, path


@dataclass(slots=True)
class KnownTrack:
    """What the database tells of a track."""

    path: Path
    colour: str = ""
    """ARGB as a decimal number; empty for none."""
    grouping: str = ""
    comment: str = ""


def read_database(data: bytes) -> list[KnownTrack]:
    """The tracks of a database.xml whose files can be on this machine. Raises CollectionError for a damaged one."""
    found: list[KnownTrack] = []
    open_tags: list[str] = []
    track: KnownTrack | None = None

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal track
        open_tags.append(tag)
        if open_tags == [tag] and tag != _DATABASE:
            raise CollectionError(f"It is no database of VirtualDJ, but {tag}.")
        if len(open_tags) == _IN_ROOT:
            path = path_of(attributes.get("FilePath", "")) if tag == "Song" else None
            track = None if path is None else KnownTrack(path)
            if track is not None:
                found.append(track)
        elif track is not None and tag == "Infos":
            colour = attributes.get("UserColor", "")
            track.colour = "" if colour == "0" else colour
        elif track is not None and tag == "Tags":
            track.grouping = attributes.get("Grouping", "")

    def text(piece: str) -> None:
        if track is not None and open_tags[_IN_ROOT:] == ["Comment"]:
            track.comment += piece

    def end(_: str) -> None:
        open_tags.pop()

    walk(data, start=start, text=text, end=end)
    return found


def path_of(text: str) -> Path | None:
    """The file that a path names; None where it names none of this machine."""
    path = Path(text)
    return path if path.is_absolute() and "\0" not in text else None


def is_nameable(path: Path) -> bool:
    """Whether XML can hold the path."""
    return without_forbidden(str(path)) == str(path)


def _next_index(xml: Document) -> int | None:
    """The place of a song behind all others, where the list numbers them."""
    numbers = [
        int(number)
        for song in xml.root.children
        if (number := song.attributes.get("idx", "")).isdecimal() and number.isascii()
    ]
    return max(numbers) + 1 if numbers else None


def _about(want: Want) -> dict[str, str]:
    """A new song as VirtualDJ spells it."""
    about = {"path": str(want.path)}
    with suppress(OSError):
        about["size"] = str(want.path.stat().st_size)
    told = {"artist": without_forbidden(want.artist), "title": without_forbidden(want.title)}
    return about | {name: value for name, value in told.items() if value}
