"""Maintenance windows and silences: what an incident would do is held back, said so, and done when they end."""
