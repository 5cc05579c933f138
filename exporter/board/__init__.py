"""What runs have measured, put up: for /metrics, for the health answers, and to be looked at again."""
