"""What mutagen, which shares no code with the splicing, makes of a file."""

from __future__ import annotations

import struct
from typing import IO, TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_UNREADABLE: Final = (
    ValueError,
    LookupError,
    EOFError,
    OverflowError,
    TypeError,
    AttributeError,
    struct.error,
)
"""What mutagen lets through, besides its own error, on malformed files."""
_OWN: Final = ("TXXX:MOODZONE", "----:com.apple.iTunes:MOODZONE", "MOODZONE")
_ENERGY: Final = ("TXXX:EnergyLevel", "----:com.apple.iTunes:EnergyLevel", "ENERGYLEVEL")
_RATINGS: Final = {"rating": 100, "fmps_rating": 1}
_PAYLOADS: Final = {
    "serato_markers_v2": "Serato Markers2",
    "----:com.serato.dj:markersv2": "Serato Markers2",
    "----:com.serato.dj:markers": "Serato Markers_",
}


def own_field(file: IO[bytes]) -> str | None:
    """The text of our own field, empty if there is none; None if mutagen can't read the file."""
    return _text(file, _OWN)


def energy_level(file: IO[bytes]) -> str | None:
    """The text of Mixed In Key's own field, empty if there is none; None if mutagen can't read the file."""
    return _text(file, _ENERGY)


def stars(file: IO[bytes]) -> int | None:
    """A rating of one to five stars, as players keep it; None where there is none.

    ID3 keeps 1 to 255 in POPM, which Windows and most others divide at 32, 96, 160 and 224. Vorbis comments have
    RATING, in stars or percent, or FMPS_RATING, 0 to 1.
    """
    parsed = _read(file)
    tags: Any = parsed.tags if parsed is not None else None
    if tags is None:
        return None
    for key, value in tags.items():
        if getattr(value, "FrameID", "") == "POPM" and value.rating:
            return 1 + sum(int(value.rating) >= bound for bound in (32, 96, 160, 224))
        if key.lower() in _RATINGS:
            try:
                told = float(value[0])
            except (LookupError, TypeError, ValueError):
                continue
            most = _RATINGS[key.lower()]
            rating = round(5 * told / most) if told > 5 or most == 1 else round(told)
            if 1 <= rating <= 5:
                return rating
    return None


def _text(file: IO[bytes], names: Iterable[str]) -> str | None:
    """The text of the first of these fields that is there."""
    parsed = _read(file)
    if parsed is None:
        return None
    tags: Any = parsed.tags
    for name in names if tags is not None else ():
        try:
            values = tags[name]
            value = getattr(values, "text", values)[0]
        except (LookupError, ValueError):  # Vorbis comments refuse names that ID3 has
            continue
        return bytes(value).decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return ""


def payloads(file: IO[bytes], names: Collection[str]) -> dict[str, bytes] | None:
    """The values of the payloads of these names that are there; None if mutagen can't read the file."""
    parsed = _read(file)
    if parsed is None:
        return None
    found: dict[str, bytes] = {}
    for key, value in (parsed.tags or {}).items():
        is_object = getattr(value, "FrameID", "") == "GEOB"
        name = value.desc if is_object else _PAYLOADS.get(key.lower(), "")
        if name in names:
            first = value.data if is_object else value[0] if value else b""
            found[name] = first.encode() if isinstance(first, str) else bytes(first)
    return found


def _read(file: IO[bytes]) -> Any:
    """What mutagen makes of the file; None if it can't read it."""
    import mutagen

    file.seek(0)
    try:
        return mutagen.File(file)
    except (mutagen.MutagenError, *_UNREADABLE):
        return None
