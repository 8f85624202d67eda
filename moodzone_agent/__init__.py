"""The agent: what runs on the DJ's machine."""

__version__ = "0.1.0"
