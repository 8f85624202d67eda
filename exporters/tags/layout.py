"""What each file format tells of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporters.tags.entries import TagField, Texts
    from exporters.tags.splice import Edit, Span
    from moodzone_agent.types import Mark


class TaggedFile(Protocol):
    """A file whose structure has been read. All its methods may raise TagError."""

    def texts(self, field: TagField) -> Texts:
        """What the tags say."""

    def tag_spans(self) -> Iterable[Span]:
        """Where all tags are."""

    def audio_spans(self) -> Iterable[Span]:
        """Where the encoded audio is, in its order."""

    def foreign(self, field: TagField) -> list[bytes]:
        """All besides the audio that an edit of ours must leave as it is; long parts as their hashes."""

    def edits(self, mark: Mark | None, field: TagField) -> list[Edit]:
        """What gives the file ``mark``, or takes out all that is ours for None."""
