"""Benchmarks, each beside its peers; `scripts/bench` runs them. No test depends on what they find."""
