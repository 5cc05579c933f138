"""Alerts of incidents: as they stand in the store, as people see them, and what came otherwise than expected."""
