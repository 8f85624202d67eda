"""What each file format tells of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from exporters.tags.entries import Plan, TagField, Texts
    from exporters.tags.splice import Edit, Span


class TaggedFile(Protocol):
    """A file whose structure has been read. All its methods may raise TagError."""

    def texts(self, field: TagField) -> Texts:
        """What the tags say."""

    def tag_spans(self) -> Iterable[Span]:
        """Where all tags are."""

    def audio_spans(self) -> Iterable[Span]:
        """Where the encoded audio is, in its order."""

    def foreign(self, spellings: Collection[str]) -> list[bytes]:
        """All besides the audio that an edit of tokens so spelled must leave as it is; long parts as hashes."""

    def edits(self, plan: Plan) -> list[Edit]:
        """What carries the plan out; empty if nothing is to change."""
