"""A small load test: a closed loop of users, percentiles, errors by reason, and a baseline that knows noise."""
