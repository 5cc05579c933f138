"""Observe: probe the system on a schedule, expose what was measured, and answer whether it is healthy.

The rooms, from the top; each needs only some of those below it:

    commands, app       to run it, or to check once
    load                a small load test, beside what probes say
    http, reports       what is answered over HTTP, and what a check prints
    exporter            the parts put together, and reloaded
    wait                checking until all is ready
    check, schedule     probing once, and when each target is probed
    health              whether services are well
    pacing              many runs asked for at once, paced
    target_run          one target's runs
    discovery, board    what there is to probe; what runs have measured, put up
    targets             a probe of the config, as it is scheduled
    config_schema, config, settings   the config and its parts
    probes              one module a kind
    net                 reaching a server: addresses, TLS, HTTP, databases
    probing, measure    one run of a probe; every metric family, and gauges of the user's own
    ports               the port registry, and what files claim
    exposition, access, results   text for Prometheus; who may be probed; what a run gives
"""
