"""What `moodzone setup` does, step by step."""
