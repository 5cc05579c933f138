"""What every server of deploywatch does with requests: listen, bound, refuse, answer, and stop well."""
