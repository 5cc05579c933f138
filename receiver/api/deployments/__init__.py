"""Deployments from gate to verdict, over HTTP: the ledger, the gate, stages, assessments, reports, delivery."""
