"""Tests of deployments that others announce."""
