"""Reaching a server: names to addresses, connections, TLS, HTTP, and what a JSON body says."""
