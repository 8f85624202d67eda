"""From DEAM to the bundle that ships."""
