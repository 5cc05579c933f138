"""A whole receiver behind HTTP in this process, whose clock is moved; asked as browsers and programs ask."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import bcrypt
import pytest
from aiohttp.test_utils import TestServer

from deploywatch.access.webconfig import Access
from deploywatch.receiver.app import Receiver
from deploywatch.receiver.context import Context
from deploywatch.receiver.rendering.templates import Templates
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.store import Store
from tests.receiver.scene import MovingClock, alert, body

ANN = bcrypt.hashpw(b"lovelace", bcrypt.gensalt(4)).decode()
BEN = bcrypt.hashpw(b"babbage", bcrypt.gensalt(4)).decode()
USERS = f"""
basic_auth_users: {{ann: {ANN}, ben: {BEN}}}
credentials:
  - {{user: ann, scopes: [read, respond, approve, admin]}}
  - {{user: ben, scopes: [read]}}
  - {{name: duty phone, token: duty-token-0123456789, scopes: [read, respond]}}
  - {{token: nameless-0123456789, scopes: [read]}}
"""
BROWSER = {"Accept": "text/html,application/xhtml+xml", "Sec-Fetch-Mode": "navigate"}


@dataclass(slots=True)
class Answer:
    """What came back."""

    status: int
    text: str
    headers: dict[str, str]
    cookies: SimpleCookie

    @property
    def location(self) -> str:
        """Where it leads."""
        return self.headers.get("Location", "")


@dataclass(slots=True)
class Console:
    """The receiver, and what its browser holds."""

    url: str
    clock: MovingClock
    context: Context
    access: Access
    web_file: Path
    http: aiohttp.ClientSession
    tls: ssl.SSLContext | bool = True
    cookie: str = ""
    metrics: list[str] = field(default_factory=list)

    async def ask(self, method: str, path: str, *, form: Any = None, data: Any = None, **headers: Any) -> Answer:
        """One request; `_` stands for `-` in a header's name. Redirects are not followed."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookie and "Cookie" not in named:
            named["Cookie"] = self.cookie
        if form is not None:
            data, named["Content-Type"] = urlencode(form), "application/x-www-form-urlencoded"
        elif isinstance(data, dict):
            data, named["Content-Type"] = json.dumps(data), "application/json"
        sent = self.http.request(method, self.url + path, data=data, headers=named, ssl=self.tls, allow_redirects=False)
        async with sent as answer:
            return Answer(answer.status, await answer.text(), dict(answer.headers), answer.cookies)

    async def page(self, path: str, **headers: str) -> Answer:
        """A page, as a browser asks for it."""
        return await self.ask("GET", path, **{**{k.replace("-", "_"): v for k, v in BROWSER.items()}, **headers})

    async def sign_in(self, **form: str) -> Answer:
        """Sign in; the browser keeps the cookie."""
        answer = await self.ask("POST", "/sign-in", form=form, Sec_Fetch_Site="same-origin", Sec_Fetch_Mode="navigate")
        for name, morsel in answer.cookies.items():
            self.cookie = f"{name}={morsel.value}"
        return answer

    async def audit(self) -> list[tuple[str, str, bool]]:
        """What stands in the audit, the oldest first: what, who, and whether that is known."""
        answer = await self.ask("GET", "/api/v1/audit", Authorization="Bearer all-0123456789", Cookie="")
        assert answer.status == 200, answer.text
        return [(row["what"], row["who"], row["verified"]) for row in reversed(json.loads(answer.text))]

    async def refused(self, reason: str) -> float:
        """How many credentials were refused for this reason."""
        text = (await self.ask("GET", "/metrics", Authorization="Bearer all-0123456789")).text
        match = re.search(rf'refused_credentials_total{{reason="{reason}"}} (\S+)', text)
        assert match
        return float(match[1])


Start = Callable[..., Any]


@pytest.fixture
async def start(tmp_path: Path, empty_store: Path) -> AsyncIterator[Start]:
    """Serves a receiver with this web config and these settings."""
    async with AsyncExitStack() as stack:

        async def begin(web_config: str = USERS, *, tls: ssl.SSLContext | None = None, **settings: Any) -> Console:
            shutil.copy(empty_store, tmp_path / "store.db")
            config = ReceiverConfig.model_validate({"database": f"sqlite:///{tmp_path}/store.db", **settings})
            web_file = tmp_path / "web.yml"
            if web_config:
                extra = (
                    "\n  - {name: everything, token: all-0123456789, scopes: [webhook, read, respond, approve, admin]}"
                )
                web_config = web_config.replace("credentials:", f"credentials:{extra}", 1)
            web_file.write_text(web_config)
            access, clock = Access(web_file), MovingClock()
            http = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
            store = Store(config.database.get_secret_value())
            context = Context(config, store, Templates(None), {}, http, clock=clock, sleep=asyncio.sleep)
            receiver = Receiver(lambda: config, config, context)
            server = receiver.make_server("127.0.0.1:0", access)
            served = TestServer(server.app, scheme="https" if access.ssl else "http")
            await served.start_server(ssl=access.ssl)
            stack.push_async_callback(served.close)
            url = str(served.make_url("")).rstrip("/")
            return Console(url, clock, context, access, web_file, http, tls or True)

        yield begin


@pytest.fixture
async def console(start: Start) -> Console:
    """A receiver with Ann, Ben and a phone; with an incident."""
    begun: Console = await start()
    sent = {"Content_Type": "application/json", "Authorization": "Bearer all-0123456789"}
    answer = await begun.ask("POST", "/webhook/alertmanager", data=body(alert()), **sent)
    assert answer.status == 200
    return begun
