"""The address that a server listens at, and whether anybody else could reach it."""

from __future__ import annotations

import ipaddress
import socket

from aiohttp import web

from deploywatch.access.files import Loaded
from deploywatch.errors import DeploywatchError


def parse_address(address: str) -> tuple[str | None, int]:
    """Split `host:port`, `[v6]:port` or `:port` (all addresses); DeploywatchError when it is none of these."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise DeploywatchError(f"--web.listen-address {address!r}: write host:port or :port, such as :9871")
    return host.strip("[]") or None, int(port)


def refuse_open(listen: str, web_config: Loaded) -> None:
    """DeploywatchError when an address that others can reach would be served without authentication."""
    host, _ = parse_address(listen)
    if not (web_config.authenticates or reaches_only_us(host)):
        raise DeploywatchError(
            f"--web.listen-address {listen}: without authentication it listens on loopback only, because whoever "
            "reaches it could have things done; give --web.config.file with bearer_tokens, basic_auth_users or "
            f"required client certificates, or listen on 127.0.0.1:{parse_address(listen)[1]}"
        )


def reaches_only_us(host: str | None) -> bool:
    """Whether every address of the host is this machine's own; a name that has none is not."""
    if host is None:
        return False
    try:
        addresses = {str(address[0]) for *_, address in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in addresses)


async def bind_to(site: web.BaseSite, address: str) -> None:
    try:
        await site.start()
    except OSError as error:
        raise DeploywatchError(
            f"cannot listen on {address}: {error.strerror or error}; "
            "free the port, or choose another with --web.listen-address"
        ) from error


def printed_address(runner: web.AppRunner) -> str:
    host, port, *_ = runner.addresses[0]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
