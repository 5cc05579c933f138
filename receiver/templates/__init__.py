"""The words of every message: one Jinja2 template an event, and what templates may do to a value."""
