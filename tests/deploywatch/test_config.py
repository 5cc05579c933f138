"""A config file is read strictly, and every fault in it is shown at once, each with its place."""

from __future__ import annotations

import copy
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from deploywatch import config, secrets
from deploywatch.config import RelativePath, Settings
from deploywatch.errors import ConfigError
from deploywatch.quantity import Duration
from deploywatch.secrets import Secret, SecretUrl, redact_url

NO_INTEGER = "input should be a valid integer, unable to parse string as an integer"
NO_DURATION = "is not a duration; write it with its unit, such as 30s, 500ms or 1h30m"


def unset(name: str) -> str:
    return f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}"


class Http(Settings):
    kind: Literal["http"]
    url: str
    timeout: Duration = timedelta(seconds=10)


class Tcp(Settings):
    kind: Literal["tcp"]
    address: str


class Service(Settings):
    level: Literal["basic", "full"] = "basic"
    retries: int = 3
    hosts: tuple[str, ...] = ()
    limit: int | list[int] = 0
    password: Secret | None = None
    database: SecretUrl | None = None
    folder: RelativePath | None = None
    probes: tuple[Annotated[Http | Tcp, Field(discriminator="kind")], ...] = ()
    route: Http | None = Field(default=None, alias="via")


class Example(Settings):
    name: str = "example"
    services: dict[str, Service] = Field(default_factory=dict)


class Strict(Settings):
    name: str


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "example.yml"


def faults(file: Path, text: str, **variables: str) -> list[str]:
    """The problems of a config text, as they are printed, without the folder."""
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        config.load(file, Example, variables=variables)
    return str(caught.value).replace(f"{file.parent}/", "").splitlines()


def loaded(file: Path, text: str, **variables: str) -> Example:
    file.write_text(text)
    return config.load(file, Example, variables=variables)


def service(file: Path, text: str, **variables: str) -> Service:
    """A service whose keys are the given lines."""
    return loaded(file, f"services:\n  shop:\n    {text}\n", **variables).services["shop"]


def service_faults(file: Path, text: str, **variables: str) -> list[str]:
    return faults(file, f"services:\n  shop:\n    {text}\n", **variables)


def test_five_different_faults_are_all_shown_with_their_places(file: Path) -> None:
    text = """\
services:
  shop:
    retrys: 3
    level: most
    probes:
      - {kind: http, url: http://shop/, timeout: 10}
      - kind: tcp
  store:
    retries: many
"""
    assert faults(file, text) == [
        "example.yml:3:5: services.shop.retrys: unknown key; did you mean 'retries'?",
        "example.yml:4:5: services.shop.level: must be 'basic' or 'full', not 'most'",
        f"example.yml:6:41: services.shop.probes[0].timeout: '10' {NO_DURATION}; did you mean 10s?",
        "example.yml:7:9: services.shop.probes[1].address: is required; add it",
        f"example.yml:9:5: services.store.retries: {NO_INTEGER}",
    ]


def test_faults_of_the_text_and_of_what_it_says_are_shown_together(file: Path) -> None:
    text = """\
name: ${NAME}
services:
  shop: {retries: many}
  shop: {retries: few}
"""
    assert faults(file, text) == [
        f"example.yml:1:1: name: {unset('NAME')}",
        "example.yml:4:3: services.shop: the key is there twice; keep one",
        f"example.yml:4:10: services.shop.retries: {NO_INTEGER}",
    ]


def test_an_unknown_key_without_a_near_one_lists_what_is_known(file: Path) -> None:
    assert faults(file, "colour: blue") == ["example.yml:1:1: colour: unknown key; known: name, services"]


def test_a_key_that_may_come_from_a_file_is_known_with_its_file_form(file: Path) -> None:
    assert service_faults(file, "pasword_file: x") == [
        "example.yml:3:5: services.shop.pasword_file: unknown key; did you mean 'password_file'?"
    ]


def test_a_required_key_is_missed_at_the_mapping_that_lacks_it(file: Path) -> None:
    file.write_text("# nothing yet\n{}\n")
    with pytest.raises(ConfigError, match=r"example.yml:2:1: name: is required; add it"):
        config.load(file, Strict)


def test_an_empty_file_says_nothing_and_lacks_what_is_required(file: Path) -> None:
    assert loaded(file, "").name == "example"
    with pytest.raises(ConfigError, match=r"example.yml:1:1: name: is required; add it"):
        config.load(file, Strict)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n- b\n", "example.yml:1:1: must be a mapping, with a `key: value` on each line"),
        ("services: [a]\n", "example.yml:1:1: services: must be a mapping, with a `key: value` on each line"),
        (
            "services:\n  shop: 5\n",
            "example.yml:2:3: services.shop: must be a mapping, with a `key: value` on each line",
        ),
    ],
)
def test_a_value_in_place_of_a_mapping_is_refused(file: Path, text: str, said: str) -> None:
    assert faults(file, text) == [said]


def test_a_file_that_is_not_utf_8_is_refused_with_the_byte(file: Path) -> None:
    file.write_bytes("name: Zoë".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"example\.yml: is not UTF-8 at byte 8"):
        config.load(file, Example)


@pytest.mark.parametrize(("name", "text"), [("none.yml", "No such file or directory"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=f"cannot be read: {text}"):
        config.load(tmp_path / name, Example)


def test_a_syntax_error_has_its_place(file: Path) -> None:
    (said,) = faults(file, "name: x\nservices: {shop: [\n")
    assert said.startswith("example.yml:3:1: not valid YAML: ")


def test_the_tag_of_a_union_is_checked_and_the_nearest_is_named(file: Path) -> None:
    assert service_faults(file, "probes: [{kind: htpp, url: x}, {url: x}]") == [
        "example.yml:3:15: services.shop.probes[0].kind: unknown kind 'htpp'; did you mean 'http'?",
        "example.yml:3:36: services.shop.probes[1].kind: is required; add it",
    ]


def test_an_unknown_key_below_a_tag_is_compared_with_the_keys_of_that_kind(file: Path) -> None:
    assert service_faults(file, "probes: [{kind: tcp, address: x, adress: y}, {kind: http, url: x, urls: y}]") == [
        "example.yml:3:38: services.shop.probes[0].adress: unknown key; did you mean 'address'?",
        "example.yml:3:71: services.shop.probes[1].urls: unknown key; did you mean 'url'?",
    ]


def test_keys_below_an_alias_are_compared_with_its_own(file: Path) -> None:
    assert service_faults(file, "via: {kind: http, url: x, timeot: 5s}") == [
        "example.yml:3:31: services.shop.via.timeot: unknown key; did you mean 'timeout'?"
    ]


def test_the_alternatives_of_a_value_are_told_at_its_own_path(file: Path) -> None:
    first, second = service_faults(file, "limit: many")
    assert first.startswith("example.yml:3:5: services.shop.limit: input should be a valid ")
    assert second.startswith("example.yml:3:5: services.shop.limit: input should be a valid ")


def test_the_items_of_a_list_have_their_own_places(file: Path) -> None:
    assert service_faults(file, "hosts:\n      - a\n      - [b]\n      - c") == [
        "example.yml:5:9: services.shop.hosts[1]: input should be a valid string"
    ]


def test_paths_are_taken_from_the_folder_of_the_file(file: Path) -> None:
    assert service(file, "folder: data/x").folder == file.parent / "data/x"
    assert service(file, "folder: /data/x").folder == Path("/data/x")


def test_variables_are_filled_in_before_types_are_checked(file: Path) -> None:
    assert service(file, "retries: ${RETRIES}", RETRIES="7").retries == 7
    assert service(file, "retries: ${RETRIES:-5}").retries == 5


def test_an_unset_variable_is_one_fault_and_not_two(file: Path) -> None:
    assert service_faults(file, "retries: ${RETRIES}") == [
        f"example.yml:3:5: services.shop.retries: {unset('RETRIES')}"
    ]


def test_variables_come_from_the_environment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_NAME", "from outside")
    file.write_text("name: ${EXAMPLE_NAME}")
    assert config.load(file, Example).name == "from outside"


def test_a_secret_may_come_from_a_file_beside_the_config(file: Path) -> None:
    (file.parent / "password").write_text("hunter2\n")
    found = service(file, "password_file: password")
    assert found.password is not None
    assert found.password.get_secret_value() == "hunter2"


def test_a_secret_and_its_file_are_not_both_given(file: Path) -> None:
    assert service_faults(file, "password: a\n    password_file: b") == [
        "example.yml:3:5: services.shop.password: password and password_file are both given; keep one"
    ]


def test_a_secret_file_that_cannot_be_read_is_a_fault_at_its_key(file: Path) -> None:
    assert service_faults(file, "password_file: none") == [
        "example.yml:3:5: services.shop.password_file: cannot read none: No such file or directory"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "password: [hunter2]",
        "password: {x: hunter2}",
        "password: hunter2\n    password_file: x",
        "password: hunter2\n    retries: x",
        "database: [postgresql://u:hunter2@h/d]",
        "database: postgresql://u:hunter2@h/d\n    level: x",
        "password: ${SECRET}\n    retries: x",
    ],
)
def test_no_message_shows_a_secret(file: Path, text: str) -> None:
    file.write_text(f"services:\n  shop:\n    {text}\n")
    with pytest.raises(ConfigError) as caught:
        config.load(file, Example, variables={"SECRET": "hunter2"})
    assert "hunter2" not in f"{caught.value} {caught.value!r} {caught.value.__cause__} {caught.value.__context__}"


def test_settings_are_shown_without_their_secrets(file: Path) -> None:
    found = service(file, "password: hunter2\n    database: postgresql://u:hunter2@h/d")
    assert "hunter2" not in f"{found} {found!r} {found.model_dump_json()}"
    shown = config.redacted(found)
    assert (shown["password"], shown["database"]) == ("***", "postgresql://u:***@h/d")


def test_settings_do_not_change(file: Path) -> None:
    found = loaded(file, "name: x")
    assert copy.deepcopy(found) is found, "thousands of models share one default"
    with pytest.raises(ValueError, match="frozen"):
        found.name = "y"  # type: ignore[misc] # what the test is about


class _Call(Settings):
    """Where a secret may stand that no field calls one."""

    headers: dict[str, str] = Field(default_factory=dict)
    body: dict[str, Any] = Field(default_factory=dict)
    url: str = ""


def test_what_came_from_a_variable_is_secret_wherever_it_stands(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text(
        "headers: {X-Auth: 'Token ${KEY}', Accept: 'text/${KIND:-plain}'}\n"
        "body: {inputs: ['${KEY}', {deep: 'a${KEY}b'}], short: '${PIN}', pins: 'x12x'}\n"
        "url: https://flow.example/x?sig=${KEY}&a=1\n"
    )
    settings = config.load(tmp_path / "c.yml", _Call, variables={"KEY": "s3cret-value", "PIN": "12"})
    shown = config.redacted(settings)
    assert "s3cret" not in str(shown)
    assert shown["headers"] == {"X-Auth": "Token ***", "Accept": "text/plain"}
    assert shown["body"] == {"inputs": ["***", {"deep": "a***b"}], "short": "***", "pins": "x12x"}
    assert "s3cret" not in secrets.conceal("POST … s3cret-value", settings)


def test_a_signature_in_a_url_is_no_one_s_to_see() -> None:
    assert (
        redact_url("https://flow.example/run?api=1&sig=abc&sv=1.0") == "https://flow.example/run?api=1&sig=***&sv=1.0"
    )
