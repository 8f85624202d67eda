"""Data sets the trainer can read."""
