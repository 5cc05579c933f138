"""The proxy's part of a request's config."""

from __future__ import annotations

from typing import Self

from pydantic import Field, field_validator, model_validator
from yarl import URL

from deploywatch.config import Settings
from deploywatch.exporter.net.http.header_fields import HeaderName, HeaderValue
from deploywatch.exporter.net.http.proxy import Proxies, from_environment, proxy_url
from deploywatch.exporter.results import Reason
from deploywatch.secrets import SecretUrl


class ThroughProxy(Settings):
    """Through which proxy: `proxy_url`, but for what `no_proxy` names, or what the environment says.

    `proxy_connect_header` goes to the proxy alone. With `proxy_resolves` off, names are resolved here, and the proxy is
    told addresses.
    """

    proxy_url: SecretUrl | None = None
    proxy_from_environment: bool = False
    no_proxy: str = ""
    proxy_connect_header: dict[HeaderName, HeaderValue] = Field(default_factory=dict)
    proxy_resolves: bool = True

    @field_validator("proxy_url")
    @classmethod
    def _is_proxy(cls, url: SecretUrl | None) -> SecretUrl | None:
        if url is not None:
            proxy_url(url.get_secret_value())
        return url

    @model_validator(mode="after")
    def _one_proxy(self) -> Self:
        if self.proxy_from_environment and (self.proxy_url or self.no_proxy):
            raise ValueError("proxy_from_environment is given beside proxy_url or no_proxy; keep one of them")
        if self.no_proxy and not self.proxy_url:
            raise ValueError("no_proxy is given without proxy_url; add it")
        if self.proxy_connect_header and not (self.proxy_url or self.proxy_from_environment):
            raise ValueError("proxy_connect_header is given without a proxy; add proxy_url or proxy_from_environment")
        if self.proxy_from_environment:
            self.proxies()
        return self

    def without_proxy(self) -> frozenset[Reason]:
        """What nobody can fail by who goes through no proxy."""
        return frozenset() if self.proxy_url or self.proxy_from_environment else frozenset({Reason.PROXY})

    def proxies(self) -> Proxies:
        """The proxies, those of the environment as it is now."""
        headers = tuple((name, value.get_secret_value()) for name, value in self.proxy_connect_header.items())
        if self.proxy_url:
            url = proxy_url(self.proxy_url.get_secret_value())
            # As Prometheus: where there are exceptions, this machine is one.
            return Proxies(url, url, self.no_proxy, not self.no_proxy, headers, self.proxy_resolves)
        if not self.proxy_from_environment:
            return Proxies()
        http, https, no_proxy = from_environment()
        return Proxies(_known(http), _known(https), no_proxy, False, headers, self.proxy_resolves)


def _known(text: str) -> URL | None:
    return proxy_url(text) if text else None
