"""Observe: probe the system on a schedule, expose what was measured, and answer whether it is healthy."""
