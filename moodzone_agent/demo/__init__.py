"""Synthesised dance music with known truth, and the demonstration that uses it."""
