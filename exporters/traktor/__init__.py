"""Traktor: its collection.nml."""
