"""Reaching a server: names to addresses, connections, TLS, and which service answers."""
