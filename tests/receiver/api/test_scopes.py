"""Each credential may do what its scopes say and nothing else, on every route of both servers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from deploywatch.access.guard import guard
from deploywatch.access.scopes import IDENTITY, Scope, needed
from deploywatch.access.webconfig import Access
from deploywatch.errors import ConfigError
from deploywatch.web.serving import HEALTHY, READY, Server
from tests.deploywatch.test_webconfig import ADA, basic
from tests.support.routes import exporter_server, receiver_server, routes

PAGE = (Path(__file__).parents[3] / "docs" / "scopes.md").read_text()
RECEIVER, EXPORTER = PAGE.split("## The exporter's routes")
# Who has proven it otherwise needs no credential.
PROVEN = {
    "everybody",
    "Slack's signature",
    "PagerDuty's signature",
    "GitHub's signature",
    "Flux's signature",
    "its signature",
    "its key",
}


def _rows(text: str) -> set[tuple[str, str, str]]:
    return set(re.findall(r"^\| `(\w+) (/\S*)` \| (.+) \|$", text, re.MULTILINE))


def _write(folder: Path) -> Path:
    entries = [f"  - {{name: the {scope}, token: {scope}-token, scopes: [{scope}]}}" for scope in Scope]
    (folder / "web.yml").write_text("\n".join(["credentials:", *entries]))
    return folder / "web.yml"


async def _both(folder: Path) -> tuple[tuple[Server, str], ...]:
    web_config = _write(folder)
    receiver = await receiver_server(folder, web_config)
    return (receiver, RECEIVER), (exporter_server(folder, web_config), EXPORTER)


async def test_the_tables_say_what_each_route_needs(tmp_path: Path) -> None:
    for server, text in await _both(tmp_path):
        open_paths = server.open_paths | {HEALTHY, READY}
        said, real = _rows(text), list(routes(server))
        assert {(method, path) for method, path, _ in said} == {(one.method, one.path) for one in real}
        assert len(real) > 10
        by_route = {(method, path): scope for method, path, scope in said}
        for one in real:
            scope = by_route[one.method, one.path]
            assert (scope in PROVEN) is (one.path in open_paths), one
            assert scope in PROVEN or scope == str(needed(one.route)), one


@pytest.mark.parametrize("scope", [*Scope, None])
async def test_a_single_scope_opens_its_own_routes_only(scope: Scope | None, tmp_path: Path) -> None:
    """And no credential opens none but those that need none."""
    for server, _ in await _both(tmp_path):
        reached: set[str] = set()

        async def handler(request: web.Request, reached: set[str] = reached) -> web.Response:
            reached.add(request[IDENTITY].name)
            return web.Response()

        open_paths = server.open_paths | {HEALTHY, READY}
        middleware = guard(server.access, open_paths)
        for route in routes(server):
            headers = {"Authorization": f"Bearer {scope}-token"} if scope else {}
            request = make_mocked_request(route.method, route.concrete, headers=headers, app=server.app)
            request._match_info = await server.app.router.resolve(request)  # as the server does
            assert request.match_info.http_exception is None, route
            answer = await middleware(request, handler)
            let_in = route.path in open_paths or needed(route.route) is scope
            assert answer.status == (200 if let_in else 403 if scope else 401), route
        assert reached <= {f"the {scope}", ""}


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
