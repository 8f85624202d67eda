"""Targets that can carry a zone, one module each."""
