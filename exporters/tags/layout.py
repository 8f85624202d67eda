"""What each file format tells of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from exporters.tags.entries import Dialect, EntryEdit, TagField, Texts
    from exporters.tags.splice import Edit, Span


class TaggedFile(Protocol):
    """A file whose structure has been read. All its methods may raise TagError."""

    def texts(self, field: TagField) -> Texts:
        """What the tags say."""

    def tag_spans(self) -> Iterable[Span]:
        """Where all tags are."""

    def audio_spans(self) -> Iterable[Span]:
        """Where the encoded audio is, in its order."""

    def entries(self) -> tuple[Sequence[bytes], Dialect]:
        """The entries of the tag that other programs' payloads are in, and how they are written."""

    def foreign(self, edit: EntryEdit) -> list[bytes]:
        """All besides the audio that the edit must leave as it is; long parts as hashes."""

    def edits(self, edit: EntryEdit) -> list[Edit]:
        """What carries the edit out; empty if nothing is to change."""
