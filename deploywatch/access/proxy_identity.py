"""Whom a proxy in front names: by a plain header from its own addresses, or by a JWT that it has signed."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

import jwt
from aiohttp import web

from deploywatch.access.proxy_settings import ProxyIdentity, SignedHeader
from deploywatch.access.scopes import Identity
from deploywatch.access.signing_keys import Keys, RemoteKeys

KIND = "proxy"
# No HS256 and its like: with a shared secret whoever can check a name could also sign one.
_ALGORITHMS = ("ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA")
_LEEWAY = 30  # seconds that the proxy's clock may differ from ours
_NAME_LIMIT = 200


class UntrustedError(Exception):
    """The header names somebody, but not in a way that counts."""


class Proxy:
    """Reads the header; `entries` are the users that stand in `credentials`."""

    def __init__(self, settings: ProxyIdentity, entries: Mapping[str, Identity], keys: Keys) -> None:
        self._settings = settings
        self._entries = entries
        self._keys = keys
        url = settings.jwt.keys_url if settings.jwt else None
        self._remote = RemoteKeys(url) if url else None

    async def identify(self, request: web.Request) -> Identity | None:
        """Whom the proxy names; None where it names nobody. UntrustedError where the header does not count."""
        signed = self._settings.jwt
        given = request.headers.getall(signed.header if signed else self._settings.header or "", [])
        # Some proxies send the header empty for what needs no sign-in.
        if not given or given == [""]:
            return None
        if len(given) > 1:
            # A caller's own header beside the proxy's: whoever reads the first and whoever reads the last differ.
            raise UntrustedError("the header is there more than once")
        if self._settings.addresses and not self._is_proxy(request.remote or ""):
            raise UntrustedError("the header comes from an address that is none of the proxy's")
        name = await self._signed(signed, given[0]) if signed else given[0].strip()
        if not name or len(name) > _NAME_LIMIT or not name.isprintable():
            raise UntrustedError("the name is empty, too long, or cannot be read")
        return self._entries.get(name) or Identity(name, KIND, frozenset(self._settings.scopes))

    def _is_proxy(self, remote: str) -> bool:
        try:
            address = ipaddress.ip_address(remote.partition("%")[0])
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return any((mapped or address) in network for network in self._settings.addresses)

    async def _signed(self, settings: SignedHeader, text: str) -> str:
        """The name that a JWT gives; UntrustedError unless all of it is as the settings want it."""
        try:
            key = await self._key(str(jwt.get_unverified_header(text).get("kid", "")))
            claims = jwt.decode(
                text,
                key,
                # The key says by which algorithm it signs, never the header: it comes from the caller.
                algorithms=[name for name in _ALGORITHMS if name == key.algorithm_name],
                audience=settings.audience,
                issuer=settings.issuer,
                leeway=_LEEWAY,
                # A JWT without an end would be a password for ever; without an audience, one of another service of the
                # same proxy would do.
                options={"require": ["exp", "iss", "aud", settings.claim]},
            )
        except (jwt.PyJWTError, ValueError) as error:
            raise UntrustedError(f"the signed header does not hold: {error}") from error
        name = claims.get(settings.claim)
        return name.strip() if isinstance(name, str) else ""

    async def _key(self, key_id: str) -> jwt.PyJWK:
        key = await self._remote.find(key_id) if self._remote else self._keys.get(key_id)
        if key is None:
            raise UntrustedError(f"no known key has the id {key_id[:80]!r}")
        return key
