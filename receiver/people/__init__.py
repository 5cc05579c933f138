"""The people side of incidents: who is on call, by when somebody must act, what waits for them, what they did."""
