"""Which changes are worth telling: those that a walk would come to, by its own rules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from moodzone_agent.walk import is_passed_over

Filter = Callable[[Path, Path, bool], bool]
"""Asked with a path, the watched folder above it, and whether it is a folder: whether its changes matter.

Several threads ask, also about what is no longer there.
"""


def is_of_interest(path: Path, root: Path, is_folder: bool) -> bool:
    """Whether a walk of ``root`` would come to ``path``: no downloads, nothing hidden, no other kinds of file."""
    return not is_passed_over(path, root, is_folder=is_folder)
