"""The commands of ``moodzone-train``."""
