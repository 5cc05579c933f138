"""What was measured: metric families, gauges from the config, and what each target shows."""
