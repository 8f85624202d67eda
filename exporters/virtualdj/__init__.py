"""VirtualDJ: its lists, and its database, which is only read."""
