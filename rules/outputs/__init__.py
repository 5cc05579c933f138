"""What a policy is built to: rules, tests, routes, runbooks."""
