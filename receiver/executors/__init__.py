"""Executors: how an action reaches the world. Commands with their presets, and CI over HTTP."""
