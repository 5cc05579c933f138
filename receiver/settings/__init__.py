"""Who can be called, and whose turn it is."""
