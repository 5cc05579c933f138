"""The exporter: what a probe, a scrape and a schedule cost, beside blackbox_exporter and generate_latest."""
