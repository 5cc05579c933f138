"""Each credential may do what its scopes say and nothing else, on every route of both servers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from prometheus_client import CollectorRegistry

from deploywatch.errors import ConfigError
from deploywatch.receiver import api
from deploywatch.receiver.context import Context
from deploywatch.receiver.pages import Pages
from deploywatch.scopes import IDENTITY, Scope, needed
from deploywatch.serving import Server
from deploywatch.webconfig import Access, guard
from tests.deploywatch.test_webconfig import ADA, basic

PAGE = Path(__file__).parents[3] / "docs" / "scopes.md"
ROWS = re.findall(r"^\| `(\w+) (/\S*)` \| (\w+) \|$", PAGE.read_text(), re.MULTILINE)
ALONE = {
    ("POST", "/webhook/alertmanager"),
    ("GET", "/metrics"),
    ("GET", "/config"),
    ("POST", "/webhook/slack"),
    ("POST", "/webhook/pagerduty"),
}


def _app(tmp_path: Path) -> web.Application:
    """The receiver's API and pages with the lifecycle routes."""
    nobody = cast("Context", None)  # no handler is called
    server = Server("receiver", "127.0.0.1:0", Access(_write(tmp_path)), CollectorRegistry())
    api.add_to(server.app, nobody, queued=lambda: None)
    Pages(nobody).add_to(server.app)
    return server.app


def _routes(app: web.Application) -> Iterator[tuple[web.AbstractRoute, str, str]]:
    for route in app.router.routes():
        if route.resource is not None and route.method != "HEAD":
            yield route, route.method, route.resource.canonical


def _write(folder: Path) -> Path:
    entries = [f"  - {{name: the {scope}, token: {scope}-token, scopes: [{scope}]}}" for scope in Scope]
    (folder / "web.yml").write_text("\n".join(["credentials:", *entries]))
    return folder / "web.yml"


def test_the_table_says_what_each_route_needs(tmp_path: Path) -> None:
    real = {(method, path, str(needed(route))) for route, method, path in _routes(_app(tmp_path))}
    open_to_all = {("GET", "/-/healthy"), ("GET", "/-/ready")}
    assert {row for row in real if row[:2] not in open_to_all} == {
        (method, path, scope) for method, path, scope in ROWS if (method, path) not in ALONE
    }


@pytest.mark.parametrize("scope", Scope)
async def test_a_single_scope_opens_its_own_routes_only(scope: Scope, tmp_path: Path) -> None:
    middleware = guard(Access(_write(tmp_path)), frozenset())
    reached = []

    async def handler(request: web.Request) -> web.Response:
        reached.append(request.get(IDENTITY))
        return web.Response()

    app = _app(tmp_path)
    assert ROWS
    for route, method, path in _routes(app):
        concrete = path.replace("{id}", "1")
        request = make_mocked_request(method, concrete, headers={"Authorization": f"Bearer {scope}-token"}, app=app)
        request._match_info = await app.router.resolve(request)  # as the server does
        answer = await middleware(request, handler)
        assert answer.status == (200 if needed(route) is scope else 403), (method, path)
    assert {identity.name for identity in reached if identity} <= {f"the {scope}"}


async def test_a_user_is_narrowed_and_alertmanager_s_alerts_get_its_labels(tmp_path: Path) -> None:
    (tmp_path / "staging").write_text("s3cret\n")
    (tmp_path / "web.yml").write_text(
        f"basic_auth_users: {{ada: {ADA}}}\n"
        "credentials:\n"
        "  - {user: ada, scopes: [read, respond]}\n"
        "  - {name: am, token_file: staging, scopes: [webhook], labels: {environment: staging}}\n"
    )
    access = Access(tmp_path / "web.yml")
    ada, alertmanager = await access.identify(basic("ada", "lovelace")), await access.identify("Bearer s3cret")
    assert ada is not None
    assert alertmanager is not None
    assert (ada.name, ada.scopes) == ("ada", frozenset({Scope.READ, Scope.RESPOND}))
    assert (alertmanager.name, alertmanager.scopes) == ("am", frozenset({Scope.WEBHOOK}))
    assert alertmanager.labels == {"environment": "staging"}
    assert access.loaded.settings.wide == ()


async def test_exporter_toolkit_s_file_means_what_it_meant_and_is_warned_about(tmp_path: Path) -> None:
    (tmp_path / "web.yml").write_text(f"basic_auth_users: {{ada: {ADA}}}\n")
    access = Access(tmp_path / "web.yml")
    ada = await access.identify(basic("ada", "lovelace"))
    assert ada is not None
    assert ada.scopes == frozenset(Scope)
    assert access.loaded.settings.wide == ("basic_auth_users.ada",)


@pytest.mark.parametrize(
    "text",
    [
        "credentials: [{token: a, scopes: []}]",
        "credentials: [{token: a, scopes: [everything]}]",
        "credentials: [{scopes: [read]}]",
        "credentials: [{token: a, user: b, scopes: [read]}]",
        "credentials: [{token: '', scopes: [read]}]",
        "credentials: [{user: nobody, scopes: [read]}]",
        "credentials: [{certificate: ci, scopes: [read]}]",
        "credentials: [{token: a, scopes: [read]}, {token: a, scopes: [admin]}]",
        "bearer_tokens: [a]\ncredentials: [{token: a, scopes: [read]}]",
    ],
)
def test_a_credential_that_does_not_say_what_it_is_good_for_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "web.yml").write_text(text)
    with pytest.raises(ConfigError, match="credentials"):
        Access(tmp_path / "web.yml")
