"""The people side of incidents: by when somebody must act, what waits for them, what they did, and how it ends."""
