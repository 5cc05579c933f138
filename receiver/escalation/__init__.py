"""By when somebody must act, and what happens when nobody did: reminders and escalation steps, as durable jobs."""
