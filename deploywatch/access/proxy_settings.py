"""What a web config says of a proxy in front that knows who asks."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from deploywatch.access.scopes import Scope
from deploywatch.config import RelativePath, Settings

AnyNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]


def _network(value: object) -> AnyNetwork:
    if isinstance(value, (ipaddress.IPv4Network, ipaddress.IPv6Network)):
        return value
    try:
        return ipaddress.ip_network(str(value))
    except ValueError as error:
        raise ValueError(f"{value!r} is not an address or network such as 10.0.0.5 or fd00::/8: {error}") from error


Network = Annotated[AnyNetwork, BeforeValidator(_network)]


class SignedHeader(Settings):
    """A header with a JWT that a proxy has signed: whose it is, by which keys, and which claim names the user.

    The keys are a JWKS: a file, which is read anew on a reload, or a URL, which is asked again for a key that is new.
    """

    header: HeaderName
    keys_file: RelativePath | None = None
    keys_url: Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+\S*$")] | None = None
    issuer: Annotated[str, Field(min_length=1)]
    audience: Annotated[str, Field(min_length=1)]
    claim: Annotated[str, Field(min_length=1)] = "email"

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.keys_file is None) == (self.keys_url is None):
            raise ValueError("give exactly one of keys_file and keys_url")
        return self


class ProxyIdentity(Settings):
    """A proxy in front that knows who asks: it says so in a plain `header`, or in one that it signs.

    A plain header counts from the named `addresses` alone. Whom the proxy names may do what their entry in
    `credentials` says, and who has none what `scopes` say.
    """

    addresses: tuple[Network, ...] = ()
    header: HeaderName | None = None
    jwt: SignedHeader | None = None
    scopes: tuple[Scope, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.header is None) == (self.jwt is None):
            raise ValueError("give exactly one of header and jwt")
        if self.header is not None and not self.addresses:
            raise ValueError("a plain header counts from named proxies only; name their addresses")
        return self
