"""A version put into a slot, proven there, swapped into production, and watched (source 004, W3)."""
