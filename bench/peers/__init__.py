"""What peers say and what we say in the same situations, with real servers: the table of docs/exporter/peers.md."""
