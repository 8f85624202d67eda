"""Serato DJ: crates, its database, and the markers in audio files."""
