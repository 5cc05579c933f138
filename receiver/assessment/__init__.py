"""How healthy a deployment is: phase, status by kind, score, impact, confidence, anomalies, what to do, when next."""
