"""What reads bytes of others, fed with bytes that nobody thought of: `scripts/fuzz`."""
