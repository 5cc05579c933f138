"""Answers of the servers that we ask: bounded, and never from somewhere else than asked."""

from __future__ import annotations

import asyncio

import aiohttp

from deploywatch.secrets import redact_url

_CHUNK = 64 * 1024
_SHOWN = 300
"""Characters of an address that a person is shown."""
_OF_LIBRARIES = 8 * 1024**2


async def read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body, unpacked. Raises ValueError where it is larger than `limit` bytes."""
    content = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        content += chunk
        if len(content) > limit:
            raise ValueError(f"the answer is larger than {limit} bytes")
        # A body that is there already is read without ever waiting, and probes would run late meanwhile.
        await asyncio.sleep(0)
    return bytes(content)


async def read_start(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body, unpacked and cut after `limit` bytes: what a person is shown of it.

    `content.read(limit)` would be what has arrived by now, which may end within a number.
    """
    content = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        content += chunk
        if len(content) >= limit:
            break
    return bytes(content[:limit])


async def read_direct(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body of a request that was made with `allow_redirects=False`. Raises ValueError, for a redirect too.

    Who follows one sends credentials to a server that nobody configured, and takes a sign-in page for an answer.
    """
    if 300 <= response.status < 400:
        where = redact_url(response.headers.get("Location", "nowhere"))[:_SHOWN]
        raise ValueError(f"it redirects ({response.status}) to {where} and is not followed: write the address itself")
    return await read(response, limit)


class Bounded(aiohttp.ClientResponse):
    """An answer that a library reads whole, such as slack_sdk: given up beyond 8 MiB unpacked, with a ValueError.

    A session makes its answers so by `response_class=Bounded`.
    """

    async def read(self) -> bytes:
        """The whole body, unpacked."""
        if self._body is None:
            try:
                self._body = await read(self, _OF_LIBRARIES)
            except BaseException:
                self.close()
                raise
        return self._body
