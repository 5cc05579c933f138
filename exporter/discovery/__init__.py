"""Targets from files that change."""
