"""Who may talk to a server: exporter-toolkit's web config, and bearer tokens."""

from __future__ import annotations

import base64
import ssl
import subprocess
from pathlib import Path

import aiohttp
import bcrypt
import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from deploywatch.access.guard import guard
from deploywatch.access.webconfig import USER, Access
from deploywatch.errors import ConfigError
from tests.deploywatch.conftest import Start

ADA = bcrypt.hashpw(b"lovelace", bcrypt.gensalt(4)).decode()


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "web.yml"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def write(file: Path, text: str) -> None:
    file.write_text(text)


def issue(authority: trustme.CA, folder: Path) -> None:
    """Write `cert.pem` and `key.pem` for this machine."""
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))


def trusting(authority: trustme.CA, client: trustme.LeafCert | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if client:
        client.configure_cert(context)
    return context


def refused(file: Path, text: str) -> list[str]:
    write(file, text)
    with pytest.raises(ConfigError) as caught:
        Access(file)
    return str(caught.value).replace(f"{file.parent}/", "").splitlines()


NO_HASH = "is not a bcrypt hash; make one with: htpasswd -nBC 10"
TOGETHER = "client_ca_file and a client_auth_type other than NoClientCert go together; give both"
TLS = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n"


async def test_without_a_web_config_a_server_is_open(start: Start) -> None:
    assert (await start().ask("/metrics")).status == 200


async def test_basic_auth_lets_in_who_knows_the_password(start: Start, file: Path) -> None:
    write(file, f"basic_auth_users:\n  ada: {ADA}\n")
    sample = start("--web.config.file", file)
    for _ in range(2):  # the second time the password is known to be good
        assert (await sample.ask("/metrics", authorization=basic("ada", "lovelace"))).status == 200
    for wrong in (
        basic("ada", "byron"),
        basic("eve", "lovelace"),
        "",
        "Basic",
        "Basic !",
        "Basic /w==",
        "Digest x",
        "Bearer x",
    ):
        answer = await sample.ask("/metrics", authorization=wrong)
        assert (answer.status, answer.text) == (401, "credentials are missing or wrong\n")
        assert answer.headers["www-authenticate"].startswith("Basic realm=")


async def test_who_may_not_come_in_may_not_reload(start: Start, file: Path) -> None:
    write(file, f"basic_auth_users: {{ada: {ADA}}}")
    sample = start("--web.config.file", file)
    assert (await sample.ask("/-/reload", "POST")).status == 401
    assert not (sample.folder / "reloaded").exists()


async def test_open_paths_and_liveness_need_no_credentials(start: Start, file: Path) -> None:
    write(file, "bearer_tokens: [secret]")
    sample = start("--web.config.file", file)
    for path in ("/-/healthy", "/-/ready", "/open"):
        assert (await sample.ask(path)).status == 200
    assert (await sample.ask("/no-such-page")).status == 401


async def test_two_tokens_are_good_at_once_and_a_reload_takes_the_old_one_away(start: Start, file: Path) -> None:
    (file.parent / "new").write_text("new-token\n")
    write(file, "bearer_tokens: [old-token]\nbearer_token_files: [new]\n")
    sample = start("--web.config.file", file)
    for token, status in (("old-token", 200), ("new-token", 200), ("other", 401), ("", 401)):
        assert (await sample.ask("/metrics", authorization=f"Bearer {token}")).status == status
    write(file, "bearer_token_files: [new]\n")
    assert (await sample.ask("/-/reload", "POST", authorization="Bearer new-token")).status == 200
    assert (await sample.ask("/metrics", authorization="Bearer old-token")).status == 401
    assert (await sample.ask("/metrics", authorization="Bearer new-token")).status == 200


async def test_a_changed_password_counts_after_a_reload(file: Path) -> None:
    write(file, f"basic_auth_users: {{ada: {ADA}}}")
    access = Access(file)
    assert await access.allows(basic("ada", "lovelace"))
    write(file, f"basic_auth_users: {{ada: {bcrypt.hashpw(b'new', bcrypt.gensalt(4)).decode()}}}")
    access.reload()
    assert not await access.allows(basic("ada", "lovelace"))
    assert await access.allows(basic("ada", "new"))


async def test_the_name_that_was_checked_goes_with_the_request(file: Path) -> None:
    write(file, f"bearer_tokens: [secret]\nbasic_auth_users: {{ada: {ADA}}}")
    seen = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.get(USER, ""))
        return web.Response()

    middleware = guard(Access(file), frozenset({"/open"}))
    for path, header in (("/", basic("ada", "lovelace")), ("/", "Bearer secret"), ("/open", basic("ada", "byron"))):
        await middleware(make_mocked_request("GET", path, headers={"Authorization": header}), handler)
    assert seen == ["ada", "", ""]


@pytest.mark.parametrize("header", ["Bearer \udcff", "Basic \udcff", "Basic ä", "bearer", "\udcff"])
async def test_a_header_of_nonsense_is_refused(file: Path, header: str) -> None:
    write(file, f"bearer_tokens: [secret]\nbasic_auth_users: {{ada: {ADA}}}")
    assert not await Access(file).allows(header)


async def test_headers_are_added_to_every_answer(start: Start, file: Path) -> None:
    write(file, "bearer_tokens: [secret]\nhttp_server_config: {headers: {X-Frame-Options: deny}}")
    sample = start("--web.config.file", file)
    for path, authorization, status in (
        ("/metrics", "Bearer secret", 200),
        ("/metrics", "", 401),
        ("/no-such-page", "Bearer secret", 404),
        ("/-/healthy", "", 200),
    ):
        answer = await sample.ask(path, authorization=authorization)
        assert (answer.status, answer.headers["x-frame-options"]) == (status, "deny")


async def test_tls_is_served_and_nothing_else(start: Start, file: Path, authority: trustme.CA) -> None:
    issue(authority, file.parent)
    write(file, TLS)
    sample = start("--web.config.file", file)
    assert (await sample.ask("/metrics", tls=trusting(authority))).status == 200
    with pytest.raises(aiohttp.ClientError):
        await sample.ask("/metrics")


async def test_a_new_certificate_is_served_after_a_reload(start: Start, file: Path, authority: trustme.CA) -> None:
    issue(authority, file.parent)
    write(file, TLS)
    sample = start("--web.config.file", file)
    other = trustme.CA(key_type=trustme.KeyType.RSA)
    certificate = other.issue_cert("127.0.0.1", key_type=trustme.KeyType.RSA)
    certificate.private_key_pem.write_to_path(str(file.parent / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(file.parent / "cert.pem"))
    assert (await sample.ask("/-/reload", "POST", tls=trusting(authority))).status == 200
    assert (await sample.ask("/metrics", tls=trusting(other))).status == 200
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await sample.ask("/metrics", tls=trusting(authority))


async def test_a_client_certificate_is_required_where_the_config_says_so(
    start: Start, file: Path, authority: trustme.CA
) -> None:
    issue(authority, file.parent)
    clients, strangers = trustme.CA(), trustme.CA()
    clients.cert_pem.write_to_path(str(file.parent / "clients.pem"))
    write(file, f"{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: clients.pem\n")
    sample = start("--web.config.file", file)
    known, stranger = clients.issue_cert("client"), strangers.issue_cert("client")
    assert (await sample.ask("/metrics", tls=trusting(authority, known))).status == 200
    for tls in (trusting(authority), trusting(authority, stranger)):
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await sample.ask("/metrics", tls=tls)
    strangers.cert_pem.write_to_path(str(file.parent / "clients.pem"))
    assert (await sample.ask("/-/reload", "POST", tls=trusting(authority, known))).status == 200
    assert (await sample.ask("/metrics", tls=trusting(authority, stranger))).status == 200
    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        await sample.ask("/metrics", tls=trusting(authority, known))


async def test_tls_cannot_be_turned_off_while_the_server_runs(start: Start, file: Path, authority: trustme.CA) -> None:
    issue(authority, file.parent)
    write(file, TLS)
    sample = start("--web.config.file", file)
    write(file, "")
    answer = await sample.ask("/-/reload", "POST", tls=trusting(authority))
    assert answer.status == 500
    assert "only the certificate, key and CA files can change while the server runs; restart it" in answer.text
    assert (await sample.ask("/metrics", tls=trusting(authority))).status == 200


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "basic_auth_users: {ada: lovelace}",
            f"web.yml:1:1: basic_auth_users: the password of 'ada' {NO_HASH} ada",
        ),
        ("bearer_tokens: [a, '']", "web.yml:1:20: bearer_tokens[1]: is empty; write a token, or take the entry out"),
        (
            "bearer_token_files: [none]",
            "web.yml:1:22: bearer_token_files[0]: cannot read none: No such file or directory",
        ),
        ("bearer_token_files: [empty]", "web.yml:1:22: bearer_token_files[0]: empty is empty; write a token into it"),
        (
            "tls_server_config: {cert_file: none, key_file: empty}",
            "web.yml:1:21: tls_server_config.cert_file: cannot read none: No such file or directory",
        ),
        (
            "tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequireAndVerifyClientCert}",
            f"web.yml:1:1: tls_server_config: {TOGETHER}",
        ),
        (
            "tls_server_config: {cert_file: a, key_file: b, min_version: TLS13, max_version: TLS12}",
            "web.yml:1:1: tls_server_config: min_version is newer than max_version",
        ),
        ("basic_auth_user: {}", "web.yml:1:1: basic_auth_user: unknown key; did you mean 'basic_auth_users'?"),
    ],
)
def test_a_faulty_web_config_is_refused_with_the_place(file: Path, text: str, said: str) -> None:
    (file.parent / "empty").touch()
    assert refused(file, text) == [said]


def test_a_key_that_does_not_belong_to_the_certificate_is_refused(file: Path, authority: trustme.CA) -> None:
    issue(authority, file.parent)
    authority.issue_cert("other").private_key_pem.write_to_path(str(file.parent / "key.pem"))
    (said,) = refused(file, TLS)
    assert said.startswith("web.yml:1:1: tls_server_config: the certificate, key or CA file cannot be used: ")


def test_an_encrypted_key_is_refused_and_not_asked_about(file: Path, authority: trustme.CA) -> None:
    issue(authority, file.parent)
    key = file.parent / "key.pem"
    locked = subprocess.run(
        ["openssl", "pkey", "-aes256", "-passout", "pass:secret", "-in", key], check=True, capture_output=True
    )
    key.write_bytes(locked.stdout)
    (said,) = refused(file, TLS)
    assert said.startswith("web.yml:1:1: tls_server_config: the certificate, key or CA file cannot be used: ")


def test_a_fault_shows_no_secret(file: Path) -> None:
    said = refused(
        file, "bearer_tokens: [hunter2]\nbasic_auth_users: {ada: hunter2, eve: [hunter2]}\nbearer_token_files: [x]"
    )
    assert "hunter2" not in "\n".join(said)
