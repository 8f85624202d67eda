"""What is known of each track, in SQLite."""
