"""The sections of the exporter's config, a module each."""
