"""``neworder.pref``: the order of the crates, UTF-16BE without a mark.

It says ``[begin record]``, a line ``[crate]Name`` per crate, and ``[end record]``. A byte order mark, other line
ends and lines of other kinds are kept as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from moodzone_agent.errors import CollectionError

_CODEC: Final = "utf-16-be"
_BEGIN, _CRATE, _END = "[begin record]", "[crate]", "[end record]"
_MARK: Final = "\ufeff"
_LINE: Final = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True, slots=True)
class CrateOrder:
    """What the file says."""

    lines: tuple[str, ...]
    """All lines with their ends; the first may begin with a byte order mark."""

    @classmethod
    def parse(cls, data: bytes) -> CrateOrder:
        """Take the file apart. Raises CollectionError if it is damaged."""
        try:
            text = data.decode(_CODEC)
        except UnicodeDecodeError as error:
            raise _malformed() from error
        order = cls(tuple(_LINE.findall(text)))
        bare = [_bare(line) for line in order.lines]
        if bare.count(_BEGIN) != 1 or bare.count(_END) != 1 or bare.index(_BEGIN) > bare.index(_END):
            raise _malformed()
        return order

    @classmethod
    def new(cls) -> CrateOrder:
        """An order of no crates."""
        return cls((f"{_BEGIN}\n", f"{_END}\n"))

    def dump(self) -> bytes:
        """The bytes of the file."""
        return "".join(self.lines).encode(_CODEC)

    @property
    def crates(self) -> tuple[str, ...]:
        """Names of the crates; a nested one's is that of its file, ``Parent%%Child``."""
        return tuple(_bare(line)[len(_CRATE) :] for line in self.lines if _bare(line).startswith(_CRATE))

    def added(self, name: str) -> CrateOrder:
        """The order with a crate at the end, unless it is there."""
        if name in self.crates:
            return self
        end = next(index for index, line in enumerate(self.lines) if _bare(line) == _END)
        ending = self.lines[end - 1][len(self.lines[end - 1].rstrip("\r\n")) :]
        return replace(self, lines=(*self.lines[:end], f"{_CRATE}{name}{ending}", *self.lines[end:]))

    def removed(self, name: str) -> CrateOrder:
        """The order without a crate."""
        return replace(self, lines=tuple(line for line in self.lines if _bare(line) != _CRATE + name))


def _bare(line: str) -> str:
    return line.removeprefix(_MARK).rstrip("\r\n")


def _malformed() -> CollectionError:
    return CollectionError(
        "Serato's neworder.pref is damaged. Restore it from a backup, or have Serato write it anew."
    )
