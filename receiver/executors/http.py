"""CI over HTTP: one request that starts a run, then the run is followed until it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

import aiohttp
from pydantic import AfterValidator, Field

from deploywatch.config import Settings
from deploywatch.quantity import Duration, parse_duration
from deploywatch.receiver.actions import command
from deploywatch.receiver.channels.errors import Token, scrub, told
from deploywatch.receiver.executors.plan import Means, Result, Values
from deploywatch.receiver.rendering.filters import line

_ANSWER_LIMIT = 4 * 1024**2
_ANSWER_SECONDS = 30.0
# Of every action; which of them its own action fills in is checked with that.
_KNOWN = command.PLACEHOLDERS | {"id", "replicas", "severity", "incident"}
_DETAIL_LIMIT = 300
_PERMANENT = frozenset({401, 403})
_BAD = ("failure", "failed", "error", "cancelled", "canceled", "timed_out", "startup_failure", "action_required")


def _url(url: str) -> str:
    command.check_template([url], _KNOWN | {"run"})
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not url.isprintable() or " " in url:
        raise ValueError("write a URL that begins with http:// or https://")
    if parts.username or parts.password:
        raise ValueError("must not carry credentials; use token or token_file")
    return url


def _template(value: Any) -> Any:
    command.check_template(list(texts(value)), _KNOWN)
    return value


Url = Annotated[str, AfterValidator(_url)]
Body = Annotated[dict[str, Any], AfterValidator(_template)]


class Find(Settings):
    """Which item of a list is our run: the first whose `field` contains `{id}`."""

    list: str
    field: str


class Follow(Settings):
    """How the run is followed; `run`, `state` and `link` are dotted paths into JSON answers, such as `data.status`.

    `run` names it in the answer to the first request, and is `{run}` in `url`. A state that is neither good nor bad
    is one of a run that goes on.
    """

    url: Url
    run: str = ""
    find: Find | None = None
    state: str
    link: str = ""
    good: tuple[str, ...] = ("success", "succeeded")
    bad: tuple[str, ...] = _BAD
    interval: Annotated[Duration, Field(ge=parse_duration("1s"))] = parse_duration("5s")


class Http(Settings):
    """One POST with a JSON body; without `follow`, an answer of 2xx is success."""

    url: Url
    token: Token | None = None
    headers: dict[Annotated[str, Field(pattern="^[A-Za-z0-9-]+$")], Annotated[str, Field(pattern=r"^[ -~]*$")]] = Field(
        default_factory=dict
    )
    body: Body = Field(default_factory=dict)
    follow: Follow | None = None

    def plan(self, values: Values, limit: timedelta) -> Call:
        """The request with the values filled in; ValueError for a value that could mean more than itself."""
        command.check_values(values)
        follow = self.follow.url if self.follow else ""
        filled([self.url, follow, self.body], {**values, "run": ""})  # a placeholder of another action is a KeyError
        return Call(self, dict(values))


class GitHub(Settings):
    """Dispatch a workflow of GitHub Actions and follow its run.

    The workflow takes the input `id_input` and bears it in its `run-name`, which is how its run is found.
    """

    repository: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$")]
    workflow: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
    ref: Annotated[str, Field(min_length=1)] = "main"
    token: Token
    inputs: Body = Field(default_factory=lambda: {"environment": "{environment}", "version": "{to_version}"})
    id_input: str = "deploywatch_id"
    api: Url = "https://api.github.com"
    interval: Annotated[Duration, Field(ge=parse_duration("1s"))] = parse_duration("5s")

    def plan(self, values: Values, limit: timedelta) -> Call:
        """As `http` would be written for it."""
        workflow = f"{self.api.rstrip('/')}/repos/{self.repository}/actions/workflows/{self.workflow}"
        return Http(
            url=f"{workflow}/dispatches",
            token=self.token,
            headers={"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"},
            body={"ref": self.ref, "inputs": {**self.inputs, self.id_input: "{id}"}},
            follow=Follow(
                url=f"{workflow}/runs?event=workflow_dispatch&per_page=100",
                find=Find(list="workflow_runs", field="display_title"),
                state="conclusion",
                link="html_url",
                bad=(*_BAD, "neutral", "skipped", "stale"),
                interval=self.interval,
            ),
        ).plan(values, limit)


@dataclass(frozen=True, slots=True)
class Call:
    """The request that is about to be made."""

    settings: Http
    values: Mapping[str, str]

    def __str__(self) -> str:
        return f"POST {self._address(self.settings.url)} {json.dumps(filled(self.settings.body, self.values))}"

    @property
    def programs(self) -> tuple[str, ...]:
        """None."""
        return ()

    async def perform(self, means: Means, limit: timedelta) -> Result:
        """Start the run once, then follow it; what may have begun without our knowing is not `known`."""
        end = means.clock() + limit
        body = filled(self.settings.body, self.values)
        try:
            status, answer = await self._ask(means, "POST", self.settings.url, body)
        except aiohttp.ClientConnectorError as error:
            return Result(good=False, detail=f"the run was not started: {self._told(error)}")
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return Result(good=False, detail=f"whether the run started is unknown: {self._told(error)}", known=False)
        if not 200 <= status < 300:
            detail = f"the run was not started: HTTP {status}: {self._clean(answer)}"
            return Result(good=False, detail=detail, known=status < 500)
        if self.settings.follow is None:
            return Result(good=True, detail=f"HTTP {status}")
        return await self._follow(means, self.settings.follow, answer, end)

    async def _follow(self, means: Means, follow: Follow, first: Any, end: datetime) -> Result:
        run = str(at(first, follow.run) or "") if follow.run else ""
        last = "the run did not appear"
        while True:
            try:
                status, answer = await self._ask(means, "GET", follow.url, None, run=run)
                if status in _PERMANENT:
                    return Result(good=False, detail=f"the run cannot be followed: HTTP {status}", known=False)
                found = self._found(follow, answer) if status == 200 else None
                last = self._clean(at(found, follow.link)) if found and follow.link else last
                state = str(at(found, follow.state) or "") if found is not None else ""
                if state in (*follow.good, *follow.bad):
                    detail = f"the run ended with {state}"
                    link = self._clean(at(found, follow.link)) if follow.link else ""
                    return Result(good=state in follow.good, detail=f"{detail}: {link}" if link else detail)
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                last = self._told(error)
            if means.clock() >= end:
                detail = f"the run had not ended at its time limit: {last}"
                return Result(good=False, detail=detail, known=False)
            await means.sleep(follow.interval.total_seconds())

    def _found(self, follow: Follow, answer: Any) -> Any:
        """The run in the answer, or None when it is not there yet."""
        if follow.find is None:
            return answer
        items = at(answer, follow.find.list)
        wanted, field = self.values["id"], follow.find.field
        for item in items if isinstance(items, list) else ():
            if wanted in str(at(item, field) or "").split():
                return item
        return None

    async def _ask(self, means: Means, method: str, url: str, body: Any, *, run: str = "") -> tuple[int, Any]:
        settings = self.settings
        headers = dict(settings.headers)
        if settings.token is not None:
            headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
        limit = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
        address = self._address(url, run)
        async with means.http.request(
            method, address, json=body, headers=headers, timeout=limit, allow_redirects=False
        ) as response:
            content = await _capped(response)
            try:
                return response.status, json.loads(content) if content else None
            except ValueError:
                return response.status, content.decode("utf-8", "replace")

    def _address(self, url: str, run: str = "") -> str:
        return url.format_map({name: quote(value, safe="") for name, value in {**self.values, "run": run}.items()})

    def _told(self, error: BaseException) -> str:
        return told(error, (self.settings.token,))

    def _clean(self, answer: Any) -> str:
        text = answer if isinstance(answer, str) else json.dumps(answer) if answer is not None else ""
        return line(scrub(text, (self.settings.token,)), _DETAIL_LIMIT)


async def _capped(response: aiohttp.ClientResponse) -> bytes:
    """The body, or ValueError when it is larger than anybody's status is."""
    content = bytearray()
    async for chunk in response.content.iter_chunked(64 * 1024):
        content += chunk
        if len(content) > _ANSWER_LIMIT:
            raise ValueError(f"the answer is larger than {_ANSWER_LIMIT} bytes")
        await asyncio.sleep(0)
    return bytes(content)


def at(value: Any, path: str) -> Any:
    """What is at a dotted path, or None; a number is an index into a list."""
    for part in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, Sequence) and not isinstance(value, str) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return [text for part in parts for text in texts(part)]


def filled(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return value.format_map(dict(values))
    if isinstance(value, Mapping):
        return {name: filled(part, values) for name, part in value.items()}
    return [filled(part, values) for part in value] if isinstance(value, list) else value
