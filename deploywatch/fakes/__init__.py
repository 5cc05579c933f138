"""Servers that answer as Slack, PagerDuty, SMTP and webhooks are documented to; tests and the demo share them."""
