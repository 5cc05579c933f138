"""A model of the world: systems as they are, told as raw series, for promtool and for a real Prometheus.

`state` is how a service is at a time, `timeline` what happens to it, `exposition` what its clients, node_exporter,
cAdvisor, Prometheus, our exporter and our ledger then expose, `film` the samples of all that, and `systems` the six
systems that the shipped policies are for. Nothing here knows how rules are made.
"""
