"""Signals of the machines and containers that a service runs on, and of its database."""
