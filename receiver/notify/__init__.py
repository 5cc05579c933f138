"""Notifications: messages composed, queued, delivered, gathered into digests, and retried after a crash."""
