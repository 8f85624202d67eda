"""From a user's labels to a head that knows this user's zones."""
