"""The durable queue, and the worker that runs what is due."""
