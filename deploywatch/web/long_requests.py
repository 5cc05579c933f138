"""Requests that take long by nature: bounded in number, so that there are always connections for short ones."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import TypeVar
from weakref import WeakKeyDictionary

import prometheus_client
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from aiohttp.web_urldispatcher import AbstractResource, AbstractRoute
from prometheus_client import CollectorRegistry

RETRY_SECONDS = 5
"""After how long one for which there is no place may ask again."""

R = TypeVar("R", bound=AbstractRoute)
Applies = Callable[[web.Request], bool]


class Long(StrEnum):
    """What a request takes long for."""

    PROBE = "probe"
    FRESH = "fresh"
    LIVE = "live"


# A fifth is left for scrapes, pages, and whatever else is answered at once.
SHARES = {Long.PROBE: 0.5, Long.FRESH: 0.1, Long.LIVE: 0.2}
"""The share of all connections that those of a kind may hold together."""

_KINDS: WeakKeyDictionary[AbstractResource, tuple[Long, Applies]] = WeakKeyDictionary()


def _always(_: web.Request) -> bool:
    return True


def takes_long(kind: Long, route: R, *, when: Applies = _always) -> R:
    """The route, whose requests count as long ones from now on; with `when`, those of which it is true."""
    if route.resource is None:
        raise ValueError(f"{route} has no path")
    _KINDS[route.resource] = (kind, when)
    return route


def bounded(connections: int, registry: CollectorRegistry) -> Middleware:
    """A middleware that answers 503 where a kind's share of so many connections is taken."""
    held: Counts[Long] = Counts()
    most = {kind: max(1, int(connections * share)) for kind, share in SHARES.items()}
    refused = prometheus_client.Counter(
        "deploywatch_http_long_requests_refused",
        "Requests that were answered with 503 because as many that take long were under way as may be, by kind.",
        ["kind"],
        registry=registry,
    )
    under_way = prometheus_client.Gauge(
        "deploywatch_http_long_requests", "Requests under way that take long, by kind.", ["kind"], registry=registry
    )
    for kind in Long:
        refused.labels(kind)
        under_way.labels(kind).set_function(partial(held.__getitem__, kind))

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        kind = _kind(request)
        if kind is None:
            return await handler(request)
        if held[kind] >= most[kind]:
            refused.labels(kind).inc()
            text = f"{most[kind]} requests of this kind ({kind}) are under way; ask again later\n"
            return web.Response(status=503, text=text, headers={"Retry-After": str(RETRY_SECONDS)})
        held[kind] += 1
        try:
            return await handler(request)
        finally:
            held[kind] -= 1

    return middleware


def kind_of(route: AbstractRoute) -> Long | None:
    """What requests to a route may take long for; None where they never do."""
    return _KINDS[route.resource][0] if route.resource and route.resource in _KINDS else None


def _kind(request: web.Request) -> Long | None:
    resource = request.match_info.route.resource
    if resource is None or resource not in _KINDS:
        return None
    kind, applies = _KINDS[resource]
    return kind if applies(request) else None
