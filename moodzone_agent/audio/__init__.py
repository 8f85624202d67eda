"""Reading audio files: container, identity, samples."""
