"""What a credential may do, and who shows it; each route says beside itself what it needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar
from weakref import WeakKeyDictionary

from aiohttp import web
from aiohttp.web_urldispatcher import AbstractResource, AbstractRoute

R = TypeVar("R", bound=AbstractRoute)


class Scope(StrEnum):
    """What may be done."""

    WEBHOOK = "webhook"
    DEPLOY = "deploy"
    READ = "read"
    RESPOND = "respond"
    APPROVE = "approve"
    ADMIN = "admin"


ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks, as far as the server knows, and what they may do.

    `name` is empty where a credential names nobody; `kind` says what was shown: `token`, `password`, `certificate`,
    `proxy`, or `nobody` where none is needed. Alerts that come with it get its `labels`. `session` is the
    hash of the session's id, where one was shown; its `lapsed` scopes want a new sign-in first.
    """

    name: str = ""
    kind: str = "nobody"
    scopes: frozenset[Scope] = ALL_SCOPES
    labels: Mapping[str, str] = field(default_factory=dict)
    session: str = ""
    lapsed: frozenset[Scope] = frozenset()

    @property
    def verified(self) -> bool:
        """Whether the server knows the name by itself."""
        return bool(self.name)


IDENTITY = web.RequestKey("identity", Identity)
"""In every request that was let in: who asks."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Asks again who it is that was let in, for an answer that lasts: None once they would not be let in now."""

    ask: Callable[[], Awaitable[Identity | None]]


STILL = web.RequestKey("still", Standing)
"""In every request that was let in."""

# Weak: tests make applications by the hundred, and none of their routes has to stay.
_NEEDED: WeakKeyDictionary[AbstractResource, dict[str, Scope]] = WeakKeyDictionary()


def needs(scope: Scope, route: R) -> R:
    """The route, which from now on is for those alone who have the scope."""
    if route.resource is None:
        raise ValueError(f"{route} has no path")
    _NEEDED.setdefault(route.resource, {})[route.method] = scope
    return route


def needed(route: AbstractRoute) -> Scope | None:
    """What a route needs: `admin` when it says nothing, None where there is no route at all."""
    if route.resource is None:
        return None
    # aiohttp adds HEAD to each GET by itself.
    method = "GET" if route.method == "HEAD" else route.method
    # A route that somebody forgot to mark is closed to most, and not open to all.
    return _NEEDED.get(route.resource, {}).get(method, Scope.ADMIN)
