"""Tests of the events that are published."""
