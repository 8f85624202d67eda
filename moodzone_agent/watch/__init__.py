"""Tells which files and folders have changed; knows nothing of the library, of models or of writing."""
