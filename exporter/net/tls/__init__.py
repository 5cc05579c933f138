"""TLS: its settings, the handshake, STARTTLS, and what a certificate says."""
