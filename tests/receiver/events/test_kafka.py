"""Kafka has each event under its key with the attributes as headers; an outage loses and reorders nothing."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from deploywatch.demo.processes import Processes
from deploywatch.receiver.events.cloudevent import StoredEvent
from deploywatch.receiver.events.kafka import KafkaSink, options
from deploywatch.receiver.events.types import EventType
from deploywatch.receiver.messages import DeliveryError
from deploywatch.receiver.settings.events import KafkaSettings
from tests.receiver.conftest import MakeScene
from tests.receiver.events.published import publishing, written
from tests.receiver.events.test_sinks import began
from tests.receiver.scene import NOON, until
from tests.support import kafka
from tests.support.kafka_login import login

TOPIC = "deployment-events"


@pytest.fixture(scope="module")
def mock() -> Iterator[list[str]]:
    """Three mock brokers."""
    with kafka.mock_brokers() as brokers:
        yield brokers


def topic(*brokers: str, **more: Any) -> KafkaSettings:
    """A topic's settings."""
    return KafkaSettings.model_validate({"kind": "kafka", "brokers": brokers, "timeout": "60s", **more})


def event(number: int, service: str = "shop", **content: Any) -> StoredEvent:
    """An event."""
    data = {"content": content, "custom": {"number": number}}
    return StoredEvent(number, NOON, NOON, EventType.DEPLOYED, "/x", service, "production", service, data)


async def sent(settings: KafkaSettings, *events: StoredEvent) -> None:
    """Send events by a sink of their own."""
    sink = KafkaSink(settings)
    try:
        for event in events:
            await sink.send(event)
    finally:
        await sink.close()


async def test_an_event_is_written_in_binary_mode_under_its_key_by_an_idempotent_producer(mock: list[str]) -> None:
    name = "binary"
    await sent(topic(*mock, topic=name), *(event(number) for number in range(5)))
    found = await asyncio.to_thread(kafka.read, ",".join(mock), name, 5)
    assert [message.headers["ce_id"] for message in found] == [event(number).event_id for number in range(5)]
    assert {message.key for message in found} == {"shop/production"}
    assert found[0].headers == {
        "ce_specversion": "1.0",
        "ce_id": "0-1777636800000",
        "ce_source": "/x",
        "ce_type": "dev.cdevents.service.deployed.0.3.0",
        "ce_subject": "shop",
        "ce_time": "2026-05-01T12:00:00Z",
        "content-type": "application/json",
    }
    assert json.loads(found[0].value)["context"]["type"] == "dev.cdevents.service.deployed.0.3.0"


async def test_what_is_too_large_for_kafka_is_said_to_be_so(mock: list[str]) -> None:
    with pytest.raises(DeliveryError) as caught:
        # A text is cut, however long; many of them are not.
        await sent(topic(*mock), event(1, **{f"text{number}": "x" * 3000 for number in range(800)}))
    assert (caught.value.reason, caught.value.again) == ("too_large", False)


async def test_brokers_that_are_not_there_may_come_back() -> None:
    with pytest.raises(DeliveryError) as caught:
        await sent(topic("127.0.0.1:1"), event(1))
    assert (caught.value.reason, caught.value.again) == ("connection", True)


async def test_while_kafka_is_away_nothing_is_lost_and_nothing_reordered(
    processes: Processes, make_scene: MakeScene
) -> None:
    port = processes.free_port()
    server = kafka.broker(processes, advertised=f"127.0.0.1:{port}")
    async with kafka.wire(server, port) as way:
        await asyncio.to_thread(kafka.make_topic, f"127.0.0.1:{port}", TOPIC)
        # This broker keeps no producer ids.
        await _away_for_a_minute(way, make_scene, idempotent=False)


async def test_an_idempotent_producer_loses_and_reorders_nothing_either(
    processes: Processes, make_scene: MakeScene
) -> None:
    port = processes.free_port()
    with kafka.mock_brokers(1) as (server,):
        async with kafka.wire(server, port, renames=True) as way:
            await _away_for_a_minute(way, make_scene, idempotent=True)


async def _away_for_a_minute(way: kafka.Wire, make_scene: MakeScene, *, idempotent: bool) -> None:
    """What is written while the way is cut is in the topic afterwards, each key's in its order."""
    brokers = f"127.0.0.1:{way.port}"
    sink = {"kind": "kafka", "brokers": [brokers], "timeout": "1s", "idempotent": idempotent}
    scene = make_scene(publishing(events={"sinks": {"stream": sink}}))
    for number in range(12):
        if number == 3:
            await way.cut()
        if number == 9:  # a minute by the receiver's clock
            await way.mend()
        for service in ("shop", "cart", "mail"):
            await began(scene, str(number), service=service)
        await scene.after(timedelta(seconds=10))
    for _ in range(3):
        await scene.after(timedelta(minutes=5))
    # On a slow machine one more may have been late for its second.
    await scene.after(timedelta(hours=2))
    events = await written(scene)
    found = await asyncio.to_thread(kafka.read, brokers, TOPIC, len(events))
    for key in {event.key for event in events}:
        arrived = [message.headers["ce_id"] for message in found if message.key == key]
        # What comes twice is dropped by its id: the first of each counts.
        assert list(dict.fromkeys(arrived)) == [event.event_id for event in events if event.key == key]


async def test_the_brokers_certificate_is_checked_and_ours_is_shown(processes: Processes, tmp_path: Path) -> None:
    ours, another = trustme.CA(), trustme.CA()
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.issue_cert("127.0.0.1").configure_cert(theirs)
    ours.configure_trust(theirs)
    theirs.verify_mode = ssl.CERT_REQUIRED
    client = ours.issue_cert("deploywatch.example.com")
    files = {name: tmp_path / f"{name}.pem" for name in ("ours", "another", "certificate", "key")}
    ours.cert_pem.write_to_path(files["ours"])
    another.cert_pem.write_to_path(files["another"])
    client.cert_chain_pems[0].write_to_path(files["certificate"])
    client.private_key_pem.write_to_path(files["key"])
    shown = {"certificate_file": files["certificate"], "key_file": files["key"]}
    port = processes.free_port()
    brokers = f"127.0.0.1:{port}"
    secure = {
        "security.protocol": "ssl",
        "ssl.ca.location": str(files["ours"]),
        "ssl.certificate.location": str(files["certificate"]),
        "ssl.key.location": str(files["key"]),
    }
    async with kafka.wire(kafka.broker(processes, advertised=brokers), port, theirs):
        await asyncio.to_thread(kafka.make_topic, brokers, TOPIC, **secure)
        await sent(topic(brokers, idempotent=False, tls={"ca_file": files["ours"], **shown}), event(1))
        with pytest.raises(DeliveryError, match="certificate verify failed"):
            await sent(topic(brokers, idempotent=False, tls={"ca_file": files["another"], **shown}), event(2))
        with pytest.raises(DeliveryError):
            await sent(topic(brokers, idempotent=False, tls={"ca_file": files["ours"]}), event(2))
        found = await asyncio.to_thread(kafka.read, brokers, TOPIC, 1, **secure)
    assert [message.headers["ce_id"] for message in found] == [event(1).event_id]


async def test_who_is_not_let_in_is_told_so_and_not_by_the_password(processes: Processes) -> None:
    server = kafka.broker(processes, more=["--authentication"])
    await until(lambda: _answers(server))
    sasl = {"mechanism": "SCRAM-SHA-512", "username": "nobody", "password": "not-the-password"}
    with pytest.raises(DeliveryError) as caught:
        await sent(topic(server, idempotent=False, sasl=sasl), event(1))
    assert (caught.value.reason, caught.value.again) == ("credentials", False)
    assert "not-the-password" not in str(caught.value)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_who_logs_in_is_let_in_and_writes(mechanism: str, processes: Processes, tmp_path: Path) -> None:
    authority, name, port = trustme.CA(), f"login-{mechanism}", processes.free_port()
    encrypted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(encrypted)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    user = "deploy=watch,ops"  # SCRAM writes both signs another way
    wanted = {"topic": name, "tls": {"ca_file": tmp_path / "ca.pem"}}
    known = {"mechanism": mechanism, "username": user, "password": "a word, = a secret"}
    with kafka.mock_brokers(1) as (server,):
        async with login(server, port, {user: "a word, = a secret"}, encrypted) as way:
            with pytest.raises(DeliveryError) as caught:
                await sent(topic(f"127.0.0.1:{port}", sasl=known | {"password": "another"}, **wanted), event(0))
            assert (caught.value.reason, caught.value.again) == ("credentials", False)
            assert way.let_in == []
            await sent(topic(f"127.0.0.1:{port}", sasl=known, **wanted), event(1), event(2))
            assert set(way.let_in) == {(mechanism, user)}
        found = await asyncio.to_thread(kafka.read, server, name, 2)
    assert [message.headers["ce_id"] for message in found] == [event(1).event_id, event(2).event_id]


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


@pytest.mark.parametrize(
    ("more", "protocol"),
    [
        ({}, "PLAINTEXT"),
        ({"tls": {}}, "SSL"),
        ({"sasl": {"username": "us", "password": "hidden-word"}}, "SASL_PLAINTEXT"),
        ({"tls": {}, "sasl": {"mechanism": "PLAIN", "username": "us", "password": "hidden-word"}}, "SASL_SSL"),
    ],
)
def test_tls_and_sasl_are_what_the_producer_is_made_with(more: dict[str, Any], protocol: str) -> None:
    made = options(topic("kafka:9092", **more))
    assert (made["security_protocol"], made["enable_idempotence"], made["acks"]) == (protocol, True, "all")
    assert made.get("sasl_plain_password") == ("hidden-word" if "sasl" in more else None)
    assert ("ssl_context" in made) == ("tls" in more)
