"""Hostile text in each field of each source's announcement: answered in a few words, text in the ledger and the log."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from deploywatch import logs
from deploywatch.receiver.announcements.announced import Became, Source
from tests.hostile.texts import TEXTS, assert_text
from tests.receiver.announcements import test_announcements as plain
from tests.receiver.announcements.test_announcements import Front

front = plain.front


def _cdevent() -> dict[str, Any]:
    return {
        "context": {
            "version": "0.4.1",
            "id": "1",
            "source": "/ci",
            "type": "dev.cdevents.service.deployed.0.1.1",
            "timestamp": plain.at(3),
        },
        "subject": {
            "id": "shop",
            "type": "service",
            "content": {"environment": {"id": "production"}, "artifactId": "pkg:oci/shop@1.2.4"},
        },
        "customData": {"version": "1.2.4"},
    }


BODIES = {
    Source.ARGOCD: lambda: plain.argocd("Succeeded", 2, image="registry.example/shop:1"),
    Source.FLUX: lambda: plain.flux("ReconciliationSucceeded", 2),
    Source.GITHUB: lambda: plain.github("success", 2, payload={"service": "shop", "version": "1"}),
    Source.CDEVENTS: _cdevent,
}
"""An announcement of each source, with all that is read of it."""


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a text stands."""
    match value:
        case dict():
            for key, inside in value.items():
                yield from _places(inside, (*path, key))
        case list():
            for number, inside in enumerate(value):
                yield from _places(inside, (*path, number))
        case str():
            yield path


def _with(body: Any, path: tuple[Any, ...], text: Any) -> Any:
    changed = copy.deepcopy(body)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = text
    return changed


@pytest.mark.parametrize("source", Source)
async def test_hostile_text_in_each_field_is_text_or_refused_in_words(
    front: Front, source: Source, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(level="info")
    body = BODIES[source]()
    assert (await front(source, body, X_GitHub_Event="deployment_status"))[0] == 200
    asked = 1
    for path in _places(body):
        # A text of 190 characters fits where names stand.
        for text in (*(each[:190] for each in TEXTS.values()), TEXTS["long"], "a\0b"):
            status, answer = await front(source, _with(body, path, text), X_GitHub_Event="deployment_status")
            asked += 1
            assert status in {200, 400}, (path, text[:40], answer)
            if status == 400:
                assert_text(answer)
                assert len(answer) < 2000
            else:
                assert len(json.dumps(answer)) < 20_000, path
                assert len(str(answer.get("why", ""))) < 300, path
    assert sum(front.counted.values()) == asked
    assert_text(capsys.readouterr().err)
    for deployment in await front.ledger():
        for text in (deployment.service, deployment.environment, deployment.version, deployment.artifact):
            assert len(text) <= 1000
            assert "\0" not in text


@pytest.mark.parametrize("source", Source)
async def test_values_of_another_kind_and_bombs_are_refused(front: Front, source: Source) -> None:
    body = BODIES[source]()
    odd: tuple[Any, ...] = (None, 10**400, ["x"], {"x": "y"})
    for path in [(), *_places(body)]:
        for value in odd:
            sent = _with(body, path, value) if path else value
            status, answer = await front(source, sent, X_GitHub_Event="deployment_status")
            assert status in {200, 400}, (path, value, answer)
            assert isinstance(answer, dict) or len(answer) < 2000
    for raw in (
        b"[" * 50_000,
        b'{"a":' * 50_000,
        b"\xff\xfe",
        b"",
        b"1e999",
        b'{"phase": "Running", "phase": "Failed"}',
    ):
        status, answer = await front(source, raw, X_GitHub_Event="deployment_status")
        assert (status, len(answer) < 500) == (400, True), (raw[:20], answer)


@pytest.mark.parametrize("source", Source)
async def test_no_address_of_an_announcement_is_asked(front: Front, source: Source) -> None:
    body = BODIES[source]()
    for path in _places(body):
        sent = _with(body, path, "http://169.254.169.254/latest")
        assert (await front(source, sent, X_GitHub_Event="deployment_status"))[0] in {200, 400}
    # The one session that the receiver asks by has asked nobody.
    connector = front.scene.context.http.connector
    assert connector is not None
    assert not connector._conns
    assert front.counted[source, Became.FORGED] == 0
