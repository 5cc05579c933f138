"""Whom the receiver asks is the configuration's to say: no alert's label or address chooses a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from deploywatch.receiver.settings.actions.posting import Post
from deploywatch.receiver.settings.actions.rollback import Verification
from deploywatch.receiver.settings.executors.choice import RollbackChoice
from deploywatch.receiver.settings.verification import Verification as Verdicts

PLACES: dict[str, Callable[[str], Any]] = {
    "CI": lambda url: RollbackChoice.model_validate({"http": {"url": url}}),
    "a run that is followed": lambda url: RollbackChoice.model_validate(
        {"http": {"url": "https://ci.example/", "follow": {"url": url, "state": "x"}}}
    ),
    "proof of a rollback": lambda url: Verification.model_validate({"url": url}),
    "health at the gate": lambda url: Verdicts.model_validate({"health": url}),
}
HOSTS = (
    "{service}",
    "{service}.example",
    "ci.{environment}.example:80",
    "ci.example:{service}",
    "{service}@ci.example",
)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("place", PLACES)
def test_no_label_chooses_the_server(place: str, host: str) -> None:
    for scheme in ("http", "https"):
        with pytest.raises(ValidationError, match=r"no placeholder may stand in the host|must not carry credentials"):
            PLACES[place](f"{scheme}://{host}/{{environment}}")
    PLACES[place]("https://ci.example/{service}?in={environment}")


@pytest.mark.parametrize("name", ["reference", "incident", "key"])
def test_no_answer_chooses_the_server(name: str) -> None:
    for host in (f"{{{name}}}", f"{{{name}}}.example"):
        with pytest.raises(ValidationError, match="no placeholder may stand in the host"):
            Post.model_validate(
                {
                    "url": "https://t.example/",
                    "body": {},
                    "reference": "id",
                    "resolved": {"url": f"https://{host}/", "body": {}},
                }
            )
