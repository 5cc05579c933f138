"""The receiver: how soon people are told, and what a channel that hangs costs the others."""
