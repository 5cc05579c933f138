"""A proxy in front names who asks: from its own address, or by what it has signed."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from deploywatch.access.webconfig import Access
from deploywatch.errors import ConfigError
from tests.receiver.sign_in.conftest import Console, Start

pytestmark = pytest.mark.sqlite_only
ENTRIES = """
credentials:
  - {proxy_user: ann@example.com, name: ann, scopes: [read, respond]}
"""
BY_HEADER = "proxy_identity: {header: X-Forwarded-User, addresses: [127.0.0.1/32], scopes: [read]}\n" + ENTRIES
FROM_ELSEWHERE = BY_HEADER.replace("127.0.0.1/32", "10.9.0.0/16")
SIGNED = (
    """
proxy_identity:
  jwt: {header: X-Assertion, keys_file: keys.json, issuer: https://proxy.example, audience: deploywatch}
"""
    + ENTRIES
)
KEY, OTHER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())


def _claims(**changes: Any) -> dict[str, Any]:
    whole = {"iss": "https://proxy.example", "aud": "deploywatch", "email": "ann@example.com"}
    return {**whole, "exp": int(time.time()) + 300, **changes}


def _jwks(*keys: ec.EllipticCurvePrivateKey) -> str:
    found = [json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())) for key in keys]
    return json.dumps({"keys": [{**key, "kid": f"key {n}", "alg": "ES256"} for n, key in enumerate(found)]})


def _signed(key: Any = KEY, algorithm: str = "ES256", kid: str = "key 0", **changes: Any) -> str:
    return jwt.encode(_claims(**changes), key, algorithm=algorithm, headers={"kid": kid})


def _unsigned(head: bytes) -> str:
    return f"{base64.urlsafe_b64encode(head).decode().rstrip('=')}.e30.e30"


async def test_whom_the_proxy_names_may_do_what_their_entry_says(start: Start) -> None:
    console: Console = await start(BY_HEADER)
    page = await console.page("/sessions", X_Forwarded_User="ann@example.com")
    assert page.status == 200
    assert "May: read, respond." in page.text
    # Who has no entry may do what the proxy's users may.
    assert "May: read." in (await console.page("/sessions", X_Forwarded_User="eve@example.com")).text
    assert (await console.page("/sessions")).status == 303
    assert (await console.page("/sessions", X_Forwarded_User="")).status == 303


async def test_a_plain_header_counts_from_the_proxy_s_address_alone(start: Start) -> None:
    console: Console = await start(FROM_ELSEWHERE)
    assert (await console.page("/", X_Forwarded_User="ann@example.com")).status == 303
    assert await console.refused("proxy") == 1


@pytest.mark.parametrize("name", ["a" * 201, "ann\u202e"])
async def test_a_name_that_cannot_be_read_is_nobody_s(start: Start, name: str) -> None:
    console: Console = await start(BY_HEADER)
    assert (await console.page("/", X_Forwarded_User=name)).status == 303
    assert await console.refused("proxy") == 1


async def test_what_the_proxy_has_signed_names_who_asks(start: Start, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(_jwks(KEY))
    console: Console = await start(SIGNED)
    assert (await console.page("/", X_Assertion=_signed())).status == 200
    wrong = {
        "another key": _signed(OTHER),
        "an unknown key": _signed(kid="key 7"),
        "no key": jwt.encode(_claims(), KEY, algorithm="ES256"),
        "nothing signed": jwt.encode(_claims(), "", algorithm="none", headers={"kid": "key 0"}),
        # The public key, which everybody may know, as if it were a secret of both.
        "a shared secret": jwt.encode(_claims(), "x" * 64, algorithm="HS256", headers={"kid": "key 0"}),
        "another algorithm": jwt.encode(
            _claims(), rsa.generate_private_key(65537, 2048), algorithm="RS256", headers={"kid": "key 0"}
        ),
        "too old": _signed(exp=int(time.time()) - 60),
        "not yet": _signed(nbf=int(time.time()) + 600),
        "for ever": _signed(exp=None),
        "for another": _signed(aud="grafana"),
        "of another": _signed(iss="https://evil.example"),
        "nobody": _signed(email=None),
        "no text": _signed(email=["ann@example.com"]),
        "not a token": "ann@example.com",
        "nested without an end": _unsigned(b"[" * 3000),
        "no object": _unsigned(b"[1]"),
        "an id that is none": _unsigned(b'{"alg": "ES256", "kid": [1]}'),
    }
    for what, token in wrong.items():
        assert (await console.page("/", X_Assertion=token)).status == 303, what
    assert await console.refused("proxy") == len(wrong)
    # A plain header is nothing where a signed one is wanted.
    assert (await console.page("/", X_Forwarded_User="ann@example.com")).status == 303


async def test_keys_of_a_url_are_asked_anew_for_a_key_that_is_new(start: Start) -> None:
    asked: list[None] = []
    shown = {"keys": _jwks(KEY)}

    async def keys(_: web.Request) -> web.Response:
        asked.append(None)
        return web.Response(text=shown["keys"], content_type="application/json")

    app = web.Application()
    app.router.add_get("/keys", keys)
    async with TestServer(app) as proxy:
        console: Console = await start(SIGNED.replace("keys_file: keys.json", f"keys_url: '{proxy.make_url('/keys')}'"))
        for _ in range(3):
            assert (await console.page("/", X_Assertion=_signed())).status == 200
        for n in range(3):
            assert (await console.page("/", X_Assertion=_signed(kid=f"made up {n}"))).status == 303
        # However many keys callers make up, the proxy is asked once a minute.
        assert len(asked) == 1
        shown["keys"] = _jwks(OTHER, KEY)
        assert (await console.page("/", X_Assertion=_signed(OTHER, kid="key 0"))).status == 303
        assert console.access._proxy is not None
        remote = console.access._proxy._remote
        assert remote is not None
        remote._asked = None  # a minute later
        assert (await console.page("/", X_Assertion=_signed(KEY, kid="key 1"))).status == 200
        assert len(asked) == 2


@pytest.mark.parametrize("answer", [b"[" * 100_000, b"[]", b'{"keys": 7}', b"\xff", b" " * 300_000])
async def test_keys_that_are_none_let_nobody_in(start: Start, answer: bytes) -> None:
    async def keys(_: web.Request) -> web.Response:
        return web.Response(body=answer, content_type="application/json")

    app = web.Application()
    app.router.add_get("/keys", keys)
    async with TestServer(app) as proxy:
        console: Console = await start(SIGNED.replace("keys_file: keys.json", f"keys_url: '{proxy.make_url('/keys')}'"))
        assert (await console.page("/", X_Assertion=_signed())).status == 303
        assert await console.refused("proxy") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("proxy_identity: {header: X-User}", "name their addresses"),
        ("proxy_identity: {scopes: [read]}", "exactly one of header and jwt"),
        ("proxy_identity: {header: X-User, addresses: [proxy.example]}", "is not an address or network"),
        ("proxy_identity: {header: 'X User', addresses: [10.0.0.1]}", "header"),
        ("credentials: [{proxy_user: ann, scopes: [read]}]", "a proxy_user needs proxy_identity"),
        ("proxy_identity: {jwt: {header: X-A, issuer: i, audience: a}}", "exactly one of keys_file and keys_url"),
        ("proxy_identity: {jwt: {header: X-A, issuer: i, keys_file: none.json}}", "audience"),
        ("proxy_identity: {jwt: {header: X-A, issuer: i, audience: a, keys_file: none.json}}", "cannot be read"),
        ("proxy_identity: {jwt: {header: X-A, issuer: i, audience: a, keys_file: web.yml}}", "is not a JWKS"),
        ("proxy_identity: {jwt: {header: X-A, issuer: i, audience: a, keys_file: shared.json}}", "no public key"),
    ],
)
def test_a_proxy_that_could_not_be_trusted_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "shared.json").write_text('{"keys": [{"kty": "oct", "kid": "a", "k": "c2VjcmV0"}]}')
    (tmp_path / "web.yml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        Access(tmp_path / "web.yml")


def test_a_proxy_is_authentication(tmp_path: Path) -> None:
    (tmp_path / "web.yml").write_text(BY_HEADER)
    assert Access(tmp_path / "web.yml").loaded.authenticates
