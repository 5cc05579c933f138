"""The rules: how long policies take to build, and what they cost Prometheus beside hand-written ones."""
