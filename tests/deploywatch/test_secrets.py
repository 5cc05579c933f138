"""Secrets print as `***`, wherever they turn up."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from deploywatch.config import Settings, redacted
from deploywatch.secrets import Masked, Secret, SecretUrl, conceal, redact_url, with_password, without


class Example(Settings):
    token: Secret = Masked("")
    tokens: tuple[Secret, ...] = ()
    url: SecretUrl = Masked("")
    other: Secret | None = None


def test_a_secret_is_masked_however_it_is_shown() -> None:
    secret = Masked("hunter2")
    assert [str(secret), f"{secret}", f"{secret!r}"] == ["***", "***", "Masked('***')"]
    assert secret.get_secret_value() == "hunter2"


class Deep(Settings):
    examples: dict[str, tuple[Example, ...]] = Field(default_factory=dict)
    plain: str = ""


def test_a_text_is_told_without_the_secrets_of_the_settings_and_of_their_urls() -> None:
    example = {"token": "hunter2", "tokens": ["hunter2-longer"], "url": "redis://u:p%40ssword@cache/0", "other": "ab"}
    deep = Deep.model_validate({"examples": {"one": [example]}, "plain": "http://u:plain-one@host/"})
    text = "hunter2-longer hunter2 redis://u:p%40ssword@cache/0 p@ssword p%40ssword plain-one host ab"
    assert conceal(text, deep) == "*** *** *** *** *** *** host ab"


def test_a_url_that_is_no_secret_is_shown_without_credentials() -> None:
    deep = Deep.model_validate({"plain": "http://u:plain-one@host/{service}?q=1"})
    assert redacted(deep)["plain"] == "http://u:***@host/{service}?q=1"


def test_a_model_is_shown_without_its_secrets() -> None:
    example = Example.model_validate(
        {"token": "hunter2", "tokens": ["hunter2"], "url": "redis://:hunter2@cache/0", "other": "hunter2"}
    )
    everything = f"{example} {example!r} {example.model_dump_json()} {json.dumps(redacted(example))}"
    assert "hunter2" not in everything
    assert redacted(example) == {
        "token": "***",
        "tokens": ["***"],
        "url": "redis://:***@cache/0",
        "other": "***",
    }


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://shop/health", "http://shop/health"),
        ("http://shop:80/a@b", "http://***"),
        ("http://shop/a@b?c=d@e", "http://shop/a@b?c=d@e"),
        ("postgresql://shop:pw@db:5432/shop?sslmode=require", "postgresql://shop:***@db:5432/shop?sslmode=require"),
        ("https://token@host/", "https://***@host/"),
        ("redis://:pw@cache/0", "redis://:***@cache/0"),
        ("redis://:p@w@[::1]:6379/0", "redis://:***@[::1]:6379/0"),
        ("postgresql://db/shop?user=u&password=pw", "postgresql://db/shop?user=u&password=***"),
        ("https://h/?api_key=k&x=1&access_token=t", "https://h/?api_key=***&x=1&access_token=***"),
        ("postgresql://shop:p/w@db/shop", "postgresql://***"),
        ("postgresql://shop:1/w@db/shop", "postgresql://***"),
        ("redis://:p#w@cache/0", "redis://***"),
        ("redis://:1?w@cache/0", "redis://***"),
        ("http://[::1", "http://***"),
        ("", ""),
    ],
)
def test_urls_are_shown_without_credentials(url: str, shown: str) -> None:
    assert redact_url(url) == shown


@given(st.text(min_size=4).map(lambda text: f"hunter2{text}hunter2"))
def test_no_password_shows_through_whatever_is_in_it(password: str) -> None:
    assert "hunter2" not in redact_url(f"postgresql://shop:{password}@db:5432/shop")
    assert "hunter2" not in redact_url(with_password("postgresql://shop:old@db/shop", password))


def test_a_password_is_put_into_a_url_quoted() -> None:
    assert with_password("postgresql://shop:old@db/shop", "p/w@1") == "postgresql://shop:p%2Fw%401@db/shop"
    assert with_password("redis://cache:6379/0", "pw") == "redis://:pw@cache:6379/0"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{'Authorization': 'Basic YW5uOmh1bnRlcjI='}", "{'Authorization': 'Basic ***'}"),
        ("authorization: bearer eyJhbGciOi.J9.x1-_~+/=", "authorization: bearer ***"),
        ("basic authentication failed", "basic authentication failed"),
        ('Bearer realm="deploywatch"', 'Bearer realm="deploywatch"'),
        ("the bearer presented nothing", "the bearer presented nothing"),
    ],
)
def test_a_credential_as_a_header_bears_it_is_masked_whoever_repeats_it(text: str, shown: str) -> None:
    assert without(text, frozenset()) == shown
    assert conceal(text, {}) == shown
