"""How many runs may be under way at one server address at once."""

from __future__ import annotations

from pydantic import Field

from deploywatch.config import Settings

_DATABASES = frozenset({"postgres", "redis"})


class PerServer(Settings):
    """The bound for each address, by what listens there.

    A session is dear to a database, which has a hundred; a web server has room for many, and where it hangs, its
    targets must not wait for one another until nobody is told in time.
    """

    databases: int = Field(default=10, ge=1, le=10_000)
    others: int = Field(default=100, ge=1, le=100_000)

    def limit(self, kind: str) -> int:
        """The bound for probes of a kind."""
        return self.databases if kind in _DATABASES else self.others
