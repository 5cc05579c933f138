"""Hostile text through every channel, page, command and file: it comes out inert."""
