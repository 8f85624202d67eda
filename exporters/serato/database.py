"""Database V2, Serato's list of all tracks of a volume. It is only read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from exporters.serato import tlv

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION: Final = "2.0/Serato Scratch LIVE Database"


@dataclass(frozen=True, slots=True)
class DatabaseTrack:
    """One track."""

    path: str
    """Relative to the volume's root, with ``/`` and without one in front."""
    colour: int | None
    """0xRRGGBB as Serato stores it, 0xFFFFFF for none; None where the database doesn't say."""
    comment: str


def read_tracks(data: bytes) -> Iterator[DatabaseTrack]:
    """The tracks of a database in its order; those without a path are left out.

    Raises CollectionError, at once if it is of another version, later where a track is damaged.
    """
    values = tlv.parse(data)
    tlv.expect_version(values, VERSION)
    return (track for value in values if value.tag == "otrk" and (track := _track(value)) is not None)


def _track(value: tlv.Value) -> DatabaseTrack | None:
    children = value.children()
    path, colour, comment = (tlv.first(children, tag) for tag in ("pfil", "ulbl", "tcom"))
    if path is None:
        return None
    return DatabaseTrack(
        path.text(),
        None if colour is None else colour.number() & 0xFFFFFF,
        "" if comment is None else comment.text(),
    )
