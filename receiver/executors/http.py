"""CI over HTTP: one request that starts a run, then the run is followed until it ends."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import aiohttp

from deploywatch import json_text, responses
from deploywatch.receiver.channels.errors import scrub, told
from deploywatch.receiver.executors.plan import Means, Result
from deploywatch.receiver.rendering.text import line
from deploywatch.receiver.settings.executors.http import Follow
from deploywatch.receiver.settings.executors.plan import Call
from deploywatch.receiver.settings.placeholders import filled

_ANSWER_LIMIT = 4 * 1024**2
_ANSWER_SECONDS = 30.0
_DETAIL_LIMIT = 300
# Asked once more, a token that is refused stays refused; all else may be a CI that is being restarted.
_PERMANENT = frozenset({401, 403})


async def perform(call: Call, means: Means, limit: timedelta) -> Result:
    """Make the request, and follow the run that it starts until that ends; never raises for trouble outside."""
    return await _Run(call, means).run(limit)


@dataclass(frozen=True, slots=True)
class _Run:
    """One request, and the run that it starts."""

    call: Call
    means: Means

    async def run(self, limit: timedelta) -> Result:
        """Start the run once, then follow it; what may have begun without our knowing is not `known`."""
        means = self.means
        end = means.clock() + limit
        body = filled(self.call.settings.body, self.call.values)
        try:
            status, answer = await self._ask("POST", self.call.settings.url, body)
        # Nothing was sent, so nothing can have begun.
        except aiohttp.ClientConnectorError as error:
            return Result(good=False, detail=f"the run was not started: {self._told(error)}")
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return Result(good=False, detail=f"whether the run started is unknown: {self._told(error)}", known=False)
        if not 200 <= status < 300:
            detail = f"the run was not started: HTTP {status}: {self._clean(answer)}"
            # A gateway's 502 may stand before a CI that took the request.
            return Result(good=False, detail=detail, known=status < 500)
        if self.call.settings.follow is None:
            return Result(good=True, detail=f"HTTP {status}")
        return await self._follow(self.call.settings.follow, answer, end)

    async def _follow(self, follow: Follow, first: Any, end: datetime) -> Result:
        means = self.means
        run = str(at(first, follow.run) or "") if follow.run else ""
        last = "the run did not appear"
        while True:
            try:
                status, answer = await self._ask("GET", follow.url, None, run=run)
                if status in _PERMANENT:
                    return Result(good=False, detail=f"the run cannot be followed: HTTP {status}", known=False)
                # CI systems take seconds until a run that they accepted is listed: 404 and an empty list are no
                # failure.
                run_found = self._found(follow, answer) if status == 200 else None
                last = self._clean(at(run_found, follow.link)) if run_found and follow.link else last
                state = str(at(run_found, follow.state) or "") if run_found is not None else ""
                if state in (*follow.good, *follow.bad):
                    detail = f"the run ended with {state}"
                    link = self._clean(at(run_found, follow.link)) if follow.link else ""
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
        wanted, field = self.call.values["id"], follow.find.field
        for item in items if isinstance(items, list) else ():
            # As a word of its own: `deploywatch-1` is within `deploywatch-12`.
            if wanted in str(at(item, field) or "").split():
                return item
        return None

    async def _ask(self, method: str, url: str, body: Any, *, run: str = "") -> tuple[int, Any]:
        settings = self.call.settings
        headers = dict(settings.headers)
        if settings.token is not None:
            headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
        limit = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
        address = self.call.address(url, run)
        async with self.means.http.request(
            method, address, json=body, headers=headers, timeout=limit, allow_redirects=False
        ) as response:
            content = await responses.read(response, _ANSWER_LIMIT)
            try:
                return response.status, json_text.parse(content) if content else None
            except ValueError:
                return response.status, content.decode("utf-8", "replace")

    def _told(self, error: BaseException) -> str:
        return told(error, (self.call.settings.token,))

    def _clean(self, answer: Any) -> str:
        text = answer if isinstance(answer, str) else json.dumps(answer) if answer is not None else ""
        return line(scrub(text, (self.call.settings.token,)), _DETAIL_LIMIT)


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
