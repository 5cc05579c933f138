"""Modules: probes without a target, which `/probe` and discovered targets give them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationInfo, model_validator

from deploywatch.config import Settings
from deploywatch.errors import DeploywatchError
from deploywatch.exporter.probes import KINDS, AnyProbe
from deploywatch.exporter.probing.settings import ProbeSettings, TargetKey
from deploywatch.exporter.settings import blackbox
from deploywatch.quantity import Duration
from deploywatch.secrets import Masked, filled_of, without

TARGET_KEYS: Mapping[str, TargetKey] = {
    kind: settings.target_key for kind, settings in KINDS.items() if settings.target_key is not None
}
"""Per kind the key that holds the target, of those that can be given one."""

_OWN = ("timeout", "targets")
_FOR_THE_PROXY = frozenset({"proxy_url", "proxy_connect_header"})
"""What the config's own proxy is sent, and no target."""

_HARMLESS = frozenset(
    {
        *("accept", "accept-charset", "accept-encoding", "accept-language", "cache-control", "content-type", "host"),
        *("origin", "pragma", "referer", "user-agent"),
    }
)

# What is never sent to a target, however it came into the file.
_STAY_HERE = frozenset(
    {
        *("kind", "layer", "tags", "expect", "ca_file", "ciphers", "help", "label", "labels", "json_path"),
        *("proxy_url", "no_proxy", "proxy_connect_header", "unix_socket"),
    }
)
_SAY_WHAT_THEIR_URL_SAYS = frozenset({"postgres", "redis"})


class TargetError(DeploywatchError):
    """A module cannot be pointed at this target."""


class Module(Settings):
    """A probe that is pointed at targets.

    `targets` are the only ones that it may be pointed at; a module with credentials needs them, so that nobody can
    have the credentials sent elsewhere. `timeout` is the longest that a run on `/probe` may take.
    """

    probe: AnyProbe
    timeout: Duration = timedelta(seconds=120)
    targets: tuple[str, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, data: Any, info: ValidationInfo) -> Any:
        """In the file a module's own keys stand beside the probe's."""
        if not isinstance(data, dict):
            return data
        if "prober" in data:
            data = blackbox.translated(data, (info.context or {}).get("base", Path()))
        probe = {key: value for key, value in data.items() if key not in _OWN}
        key, stand_in = TARGET_KEYS.get(str(probe.get("kind")), ("", ""))
        if key and f"{key}_file" not in probe:
            probe.setdefault(key, stand_in)
        return {key: data[key] for key in _OWN if key in data} | {"probe": probe}

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.probe.kind not in TARGET_KEYS:
            raise ValueError(f"a {self.probe.kind} probe has no single target; write it under services")
        if self.timeout <= timedelta(0):
            raise ValueError("timeout must be more than 0s")
        for target in self.targets or ():
            _place(target, self.probe.kind)
        if self.targets is None and self.probe.kind == "unix":
            raise ValueError(
                "whoever asks could have any socket of this machine spoken to; list those that are meant as targets:"
                " [/run/...]"
            )
        if self.targets is None:
            self._refuse_secrets()
        return self

    def _refuse_secrets(self) -> None:
        """Whoever may ask would have any target sent what is secret."""
        key = TARGET_KEYS[self.probe.kind][0]
        for named in _credentials(self.probe, key):
            raise ValueError(f"{named} is a credential; list the targets that may be sent it as targets: [...]")
        for named in _filled_in(self.probe, key):
            raise ValueError(
                f"{named} has what came from a variable, which is secret; list the targets that may be sent it as"
                " targets: [...]"
            )

    def pointed_at(self, target: str) -> AnyProbe:
        """The probe of this target; TargetError when it is none, or not one of the module's."""
        kind = self.probe.kind
        if self.targets is not None:
            try:
                place = _place(target, kind)
            except ValueError as error:
                raise TargetError(str(error)) from error
            if place not in {_place(known, kind) for known in self.targets}:
                raise TargetError("the module has credentials, and this is none of the targets that it names")
        try:
            return self.probe.with_target(target)
        except ValueError as error:
            raise TargetError(f"not a target of {kind}: {_first_line(error)}") from error


def _place(target: str, kind: str) -> tuple[str, str, int | None]:
    """What tells targets apart: scheme, host and port; ValueError when that cannot be read with certainty."""
    if kind == "unix":
        return "unix", target, None
    given = target if "://" in target else f"http://{target}"
    try:
        parts = urlsplit(given)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError("is not a target; write host:port or a URL") from error
    if not host or "@" in parts.netloc or any(char in given for char in "\\\t\r\n ,"):
        raise ValueError("is not a target; write host:port, or a URL without credentials")
    if kind != "http" and ("://" in target or parts.path or parts.query or parts.fragment):
        # A scheme could ask for a connection without TLS, over which the password would be seen.
        raise ValueError("is not a target; write host:port alone")
    default = {"http": 80, "https": 443}.get(parts.scheme) if kind == "http" else None
    return parts.scheme if kind == "http" else "", host, port or default


def _credentials(settings: BaseModel, target_key: str) -> Iterator[str]:
    """The keys of settings that hold something to be kept from strangers."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if name in _FOR_THE_PROXY:
            continue
        if isinstance(value, BaseModel):
            yield from (f"{name}.{inner}" for inner in _credentials(value, ""))
        elif name == target_key:
            if isinstance(value, Masked) and "@" in value.get_secret_value():
                yield name
        elif (isinstance(value, Masked) and value.get_secret_value()) or (name in {"username", "key_file"} and value):
            yield name
        elif isinstance(value, dict):
            yield from (
                f"{name}.{key}" for key, item in value.items() if _is_secret(item) and key.lower() not in _HARMLESS
            )


def _filled_in(settings: ProbeSettings, target_key: str) -> Iterator[str]:
    """The keys of settings that are sent and have something in them that came from a variable."""
    filled = filled_of(settings)
    if not filled:
        return
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if name in _STAY_HERE or (name == target_key and settings.kind not in _SAY_WHAT_THEIR_URL_SAYS):
            continue
        yield from (".".join((name, *path)) for path, text in _texts(value) if without(text, filled) != text)


def _texts(value: object) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text in a value, with the keys that lead to it."""
    match value:
        case Masked():
            yield (), value.get_secret_value()
        case str():
            yield (), value
        case Path():
            yield (), str(value)
        case BaseModel():
            yield from _texts({name: getattr(value, name) for name in type(value).model_fields})
        case Mapping():
            for key, item in value.items():
                if key not in _STAY_HERE:
                    yield from (((str(key), *path), text) for path, text in _texts(item))
        case list() | tuple():
            for number, item in enumerate(value):
                yield from (((str(number), *path), text) for path, text in _texts(item))


def _is_secret(value: Any) -> bool:
    return isinstance(value, Masked) or (isinstance(value, tuple) and any(map(_is_secret, value)))


def _first_line(error: ValueError) -> str:
    return str(error).splitlines()[0] if str(error) else "it cannot be read"
