"""The audio id: a hash of the encoded audio, blind to every tag.

The packets of the audio stream exclude the tags that the container knows; `span` keeps the others away.
"""

from __future__ import annotations

import hashlib
from typing import Any

import av


class AudioHasher:
    """Collects the packets of one audio stream into its audio id."""

    def __init__(self, codec: str) -> None:
        self._hash = hashlib.sha256(codec.encode())  # processors have instructions for it
        self._empty = True

    def update(self, packet: av.Packet[Any]) -> None:
        """Take one demuxed packet in; the demuxer's last one is empty."""
        if packet.size:
            self._hash.update(packet)
            self._empty = False

    def hexdigest(self) -> str | None:
        """The audio id, 32 hex digits; None where no packet came: without audio there is no identity."""
        return None if self._empty else self._hash.hexdigest()[:32]
