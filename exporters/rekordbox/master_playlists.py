"""``masterPlaylists6.xml`` beside the database, in which rekordbox keeps a node for each playlist.

A node is ``<NODE Id ParentId Attribute Timestamp Lib_Type CheckType/>``: the IDs are those of ``djmdPlaylist`` in
upper-case hexadecimal, 0 for the top; the time is in milliseconds since 1970, that of the row's ``updated_at``.
Seen in a file of rekordbox 6.6.2 and in pyrekordbox, which says that rekordbox needs the nodes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from exporters.rekordbox.db_rows import ListRow
from exporters.xml.splice import new_element, parse
from moodzone_agent.errors import CollectionError

NAME = "masterPlaylists6.xml"


def with_playlists(data: bytes, rows: Iterable[ListRow], removed: Collection[int]) -> bytes:
    """The file with a node for each of the rows, and without those removed; all else stays as it is.

    Raises CollectionError where it is damaged or another format.
    """
    document = parse(data)
    playlists = document.root.child("PLAYLISTS")
    if document.root.tag != "MASTER_PLAYLIST" or playlists is None:
        raise CollectionError(f"it is no {NAME} as rekordbox writes it")
    nodes = {node.attributes.get("Id", ""): node for node in playlists.children}
    for gone in map(_hex, removed):
        if gone in nodes:
            document.remove_element(nodes[gone])
    for row in rows:
        if _hex(row.id) not in nodes:
            document.append_child(playlists, new_element("NODE", _attributes(row)))
    return document.to_bytes()


def _attributes(row: ListRow) -> dict[str, str]:
    return {
        "Id": _hex(row.id),
        "ParentId": _hex(row.parent),
        "Attribute": str(row.attribute),
        "Timestamp": str(round(row.updated.timestamp() * 1000)),
        "Lib_Type": "0",
        "CheckType": "0",
    }


def _hex(number: int) -> str:
    return f"{number:X}"
