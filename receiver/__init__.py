"""Act: take Alertmanager's webhook and run the incident."""
