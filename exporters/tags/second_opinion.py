"""What mutagen, which shares no code with the splicing, makes of a file."""

from __future__ import annotations

import struct
from typing import IO, Any, Final

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
_NAMES: Final = ("TXXX:MOODZONE", "----:com.apple.iTunes:MOODZONE", "MOODZONE")


def own_field(file: IO[bytes]) -> str | None:
    """The text of our own field, empty if there is none; None if mutagen can't read the file."""
    import mutagen

    file.seek(0)
    try:
        parsed = mutagen.File(file)
    except (mutagen.MutagenError, *_UNREADABLE):
        return None
    if parsed is None:
        return None
    tags: Any = parsed.tags
    for name in _NAMES if tags is not None else ():
        try:
            values = tags[name]
            value = getattr(values, "text", values)[0]
        except (LookupError, ValueError):  # Vorbis comments refuse names that ID3 has
            continue
        return bytes(value).decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return ""
