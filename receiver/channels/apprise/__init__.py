"""Apprise, whose library speaks to a service in a process of its own."""
