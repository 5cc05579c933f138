"""Alertmanager, asked from our side: what was lost on the way, and whether alerts come at all."""
