"""Review: which ports are registered, which deployment files claim, and where the two are at odds.

`deploywatch ports` reads the registry and the files; the exporter's `port` probe reads the same registry, so that
review and run time agree.
"""
