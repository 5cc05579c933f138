"""Who may deliver to the receiver: nobody from afar without credentials; tokens, passwords and certificates."""

from __future__ import annotations

import base64
import json
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import bcrypt
import pytest
import trustme

from deploywatch.demo.processes import wait_until
from tests.receiver.process import RealReceiver
from tests.receiver.scene import alert, body
from tests.support import forked
from tests.support.forked import ForkedProcesses

Listen = Callable[[str], RealReceiver]

WEBHOOK = "/webhook/alertmanager"


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Listen]:
    """Starts a receiver with this web config on every address of the machine."""
    with ForkedProcesses(tmp_path / "logs") as processes:

        def start(web_config: str) -> RealReceiver:
            real = RealReceiver(processes, tmp_path, port=processes.free_port())
            real.configure(database="sqlite:///store.db")
            (tmp_path / "web.yml").write_text(web_config)
            command = [sys.executable, "-m", "deploywatch", "receiver", "--config.file", str(real.file)]
            options = ["--web.config.file", str(tmp_path / "web.yml"), "--web.listen-address", f":{real.port}"]
            real.child = child = processes.start("receiver", [*command, *options], folder=tmp_path)
            wait_until(lambda: "event=listening" in child.tail(), within=90, what="start the receiver", child=child)
            return real

        yield start


async def deliver(real: RealReceiver, *, authorization: str = "", tls: ssl.SSLContext | None = None) -> int:
    """The status of one webhook."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": authorization} if authorization else {})
    url = f"{'https' if tls else 'http'}://127.0.0.1:{real.port}{WEBHOOK}"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=body(alert()), headers=headers, ssl=tls or True) as answer,
    ):
        return answer.status


async def test_while_a_token_is_changed_both_are_good(listen: Listen, tmp_path: Path) -> None:
    (tmp_path / "next").write_text("next-token\n")
    real = listen("bearer_tokens: [token]\nbearer_token_files: [next]\n")
    given = {"Bearer token": 200, "Bearer next-token": 200, "Bearer other": 401, "": 401}
    assert {one: await deliver(real, authorization=one) for one in given} == given


async def test_a_password_lets_in(listen: Listen) -> None:
    real = listen(f"basic_auth_users: {{alertmanager: {bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}}}\n")
    good, bad = (f"Basic {base64.b64encode(pair).decode()}" for pair in (b"alertmanager:secret", b"alertmanager:x"))
    assert await deliver(real, authorization=good) == 200
    assert await deliver(real, authorization=bad) == 401


async def test_a_client_certificate_lets_in_without_anything_else(listen: Listen, tmp_path: Path) -> None:
    authority, strangers = trustme.CA(), trustme.CA()
    server = authority.issue_cert("127.0.0.1")
    server.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    server.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "clients.pem"))
    real = listen(
        "tls_server_config: {cert_file: cert.pem, key_file: key.pem, client_ca_file: clients.pem, "
        "client_auth_type: RequireAndVerifyClientCert}\n"
    )
    known, stranger = ssl.create_default_context(), ssl.create_default_context()
    for context, issuer in ((known, authority), (stranger, strangers)):
        authority.configure_trust(context)
        issuer.issue_cert("alertmanager").configure_cert(context)
    assert await deliver(real, tls=known) == 200
    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        await deliver(real, tls=stranger)


@pytest.mark.parametrize("web_config", ["", "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n"])
def test_nobody_is_served_from_afar_without_credentials(tmp_path: Path, web_config: str) -> None:
    server = trustme.CA().issue_cert("127.0.0.1")
    server.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    server.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    (tmp_path / "receiver.yml").write_text("database: sqlite:///store.db\n")
    (tmp_path / "web.yml").write_text(web_config)
    options = ["--config.file", "receiver.yml", "--web.config.file", "web.yml", "--web.listen-address", ":0"]
    for more in ([], ["--config.check"]):
        ended = forked.run("receiver", *options, *more, cwd=tmp_path)
        assert ended.returncode == 2
        assert (
            "deploywatch: --web.listen-address :0: without authentication it listens on loopback only" in ended.stderr
        )
    assert not (tmp_path / "store.db").exists()


NARROW = (
    "credentials:\n"
    "  - {name: alertmanager, token: am, scopes: [webhook], labels: {environment: staging}}\n"
    "  - {token: reader, scopes: [read]}\n"
)


async def _ask(
    real: RealReceiver, method: str, path: str, token: str = "", *, tls: ssl.SSLContext | None = None
) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    sent = {"by": "x"} if method == "POST" else None
    url = f"{'https' if tls else 'http'}://127.0.0.1:{real.port}{path}"
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, headers=headers, json=sent, ssl=tls or True) as told,
    ):
        return told.status, await told.text()


async def test_alertmanager_s_token_delivers_with_its_labels_and_does_nothing_else(listen: Listen) -> None:
    real = listen(NARROW)
    assert await deliver(real, authorization="Bearer am") == 200
    assert await deliver(real, authorization="Bearer reader") == 403
    for method, path in (
        ("GET", "/api/v1/incidents"),
        ("POST", "/api/v1/deployments"),
        ("POST", "/api/v1/incidents/1/approve"),
        ("POST", "/api/v1/incidents/1/rollback"),
        ("POST", "/-/reload"),
        ("GET", "/config"),
    ):
        assert (await _ask(real, method, path, "am"))[0] == 403
    status, text = await _ask(real, "GET", "/api/v1/incidents", "reader")
    assert (status, [incident["environment"] for incident in json.loads(text)]) == (200, ["staging"])


async def test_a_certificate_may_do_what_its_name_may_and_one_that_is_not_named_nothing(
    listen: Listen, tmp_path: Path
) -> None:
    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1")
    server.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    server.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "clients.pem"))
    real = listen(
        "tls_server_config: {cert_file: cert.pem, key_file: key.pem, client_ca_file: clients.pem, "
        "client_auth_type: RequireAndVerifyClientCert}\ncredentials: [{certificate: alertmanager, scopes: [webhook]}]\n"
    )
    named, other = ssl.create_default_context(), ssl.create_default_context()
    for context, name in ((named, "alertmanager"), (other, "somebody")):
        authority.configure_trust(context)
        authority.issue_cert(name).configure_cert(context)
    assert (await deliver(real, tls=named), await deliver(real, tls=other)) == (200, 403)
    assert (await _ask(real, "GET", "/api/v1/incidents", tls=named))[0] == 403


def test_the_check_says_what_each_credential_may_do(tmp_path: Path) -> None:
    (tmp_path / "receiver.yml").write_text("database: sqlite:///store.db\n")
    (tmp_path / "web.yml").write_text(NARROW + "bearer_tokens: [s3cret]\n")
    ended = forked.run(
        *("receiver", "--config.file", "receiver.yml", "--config.check", "--web.config.file", "web.yml"), cwd=tmp_path
    )
    assert ended.returncode == 0, ended.stderr
    assert "web.yml: alertmanager may webhook; its alerts get environment=staging\n" in ended.stdout
    assert "web.yml: a token without a name may read\n" in ended.stdout
    assert "web.yml: bearer_tokens may do everything; narrow it with an entry in credentials\n" in ended.stdout
    assert "s3cret" not in ended.stdout + ended.stderr
