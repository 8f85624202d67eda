"""What runs in the background for months: the agent, its lock, its manners, and how it is installed."""
