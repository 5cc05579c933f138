"""The verdict on a deployment: what it is judged by, the evidence from counts, and the answer."""
