"""A live Prometheus beside a policy: what it has, what the policy misses in it, what its alerts say now and said."""
