"""Deployments from gate to verdict: what must be there before one begins, and how its stages are watched and judged."""
