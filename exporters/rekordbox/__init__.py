"""rekordbox: its XML, and its own database."""
