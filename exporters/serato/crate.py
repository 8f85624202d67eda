"""Crates: ``.crate`` files of one folder, in which each track is a path.

Nested crates are files of the same folder named ``Parent%%Child.crate``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from exporters.serato import tlv
from exporters.serato.tlv import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

VERSION: Final = "1.0/Serato ScratchLive Crate"
SUFFIX: Final = ".crate"
_SEPARATOR: Final = "%%"
_COLUMNS: Final = ("song", "artist", "bpm", "key", "comment")


@dataclass(frozen=True, slots=True)
class Crate:
    """What a crate file holds. All that is no track keeps its place and its bytes."""

    values: tuple[Value, ...]

    @classmethod
    def parse(cls, data: bytes) -> Crate:
        """Take a crate file apart. Raises CollectionError if it is damaged or of another version."""
        values = tlv.parse(data)
        tlv.expect_version(values, VERSION)
        for value in values:
            _path_of(value)
        return cls(values)

    @classmethod
    def new(cls) -> Crate:
        """An empty crate, in its own order and with the columns that a DJ looks at."""
        return cls(
            (
                tlv.text("vrsn", VERSION),
                tlv.nested("osrt", tlv.text("tvcn", "#"), tlv.number("brev", 0)),
                *(tlv.nested("ovct", tlv.text("tvcn", column), tlv.text("tvcw", "0")) for column in _COLUMNS),
            )
        )

    def dump(self) -> bytes:
        """The bytes of the file."""
        return tlv.dump(self.values)

    @property
    def tracks(self) -> tuple[str, ...]:
        """Paths in the crate's order: relative to the volume's root, with ``/`` and without one in front."""
        return tuple(path for value in self.values if (path := _path_of(value)) is not None)

    def with_tracks(self, paths: Sequence[str]) -> Crate:
        """The crate with exactly these tracks; those that were there keep their bytes.

        They stand together where the first track stood, or at the end; but where nothing is to change, nothing
        moves.
        """
        if self.tracks == tuple(paths):
            return self
        old: dict[str, list[Value]] = {}
        others: list[Value] = []
        place = None
        for value in self.values:
            path = _path_of(value)
            if path is None:
                others.append(value)
            else:
                place = len(others) if place is None else place
                old.setdefault(path, []).append(value)
        tracks = [
            old[path].pop(0) if old.get(path) else tlv.nested("otrk", tlv.text("ptrk", path))
            for path in paths
        ]
        place = len(others) if place is None else place
        return replace(self, values=(*others[:place], *tracks, *others[place:]))

    def added(self, paths: Iterable[str]) -> Crate:
        """The crate with those tracks of ``paths`` that it lacks, each once and behind the others."""
        known = set(self.tracks)
        return self.with_tracks([*self.tracks, *(path for path in dict.fromkeys(paths) if path not in known)])

    def removed(self, paths: Iterable[str]) -> Crate:
        """The crate without these tracks."""
        gone = set(paths)
        return replace(self, values=tuple(value for value in self.values if _path_of(value) not in gone))


def file_name(*names: str) -> str:
    """Name of the file of a crate, given the names of its parents and its own."""
    return _SEPARATOR.join(names) + SUFFIX


def names_of(file_name: str) -> tuple[str, ...]:
    """The names of a crate's parents and its own, given the name of its file."""
    return tuple(file_name.removesuffix(SUFFIX).split(_SEPARATOR))


def _path_of(value: Value) -> str | None:
    """A track's path; None for what is no track."""
    if value.tag != "otrk":
        return None
    path = tlv.first(value.children(), "ptrk")
    return None if path is None else path.text()
