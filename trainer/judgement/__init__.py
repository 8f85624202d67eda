"""How well a model does, and why."""
