"""Signals of the business that a service does."""
