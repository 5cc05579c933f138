"""Maintenance windows and silences: what would be done about an incident is held back, and said so."""
