"""The rate of the analysis signal, apart from all that needs a decoder: who plans and rates has no use for one."""

from __future__ import annotations

from typing import Final

SAMPLE_RATE: Final = 22_050
"""Hertz of the analysis signal."""
