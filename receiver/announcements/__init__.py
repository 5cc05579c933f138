"""Deployments that others announce: CDEvents, GitHub, Argo CD and Flux, taken into the ledger."""
