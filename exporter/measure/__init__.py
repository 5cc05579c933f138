"""What can be measured: every metric family of the probes, and gauges that a config names."""
