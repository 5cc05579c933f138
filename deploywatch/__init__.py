"""deploywatch: from probe to post-mortem."""

__version__ = "0.1.0"
