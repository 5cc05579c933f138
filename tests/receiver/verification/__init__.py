"""Tests of deployments from gate to verdict."""
