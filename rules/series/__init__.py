"""Which series a policy is made of: those of requests, of machines, of the business; and how they may be called."""
