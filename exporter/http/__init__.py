"""What the exporter shows over HTTP: health answers and pages for people."""
