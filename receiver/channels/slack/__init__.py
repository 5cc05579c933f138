"""Slack: what is sent, what its answers mean, and how a message that may have been sent is found again."""
