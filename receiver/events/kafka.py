"""Kafka: a topic, keyed by `service/environment`, written by an idempotent producer that waits for all replicas.

aiokafka is an extra (`pip install deploywatch[kafka]`). A producer with which a send failed is not used again: nobody
knows what the brokers have of it, and its next message would be refused as out of order.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, Any, Final

from deploywatch import logs
from deploywatch.receiver.channels import errors
from deploywatch.receiver.events.cloudevent import StoredEvent, binary
from deploywatch.receiver.messages import DeliveryError
from deploywatch.receiver.settings.events import KafkaSettings

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer

LARGEST: Final = 1_048_576
"""Bytes of a message that Kafka's brokers take by default."""

TOO_LARGE: Final = "too_large"

_STOPPING: Final = 1.0
"""Seconds for a producer to end by itself; all of its sends have ended by then."""

_OF_A_CONNECTION: Final = {
    "client_id",
    "request_timeout_ms",
    "security_protocol",
    "ssl_context",
    "sasl_mechanism",
    "sasl_plain_username",
    "sasl_plain_password",
}

log = logs.get("events.kafka")


class _Producer:
    """A producer, and how many sends are under way with it; it is stopped after the last of them."""

    def __init__(self, kafka: AIOKafkaProducer) -> None:
        self.kafka = kafka
        self.broken = False
        self.under_way = 0

    async def stop_when_idle(self) -> None:
        if self.broken and not self.under_way:
            await _stopped(self.kafka)


class KafkaSink:
    """One topic; the producer is started with the first event."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._starting = asyncio.Lock()
        self._producer: _Producer | None = None

    async def send(self, event: StoredEvent) -> None:
        """Write it, and wait until all replicas have it. Raises DeliveryError."""
        headers, value = binary(event)
        producer = await self._started()
        # Counted before the wait: a reload that closes this sink must not cut off what another event is sending.
        producer.under_way += 1
        try:
            # An idempotent producer of aiokafka waits for its brokers without an end.
            async with asyncio.timeout(self._longest):
                await producer.kafka.send_and_wait(
                    self._settings.topic, value=value, key=event.key.encode(), headers=headers
                )
        except TimeoutError as error:
            self._give_up(producer)
            raise errors.timed_out(self._longest) from error
        except Exception as error:
            self._give_up(producer)
            raise _told(error, self._secrets) from error
        finally:
            producer.under_way -= 1
            await producer.stop_when_idle()

    async def close(self) -> None:
        """Stop the producer, after what is under way; that is bounded by the timeout."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            producer.broken = True
            await producer.stop_when_idle()

    @property
    def _longest(self) -> float:
        """Seconds that a start or a send may take: two requests."""
        return 2 * self._settings.timeout.total_seconds()

    def _give_up(self, producer: _Producer) -> None:
        producer.broken = True
        if self._producer is producer:
            self._producer = None

    async def _started(self) -> _Producer:
        # Of a hundred events that wait, one starts the producer.
        async with self._starting:
            if self._producer is None:
                self._producer = _Producer(await self._start())
            return self._producer

    async def _start(self) -> AIOKafkaProducer:
        from aiokafka import AIOKafkaProducer  # noqa: PLC0415 - an extra

        kept = False
        try:
            kafka = AIOKafkaProducer(**options(self._settings))
        except OSError as error:
            raise DeliveryError("credentials", f"tls: {error}", again=True) from error
        try:
            async with asyncio.timeout(self._longest):
                await kafka.start()
        except TimeoutError as error:
            raise errors.timed_out(self._longest) from error
        except Exception as error:
            raise _told(await _cause(error, self._settings), self._secrets) from error
        else:
            kept = True
        finally:
            if not kept:
                await _stopped(kafka)
        log.info("connected", brokers=",".join(self._settings.brokers), topic=self._settings.topic)
        return kafka

    @property
    def _secrets(self) -> tuple[Any, ...]:
        return (self._settings.sasl.password,) if self._settings.sasl else ()


def options(settings: KafkaSettings) -> dict[str, Any]:
    """What aiokafka's producer is made with."""
    milliseconds = int(settings.timeout.total_seconds() * 1000)
    encrypted, named = settings.tls is not None, settings.sasl is not None
    protocol = {(False, False): "PLAINTEXT", (True, False): "SSL", (False, True): "SASL_PLAINTEXT"}
    given: dict[str, Any] = {
        "bootstrap_servers": list(settings.brokers),
        "client_id": "deploywatch",
        # An event that only the leader had is lost with it.
        "acks": "all",
        "enable_idempotence": settings.idempotent,
        "request_timeout_ms": milliseconds,
        "max_request_size": LARGEST,
        "security_protocol": protocol.get((encrypted, named), "SASL_SSL"),
    }
    if settings.tls is not None:
        context = ssl.create_default_context(cafile=str(settings.tls.ca_file) if settings.tls.ca_file else None)
        if settings.tls.certificate_file and settings.tls.key_file:
            context.load_cert_chain(str(settings.tls.certificate_file), str(settings.tls.key_file))
        given["ssl_context"] = context
    if settings.sasl is not None:
        given["sasl_mechanism"] = settings.sasl.mechanism
        given["sasl_plain_username"] = settings.sasl.username
        given["sasl_plain_password"] = settings.sasl.password.get_secret_value()
    return given


async def _cause(error: Exception, settings: KafkaSettings) -> Exception:
    """Why no broker could be reached: aiokafka 0.14 only logs that, so one connection is made to hear it."""
    from aiokafka import conn  # noqa: PLC0415 - an extra
    from aiokafka.errors import KafkaConnectionError  # noqa: PLC0415

    unheard = error
    if not isinstance(error, KafkaConnectionError):
        return unheard
    made = {key: value for key, value in options(settings).items() if key in _OF_A_CONNECTION}
    for broker in settings.brokers:
        host, _, port = broker.rpartition(":")
        try:
            (await conn.create_conn(host.strip("[]"), int(port), **made)).close()
        except Exception as heard:
            return heard
    return unheard


def _told(error: BaseException, secrets: tuple[Any, ...]) -> DeliveryError:
    """The error of a send or of a connection; whoever is not let in is told so by its reason.

    Where brokers refuse a SCRAM login, aiokafka 0.14 raises KeyError, as their last message lacks what it looks for.
    """
    from aiokafka import errors as kafka  # noqa: PLC0415 - an extra

    text = errors.told(error, secrets)
    refused = (
        kafka.AuthenticationFailedError,
        kafka.SaslAuthenticationFailed,
        kafka.TopicAuthorizationFailedError,
        kafka.ClusterAuthorizationFailedError,
        KeyError,
        ValueError,
    )
    if isinstance(error, refused):
        return DeliveryError("credentials", text, again=False)
    if isinstance(error, kafka.MessageSizeTooLargeError):
        return DeliveryError(TOO_LARGE, text, again=False)
    if isinstance(error, kafka.UnknownTopicOrPartitionError):
        return DeliveryError("recipient", text, again=True)
    if isinstance(error, kafka.KafkaTimeoutError | kafka.RequestTimedOutError):
        return DeliveryError("timeout", text, again=True, unsure=True)
    if isinstance(error, kafka.KafkaConnectionError | OSError):
        return DeliveryError("connection", text, again=True, unsure=True)
    return DeliveryError("server", text, again=True, unsure=True)


async def _stopped(kafka: AIOKafkaProducer) -> None:
    """Stop it; what it still holds is given up, as it would wait for its brokers: who asked sends it again."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_STOPPING):
            await kafka.stop()
            return
    with contextlib.suppress(Exception):
        await kafka._sender.close()
    with contextlib.suppress(Exception):
        await kafka.client.close()
