"""How a deployment is judged as a whole, as recording rules: its health, and figures of delivery."""
