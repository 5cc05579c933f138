"""The public keys by which a proxy's signed header is checked: a JWKS, of a file or of a URL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import aiohttp
import jwt

from deploywatch import json_text, logs, responses

ASK_AGAIN_SECONDS = 60.0
"""How often a URL is asked at most, however many unknown keys callers name."""
_LIMIT = 256 * 1024
_TIMEOUT = aiohttp.ClientTimeout(total=5)

log = logs.get("web")

Keys = Mapping[str, jwt.PyJWK]


class KeysError(Exception):
    """The keys cannot be read; the message says why."""


def parse(text: bytes) -> dict[str, jwt.PyJWK]:
    """The keys of a JWKS by their ids; KeysError where it is none, or has no key with an id."""
    try:
        keys = jwt.PyJWKSet.from_dict(json_text.parse(text)).keys
    except (jwt.PyJWTError, ValueError, AttributeError, TypeError, KeyError) as error:
        raise KeysError(f"is not a JWKS with public keys: {error}") from error
    # A key that both sides know would let whoever can read the file sign as anybody.
    named = {key.key_id: key for key in keys if key.key_id and key.key_type in {"EC", "RSA", "OKP"}}
    if not named:
        raise KeysError('has no public key with an id ("kid"), of the types EC, RSA or OKP')
    return named


def read(path: Path) -> dict[str, jwt.PyJWK]:
    """The keys of a file; KeysError where it cannot be read."""
    try:
        return parse(path.read_bytes())
    except OSError as error:
        raise KeysError(f"cannot be read: {error.strerror}") from error


class RemoteKeys:
    """The keys of a URL, asked when one is named that is not known yet: proxies change theirs every few weeks."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._keys: Keys = {}
        self._asked: float | None = None
        self._asking = asyncio.Lock()

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        """The key of this id; None where the URL has none, or was asked a moment ago."""
        # Known keys are never asked for again: the URL may be away for hours without anybody noticing.
        if key_id not in self._keys:
            # Of many requests that come with a new key, one asks, and the others find what it brought.
            async with self._asking:
                if key_id not in self._keys and self._is_due():
                    await self._ask()
        return self._keys.get(key_id)

    def _is_due(self) -> bool:
        return self._asked is None or self._clock() - self._asked >= ASK_AGAIN_SECONDS

    async def _ask(self) -> None:
        # Before the answer: a URL that is away must not be asked once for each request.
        self._asked = self._clock()
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT) as session,
                session.get(self._url, allow_redirects=False) as answer,
            ):
                self._keys = await _answered(answer)
        except (KeysError, aiohttp.ClientError, TimeoutError, ValueError) as error:
            reason = str(error) or type(error).__name__
            log.error("the proxy's signing keys cannot be read; nobody it names comes in", url=self._url, reason=reason)


async def _answered(answer: aiohttp.ClientResponse) -> Keys:
    if answer.status != 200:
        raise KeysError(f"answered {answer.status}")
    return parse(await responses.read(answer, _LIMIT))
