"""From feature vectors to zones."""
