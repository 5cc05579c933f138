"""What the configuration says of events: where deployments and incidents are published as CloudEvents."""

from __future__ import annotations

import importlib.util
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from deploywatch.config import RelativePath, Settings
from deploywatch.quantity import Duration, parse_duration
from deploywatch.receiver.settings.channels.webhook import WebhookSettings
from deploywatch.secrets import Secret

Timeout = Annotated[Duration, Field(gt=timedelta(), le=timedelta(minutes=5))]
_PORTS = range(1, 65536)


def _server(address: str) -> str:
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) not in _PORTS:
        raise ValueError(f"{address!r}: write HOST:PORT, such as kafka-1.example.com:9092")
    return address


class Tls(Settings):
    """How the brokers' certificates are checked; without `ca_file`, by the authorities that the system trusts.

    `certificate_file` and `key_file` are shown to brokers that ask for a certificate.
    """

    ca_file: RelativePath | None = None
    certificate_file: RelativePath | None = None
    key_file: RelativePath | None = None

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file go together; give both or neither")
        return self


class Sasl(Settings):
    """Who we are to the brokers."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    username: Annotated[str, StringConstraints(min_length=1)]
    password: Secret


class KafkaSettings(Settings):
    """A topic of Kafka's, written in CloudEvents' binary mode by an idempotent producer.

    `idempotent: false` is for brokers that cannot tell a repetition, or that do not let us: what a broken connection
    leaves in doubt may then stand in the topic twice, with the same `ce_id`.
    """

    kind: Literal["kafka"]
    brokers: Annotated[tuple[Annotated[str, AfterValidator(_server)], ...], Field(min_length=1)]
    topic: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._-]{1,249}$")] = "deployment-events"
    idempotent: bool = True
    tls: Tls | None = None
    sasl: Sasl | None = None
    timeout: Timeout = parse_duration("10s")

    @model_validator(mode="after")
    def _installed(self) -> Self:
        # Looked up and not imported: it takes long, and a config is also read by commands that send nothing.
        if importlib.util.find_spec("aiokafka") is None:
            raise ValueError("kind: kafka needs aiokafka; install it with: pip install 'deploywatch[kafka]'")
        return self

    @model_validator(mode="after")
    def _no_open_password(self) -> Self:
        if self.sasl and self.sasl.mechanism == "PLAIN" and self.tls is None:
            hint = "add tls (tls: {} trusts what the system trusts)"
            raise ValueError(f"sasl.mechanism PLAIN sends the password as it is: {hint}")
        return self


SinkSettings = Annotated[WebhookSettings | KafkaSettings, Field(discriminator="kind")]
SinkName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,60}$")]


class Events(Settings):
    """Who is told of deployments and incidents as CloudEvents, and as whom (`source`; `external_url` when empty).

    What a sink does not take is tried again for `give_up_after`; then it is counted as failed, and the log says so.
    """

    source: Annotated[str, StringConstraints(pattern=r"^[!-~]{0,200}$")] = ""
    sinks: dict[SinkName, SinkSettings] = Field(default_factory=dict)
    give_up_after: Annotated[Duration, Field(gt=timedelta())] = parse_duration("3d")
