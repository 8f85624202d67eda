"""A playlist a zone, as M3U8: UTF-8 text with a line for each path, which nearly every player reads.

Lists of ours are read with everything the user or a player put into them, and only lines of tracks that we add
or take out change. There is no standard; the form is that of Apple's RFC 8216 ``#EXTM3U`` and Winamp's ``#EXTINF``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import unquote_to_bytes, urlsplit

from exporters.base import (
    Change,
    Collection,
    Field,
    Machine,
    Place,
    Sighting,
    Target,
    Want,
    WriteStatus,
    comparable,
    read_collection_file,
)
from exporters.census import Census, take_census
from exporters.list_files import ListStep, write_lists
from exporters.lists import FOLDER, LISTS, inside, list_marks, list_of, membership
from exporters.planning import plan_value

if TYPE_CHECKING:
    from exporters.journal import Run

_HEADER: Final = b"#EXTM3U"
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class M3u8Settings:
    """Where playlists go, and how they name tracks."""

    folder: str = ""
    """The folder of the playlists; empty for none."""
    relative: bool = False
    """Whether paths are relative to that folder, as on a drive that is mounted elsewhere tomorrow."""


@dataclass(frozen=True, slots=True)
class Playlist:
    """A playlist's lines, with their line ends."""

    lines: tuple[bytes, ...] = ()

    @classmethod
    def parse(cls, data: bytes) -> Playlist:
        """Take a file apart; ``dump`` gives the same bytes. A first line ``#EXTM3U`` isn't needed."""
        return cls(tuple(data.splitlines(keepends=True)))

    def dump(self) -> bytes:
        """The bytes of the file."""
        return b"".join(self.lines)

    def tracks(self, folder: Path) -> dict[str, Path]:
        """The tracks by their comparable path; what is no path of a file is left out."""
        found = (_path(line, folder) for line in self.lines)
        return {comparable(path): path for path in found if path is not None}

    def without(self, tracks: Iterable[Path], folder: Path) -> Playlist:
        """The playlist without some tracks, and without the ``#EXTINF`` lines before each."""
        gone = {comparable(track) for track in tracks}
        kept: list[bytes] = []
        for line in self.lines:
            path = _path(line, folder)
            if path is None or comparable(path) not in gone:
                kept.append(line)
                continue
            while kept and kept[-1].startswith(b"#EXTINF"):
                kept.pop()
        return replace(self, lines=tuple(kept))

    def with_tracks(self, wants: Iterable[Want], reference: Callable[[Path], bytes]) -> Playlist:
        """The playlist with tracks at its end, each by its reference."""
        lines = list(self.lines) or [_HEADER + b"\n"]
        end = b"\r\n" if lines[0].endswith(b"\r\n") else b"\n"
        if not lines[-1].endswith((b"\n", b"\r")):
            lines[-1] += end
        for want in wants:
            seconds = -1 if want.duration is None else round(want.duration)
            name = " - ".join(part for part in (want.artist, want.title) if part) or want.path.stem
            told = " ".join(f"{seconds},{name}".split())
            lines += [b"#EXTINF:" + os.fsencode(_encodable(told)) + end, reference(want.path) + end]
        return replace(self, lines=tuple(lines))

    @property
    def is_empty(self) -> bool:
        """Whether nothing but the header is left."""
        return all(line.strip().removeprefix(_BOM) in {b"", _HEADER} for line in self.lines)


class M3u8Collection(Collection):
    """A folder with a playlist for each zone, and one for the tracks whose zone is unsure."""

    target: ClassVar[str] = "m3u8"
    carries: ClassVar[frozenset[Field]] = frozenset({Field.LIST})

    def __init__(self, folder: Path, *, relative: bool = False) -> None:
        super().__init__(Path(os.path.abspath(folder)))  # noqa: PTH100 (a link stays a link)
        self._relative = relative

    def version(self) -> str:
        """There is but one."""
        return "M3U8"

    def census(self, ours: Callable[[Place], frozenset[str]] = lambda _: frozenset()) -> Census:
        """How many tracks the lists hold that we did not put there."""
        rows = (
            (sighting.place.track, "", "")
            for sighting in self.read()
            if sighting.value not in ours(sighting.place)
        )
        return take_census(rows, [name for name in map(_file_name, LISTS) if (self.path / name).exists()])

    def read(self, among: frozenset[Path] | None = None) -> Iterator[Sighting]:
        """Every track of the lists, and which hold it."""
        paths: dict[str, Path] = {}
        for tracks in self._tracks().values():
            paths |= tracks
        lists = self._membership()
        for key, path in paths.items():
            if among is None or path in among:
                yield Sighting(Place(path, Field.LIST), lists[key], list_marks(lists[key]))

    def preview(self, wants: Iterable[Want]) -> Iterator[Change]:
        """One change a track: the list that it should be in."""
        lists = self._membership()
        for want in wants:
            found = lists.get(comparable(want.path), "")
            change = plan_value(want, Field.LIST, found, list_of(want.mark))
            if change.status is WriteStatus.WRITTEN and b"\n" in os.fsencode(want.path).replace(b"\r", b"\n"):
                change = replace(
                    change,
                    status=WriteStatus.SKIPPED,
                    reason="a playlist cannot name it: its path has a line break",
                )
            yield change

    def files(self) -> list[Path]:
        """The playlists."""
        return [self._file(name) for name in LISTS]

    def _apply(self, changes: list[Change], run: Run) -> Iterator[Change]:
        lists = self._membership()
        done = []
        for change in changes:
            found = lists.get(comparable(change.want.path), "")
            if found == change.before:
                done.append(change)
            else:
                yield change.kept(found)
        write_lists(self, done, self._file, self._edit, run)
        yield from done

    def _edit(self, old: bytes | None, step: ListStep) -> bytes | None:
        playlist = Playlist.parse(old or b"").without((want.path for want in step.taken), self.path)
        if step.added:
            playlist = playlist.with_tracks(step.added, self._reference)
        return None if playlist.is_empty and step.goes_if_empty else playlist.dump()

    def _file(self, name: str) -> Path:
        return inside(self.path, _file_name(name))

    def _tracks(self) -> dict[str, dict[str, Path]]:
        """Of each list the tracks by comparable path."""
        return {
            name: Playlist.parse(read_collection_file(self._file(name)) or b"").tracks(self.path)
            for name in LISTS
        }

    def _membership(self) -> dict[str, str]:
        return membership({name: tracks.values() for name, tracks in self._tracks().items()})

    def _reference(self, track: Path) -> bytes:
        """How the playlist names a track."""
        text = os.fsencode(os.path.relpath(track, self.path) if self._relative else track)
        return b"./" + text if text.startswith((b"#", b" ")) else text


def _find(_: Machine, settings: M3u8Settings) -> list[Collection]:
    folder = settings.folder
    return [M3u8Collection(Path(folder).expanduser(), relative=settings.relative)] if folder else []


TARGET: Final[Target[M3u8Settings]] = Target(
    name=M3u8Collection.target,
    shown_in="playlists for any program",
    carries=M3u8Collection.carries,
    find=_find,
    open=lambda path, _, settings: M3u8Collection(path, relative=settings.relative),
    after=("Import the playlists in your program, and import them again after the next write.",),
)


def _file_name(name: str) -> str:
    return f"{FOLDER} {name}.m3u8"


def _path(line: bytes, folder: Path) -> Path | None:
    """The file that a line names, absolute; None for comments and for what is no file here."""
    text = os.fsdecode(line.removeprefix(_BOM).rstrip(b"\r\n"))
    if not text.strip() or text.startswith("#"):
        return None
    if text.startswith("file://"):
        try:
            text = os.fsdecode(unquote_to_bytes(urlsplit(text).path))
        except ValueError:  # such as file://[x
            return None
    elif "://" in text:
        return None
    return Path(os.path.normpath(folder / text))


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
