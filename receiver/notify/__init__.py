"""Telling people: at once, together, again after a crash, and whoever is next when nobody answers."""
