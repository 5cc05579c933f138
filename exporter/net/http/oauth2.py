"""OAuth 2.0 client credentials (RFC 6749, 4.4): a token fetched from its endpoint, and used until it expires."""

from __future__ import annotations

import base64
import math
import re
from dataclasses import replace
from functools import partial
from typing import Any, Self
from urllib.parse import quote_plus, urlencode

from pydantic import Field, field_validator, model_validator

from deploywatch import json_text
from deploywatch.clock import Clock
from deploywatch.exporter.net.dial import Route
from deploywatch.exporter.net.http.client import Ask, http_url
from deploywatch.exporter.net.http.exchange import Request, Via, exchange
from deploywatch.exporter.net.http.phases import Phases
from deploywatch.exporter.net.http.reading.response import Response
from deploywatch.exporter.net.http.through_proxy import ThroughProxy
from deploywatch.exporter.net.tls.client import TlsClient, context_for
from deploywatch.exporter.probing.os_errors import from_os_error
from deploywatch.exporter.results import Failed, Reason
from deploywatch.secrets import Secret, SecretUrl

_MOST = 256 * 1024
# So that it does not end on its way to the server.
_EARLY = 10.0
"""Seconds before its end from which on a token is not used any more."""

# RFC 6749, appendices A.11 and A.12; no server takes a header that is longer.
_TOKEN = re.compile(r"(?=.*[!-~])[ -~]{1,65536}")
_KIND = re.compile(r"[!-~]{1,100}")

_TYPES = {"bearer": "Bearer", "mac": "MAC", "basic": "Basic"}


class OAuth2(ThroughProxy):
    """Who asks for the token, and where."""

    client_id: str = Field(min_length=1)
    client_secret: Secret
    token_url: SecretUrl
    scopes: tuple[str, ...] = ()
    endpoint_params: dict[str, Secret] = Field(default_factory=dict)
    tls: TlsClient = TlsClient()

    @field_validator("token_url")
    @classmethod
    def _http_url(cls, url: SecretUrl) -> SecretUrl:
        http_url(url.get_secret_value())
        return url

    def form(self) -> dict[str, str]:
        """What is sent beside who we are."""
        given = {name: value.get_secret_value() for name, value in self.endpoint_params.items()}
        scope = {"scope": " ".join(self.scopes)} if self.scopes else {}
        return {"grant_type": "client_credentials", **scope, **given}


class AskWithToken(Ask):
    """A request that may need a token."""

    oauth2: OAuth2 | None = None

    @model_validator(mode="after")
    def _one_way_to_say_who(self) -> Self:
        if self.oauth2 and (self.username or self.bearer_token or any(map(_says_who, self.headers))):
            raise ValueError("oauth2 is given beside another way to say who asks; keep one")
        return self

    def without_token(self) -> frozenset[Reason]:
        """What nobody can fail by who needs no token."""
        return frozenset() if self.oauth2 else frozenset({Reason.AUTH})

    def tokens(self) -> Tokens | None:
        """Where the token comes from, if one is needed."""
        return Tokens(self.oauth2) if self.oauth2 else None


class Tokens:
    """The token of one probe; Failed(auth) when there is none."""

    def __init__(self, settings: OAuth2) -> None:
        self._settings = settings
        self._url = http_url(settings.token_url.get_secret_value())
        self._via = Via(
            route=Route(),
            tls=partial(context_for, settings.tls),
            proxies=settings.proxies(),
            proxy_tls=partial(context_for, settings.tls),
        )
        self._in_header = True
        self._value = ""
        self._until = -math.inf

    async def authorization(self, clock: Clock) -> str:
        """What to write into the Authorization header."""
        if clock.monotonic() >= self._until:
            begin = clock.monotonic()
            document = await self._fetch()
            kind = str(document.get("token_type") or "Bearer")
            self._value = f"{_TYPES.get(kind.lower(), kind)} {document['access_token']}"
            self._until = begin + _lifetime(document.get("expires_in")) - _EARLY
        return self._value

    async def added_to(self, request: Request, phases: Phases, clock: Clock) -> Request:
        """The request with a token; `phases` tell that it is fetched."""
        phases.at = "token"
        authorization = await self.authorization(clock)
        return replace(request, headers=(*request.headers, ("Authorization", authorization)))

    def forget(self) -> None:
        """Fetch another the next time: this one was refused."""
        self._until = -math.inf

    async def _fetch(self) -> dict[str, Any]:
        response = await self._ask()
        # Only for 4xx: what is broken is asked again at the next run.
        if response.status // 100 == 4:
            # Some endpoints want the client in the header, others in the form, and none says which.
            self._in_header = not self._in_header
            second = await self._ask()
            # Neither was taken: it goes back to the standard's way, the header.
            if second.status // 100 != 2:
                self._in_header = not self._in_header
            response = second if second.status // 100 == 2 else response
        if response.status // 100 != 2:
            raise self._failed(f"answered {response.status}{_said(response)}")
        return self._parsed(response)

    def _parsed(self, response: Response) -> dict[str, Any]:
        try:
            document = json_text.parse(response.body)
        except ValueError as error:
            raise self._failed("answered with something that is not JSON") from error
        if not isinstance(document, dict) or not isinstance(document.get("access_token"), str):
            raise self._failed("answered without an access_token")
        kind = document.get("token_type") or "Bearer"
        if not (_TOKEN.fullmatch(document["access_token"]) and isinstance(kind, str) and _KIND.fullmatch(kind)):
            raise self._failed("answered with a token that fits into no header")
        return document

    async def _ask(self) -> Response:
        settings = self._settings
        form, secret = settings.form(), settings.client_secret.get_secret_value()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        if self._in_header:
            # Encoded as a form's values first: RFC 6749, 2.3.1.
            pair = f"{quote_plus(settings.client_id)}:{quote_plus(secret)}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        else:
            form |= {"client_id": settings.client_id, "client_secret": secret}
        request = Request("POST", self._url.with_user(None), tuple(headers.items()), urlencode(form).encode())
        try:
            return await exchange(request, self._via, Phases(), body_limit=_MOST)
        except Failed as failed:
            raise self._failed(failed.detail) from failed
        except OSError as error:
            raise self._failed(from_os_error(error).detail) from error

    def _failed(self, detail: str) -> Failed:
        return Failed(Reason.AUTH, f"no token: the endpoint at {self._url.host}: {detail}")


def _says_who(header: str) -> bool:
    return header.lower() == "authorization"


def _lifetime(given: object) -> float:
    """Seconds; of a token that does not say, none: it is fetched for each run."""
    try:
        seconds = float(given) if isinstance(given, (int, float, str)) else 0.0
    except (ValueError, OverflowError):  # a whole number that is larger than any float
        return 0.0
    return seconds if math.isfinite(seconds) else 0.0


def _said(response: Response) -> str:
    try:
        document = json_text.parse(response.body)
    except ValueError:
        return ""
    words = [document.get(key) for key in ("error", "error_description")] if isinstance(document, dict) else []
    text = ": ".join(word for word in words if isinstance(word, str))
    return f": {text}" if text else ""
