"""Unit tests for promtool, one module for each thing that they try."""
