"""Slack as its documentation has it: methods of its API, its webhooks, and what a workspace shows."""
