"""Deployments: who deployed what, when, and with what result."""
