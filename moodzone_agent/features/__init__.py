"""From samples to named feature vectors."""
