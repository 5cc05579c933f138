"""The command line: how long people wait for it."""
