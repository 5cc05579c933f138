"""What the routes of the API share: how they are listed, how bodies and numbers are read, what errors answer."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, StringConstraints

from deploywatch.access.scopes import Scope, needs
from deploywatch.receiver.api.acting import acted_by, name_of
from deploywatch.receiver.intake import bodies
from deploywatch.receiver.intake.bodies import BodyError
from deploywatch.receiver.store import StoreError, UnfitError
from deploywatch.web.admission import FORM

B = TypeVar("B", bound=BaseModel)

PREFIX = "/api/v1"
# The largest number that a BIGINT holds; SQLite raises on more.
_LAST_NUMBER = 2**63 - 1
_DIGITS = len(str(_LAST_NUMBER))
_NO_NUL = r"^[^\x00]*$"  # PostgreSQL stores every character but this one

Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_NO_NUL)]
Remark = Annotated[str, StringConstraints(max_length=4000, pattern=_NO_NUL)]

Handler = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """One route below the prefix; the first line of the handler's docstring says what it does.

    `{id}` in `path` is a number; who asks needs the `scope`; `body` is the model that a request's JSON is read into;
    `query` names the parameters that it knows; `answer` is the type of its JSON answer, `media` what kind of answer it
    is. Where it `may_be_known`, what was recorded before is answered with 200.
    """

    method: str
    path: str
    scope: Scope
    handler: Handler
    body: type[BaseModel] | None = None
    query: tuple[str, ...] = ()
    status: int = 200
    answer: Any = None
    media: str = "application/json"
    may_be_known: bool = False


def add_routes(app: web.Application, routes: Iterable[Route]) -> None:
    """Register the routes; store trouble is 503, values that cannot be stored are 400."""
    for route in routes:
        path = PREFIX + route.path.replace("{id}", r"{id:\d+}")
        needs(route.scope, app.router.add_route(route.method, path, guarded(route.handler)))


async def read_body(request: web.Request, model: type[B]) -> B:
    """The request's JSON as the model, `by` whom as the server knows it; 400 with every fault at its JSON path.

    A page's form is read the same way: whoever signed in, or gave a name before, need not write it again.
    """
    try:
        if request.content_type == FORM:
            return acted_by(request, bodies.read_form(await _fields(request), model))
        return acted_by(request, bodies.read(await request.read(), model))
    except BodyError as error:
        raise web.HTTPBadRequest(text="\n".join(error.faults) + "\n") from error


async def _fields(request: web.Request) -> dict[str, list[str]]:
    """The fields of a form, each with its values; BodyError when it cannot be read."""
    try:
        sent = await request.post()
    except (ValueError, LookupError) as error:  # bytes that are not of its charset, a charset that nobody knows
        raise BodyError(["$: this form cannot be read"]) from error
    fields = {name: [str(value) for value in sent.getall(name)] for name in sent}
    if not any(fields.get("by", ())):
        fields["by"] = [name_of(request)]
    return fields


def number(request: web.Request) -> int:
    """The `{id}` of the path."""
    text = request.match_info["id"]
    # Python itself refuses to read thousands of digits.
    if len(text) > _DIGITS:
        raise web.HTTPBadRequest(text=f"{text[:40]}… is no number of ours: they have at most {_DIGITS} digits\n")
    if int(text) > _LAST_NUMBER:
        raise web.HTTPNotFound(text=f"there is no number {text[:40]}\n")
    return int(text)


def limit(request: web.Request) -> int:
    """How many to list, from `?limit=`."""
    text = request.query.get("limit", "100")
    if not re.fullmatch("[0-9]{1,4}", text) or not 1 <= int(text) <= 1000:
        raise web.HTTPBadRequest(text=f"limit={text[:40]}: write a number from 1 to 1000\n")
    return int(text)


def not_found(what: str, missing: int) -> web.Response:
    """404 for a number that nothing has."""
    return web.Response(status=404, text=f"there is no {what} {missing}\n")


def iso(at: datetime | None) -> str | None:
    """A time as the API gives it: ISO 8601 in UTC."""
    return at.isoformat() if at else None


def guarded(handler: Handler) -> Handler:
    """The handler, with 503 for trouble of the store and 400 for values that cannot be stored."""

    async def answer(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except StoreError as error:
            return web.Response(status=503, text=f"{error}\n", headers={"Retry-After": "5"})
        except UnfitError as error:
            return web.Response(status=400, text=f"{error}\n")

    return answer
