"""The commands of ``moodzone``, a module for each group."""
