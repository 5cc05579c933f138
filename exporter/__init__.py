"""Observe: probe the system on a schedule, expose what was measured, and answer whether it is healthy.

The rooms, from the top; each needs only some of those below it:

    commands, app       to run it, or to check once
    surface, reports    what is answered over HTTP, and what a check prints
    health, schedule    whether services are well; when each target is probed
    board               what runs have measured, put up
    discovery, targets  what there is to probe
    settings            the parts of the config
    probes              one module a kind
    net                 reaching a server: addresses, TLS, HTTP, databases
    measure             every metric family, and gauges of the user's own
    probing, results    one run of a probe, and what it gives
"""
