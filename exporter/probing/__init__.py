"""One run of a probe: its settings, what it measures, and its result."""
