"""Nothing that another site, another port, no origin or another name sends is done, whatever the browser adds to it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from deploywatch.receiver.client import Client
from tests.deploywatch.test_webconfig import basic, trusting
from tests.receiver.scene import alert, body
from tests.receiver.sign_in.conftest import USERS, Console, Start

pytestmark = pytest.mark.sqlite_only

CERTIFICATE = "  - {certificate: ann's laptop, scopes: [webhook, read, respond, approve, admin]}\n"
TLS = """
tls_server_config:
  cert_file: cert.pem
  key_file: key.pem
  client_ca_file: ca.pem
  client_auth_type: VerifyClientCertIfGiven
"""
# What a browser says of where a request comes from; {host} is what it asks, {port} another port of it.
FOREIGN = {
    "cross-site": {"Sec_Fetch_Site": "cross-site", "Origin": "https://evil.example"},
    "cross-site, plain HTTP": {"Origin": "http://evil.example"},
    "other port": {"Sec_Fetch_Site": "same-site", "Origin": "{scheme}://127.0.0.1:1"},
    "other port, plain HTTP": {"Origin": "{scheme}://127.0.0.1:1"},
    "null": {"Sec_Fetch_Site": "cross-site", "Origin": "null"},
    "null, plain HTTP": {"Origin": "null"},
    "foreign Host": {"Sec_Fetch_Site": "same-origin", "Origin": "{scheme}://evil.example", "Host": "evil.example"},
    "foreign Host, plain HTTP": {"Origin": "http://evil.example:9872", "Host": "evil.example:9872"},
}
DEPLOYMENT = {"service": "shop", "environment": "production", "version": "evil", "deployer": "mallory"}
ACTS = (
    ("/api/v1/incidents/1/acknowledge", "json"),
    ("/api/v1/incidents/1/rollback", "json"),
    ("/api/v1/deployments", "json"),
    ("/sign-in", "form"),
    ("/sign-out", "form"),
    ("/sessions/end-all", "form"),
    ("/-/reload", ""),
)


@dataclass(slots=True)
class Way:
    """A way in which somebody's browser is let in by itself."""

    console: Console
    headers: dict[str, str]

    async def act(self, path: str, kind: str, **headers: str) -> int:
        """Try one thing; its status."""
        data = (DEPLOYMENT if path.endswith("deployments") else {"by": "mallory"}) if kind == "json" else None
        form = {"name": "mallory", "password": "x", "everywhere": "yes"} if kind == "form" else None
        sent = {**self.headers, **headers}
        return (await self.console.ask("POST", path, data=data, form=form, **sent)).status


@pytest.fixture(params=["session", "basic", "certificate", "open loopback"])
async def way(request: pytest.FixtureRequest, start: Start, tmp_path: Path) -> Way:
    kind, authority, folder = request.param, trustme.CA(), tmp_path
    if kind == "open loopback":
        console: Console = await start("")
        return await _with_incident(Way(console, {}))
    if kind != "certificate":
        console = await start(USERS)
        if kind == "session":
            assert (await console.sign_in(name="ann", password="lovelace")).status == 303
            return await _with_incident(Way(console, {}))
        return await _with_incident(Way(console, {"Authorization": basic("ann", "lovelace")}))
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    console = await start(
        TLS + USERS + CERTIFICATE, tls=trusting(authority, authority.issue_cert(common_name="ann's laptop"))
    )
    return await _with_incident(Way(console, {}))


async def _with_incident(way: Way) -> Way:
    sent = {"Content_Type": "application/json", "Authorization": "Bearer all-0123456789"}
    answer = await way.console.ask("POST", "/webhook/alertmanager", data=body(alert()), **sent)
    assert answer.status == 200
    return way


async def test_what_comes_from_elsewhere_is_refused_and_leaves_no_trace_of_an_act(way: Way) -> None:
    before = await way.console.audit()
    scheme = way.console.url.partition(":")[0]
    for name, headers in FOREIGN.items():
        for path, kind in ACTS:
            sent = {key: value.format(scheme=scheme) for key, value in headers.items()}
            status = await way.act(path, kind, **sent)
            # Under another name a browser has no session of ours, so that nobody is known at all.
            assert status == 403 or (status in (303, 401) and name.startswith("foreign Host")), (name, path, status)
    assert await way.console.audit() == before
    metrics = (await way.console.ask("GET", "/metrics", Authorization="Bearer all-0123456789")).text
    assert "deploywatch_http_foreign_requests_total" in metrics


async def test_what_our_own_page_sends_is_done(way: Way) -> None:
    """So that each refusal above is one of a thing that works."""
    ours = {"Sec_Fetch_Site": "same-origin", "Origin": way.console.url}
    for headers in (ours, {"Origin": way.console.url}, {"Sec_Fetch_Site": "none"}, {}):
        assert await way.act("/api/v1/incidents/1/acknowledge", "json", **headers) == 200
    whats = [what for what, _, _ in await way.console.audit()]
    assert whats.count("incidents.acknowledge") == 4


async def test_the_command_line_with_a_token_works_under_any_name(start: Start) -> None:
    console: Console = await start()
    await _with_incident(Way(console, {}))
    client = Client(console.url, "duty-token-0123456789")
    await asyncio.to_thread(client.post, "/incidents/1/acknowledge", {"by": "duty phone"})
    assert (await console.audit())[-1] == ("incidents.acknowledge", "duty phone", True)
    sent = {"Authorization": "Bearer duty-token-0123456789", "Host": "receiver.corp:9872"}
    answer = await console.ask("POST", "/api/v1/incidents/1/acknowledge", data={"by": "duty phone"}, **sent)
    assert answer.status == 200


async def test_behind_a_proxy_the_page_s_origin_is_external_url_s(start: Start) -> None:
    console: Console = await start(USERS, external_url="https://ops.example.com/watch/")
    await _with_incident(Way(console, {}))
    way = Way(console, {"Authorization": basic("ann", "lovelace")})
    path = "/api/v1/incidents/1/acknowledge"
    for host in ("ops.example.com", "receiver.internal:9872"):
        assert await way.act(path, "json", Origin="https://ops.example.com", Host=host) == 200
        sent = {"Origin": "https://ops.example.com", "Sec_Fetch_Site": "same-origin", "Host": host}
        assert await way.act(path, "json", **sent) == 200
    for origin in ("https://ops.example.com:8443", "https://example.com", "http://evil.example"):
        assert await way.act(path, "json", Origin=origin, Host="ops.example.com") == 403
    # A page of plain HTTP on our own name is somebody else on the way.
    assert await way.act(path, "json", Origin="http://ops.example.com", Host="receiver.internal") == 403
