"""Incidents: what an alert does to them, decided without doing it, and the books that are kept of them."""
