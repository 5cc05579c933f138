"""Which Prometheus is asked, and how a signal is written."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, FiniteFloat, model_validator

from deploywatch.config import Settings
from deploywatch.quantity import Duration, parse_duration
from deploywatch.secrets import Masked, SecretUrl

SERVICE, ENVIRONMENT = "$service", "$environment"


def _http(url: Masked) -> Masked:
    parts = urlsplit(url.get_secret_value())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("write a URL that begins with http:// or https://")
    return url


class Metrics(Settings):
    """The server that answers queries."""

    url: Annotated[SecretUrl, AfterValidator(_http)]
    timeout: Annotated[Duration, Field(gt=parse_duration("0s"))] = parse_duration("10s")


class Query(Settings):
    """A number of one service: PromQL with `$service` and `$environment`, or the name of a recorded series."""

    name: str = ""
    query: str | None = None
    record: Annotated[str, Field(pattern="^[a-zA-Z_:][a-zA-Z0-9_:]*$")] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.query is None) == (self.record is None):
            raise ValueError("write either query or record")
        for name in (SERVICE, ENVIRONMENT):
            if name in (self.query or "").replace(f'"{name}"', ""):
                raise ValueError(f'write "{name}" with its quotes, as a whole label value')
        return self

    @property
    def title(self) -> str:
        """What it is called to people."""
        return self.name or self.record or self.query or ""

    def promql(self, service: str, environment: str) -> str:
        """The expression for this service; the names are quoted, so that they stay names."""
        if self.record is not None:
            return f"{self.record}{{service={_quoted(service)},environment={_quoted(environment)}}}"
        text = (self.query or "").replace(f'"{SERVICE}"', _quoted(service))
        return text.replace(f'"{ENVIRONMENT}"', _quoted(environment))


class Signal(Query):
    """What a number must be to be good, such as `{record: service:…:ratio_rate5m, op: "<", limit: 0.01}`."""

    op: Literal["<", "<=", ">", ">="]
    limit: FiniteFloat

    def holds(self, value: float) -> bool:
        """Whether the value is good; NaN never is."""
        match self.op:
            case "<":
                return value < self.limit
            case "<=":
                return value <= self.limit
            case ">":
                return value > self.limit
            case ">=":
                return value >= self.limit


def _quoted(text: str) -> str:
    escaped = text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'"{escaped}"'
