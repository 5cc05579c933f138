"""PagerDuty: events sent, and what its Events API answers."""
