"""Whether probes and services are well, judged from last results."""
