"""The receiver: how fast webhooks are taken in and what a storm costs, beside a handler that stores nothing."""
