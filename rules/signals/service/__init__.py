"""Signals of a service itself: its requests, probes, queues and connections."""
