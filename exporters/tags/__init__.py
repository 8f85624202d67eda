"""Zones in the tags of audio files."""
