"""Incidents: what an alert does to them is decided here without doing it."""
