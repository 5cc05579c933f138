"""What the sections of a blackbox.yml have in common: addresses, TLS, proxies, credentials, refused keys."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from deploywatch.config import Settings
from deploywatch.files.watched_files import WATCHED


def _refuse(value: Any) -> None:
    if value not in (None, False, "", [], {}):
        raise PydanticCustomError("refused", "has no counterpart here; write the module with kind: instead of prober:")


def refused(what_to_do: str) -> Any:
    """The type of a key that may only be empty; `what_to_do` is said otherwise."""

    def refuse(value: Any) -> None:
        if value not in (None, False, "", [], {}):
            raise PydanticCustomError("refused", "has no counterpart here; {what}", {"what": what_to_do})

    return Annotated[None, BeforeValidator(refuse)]


Refused = Annotated[None, BeforeValidator(_refuse)]
"""A key that may only be empty."""


def _as_yaml(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


HeaderText = Annotated[str, BeforeValidator(_as_yaml)]
"""A header's value; `true` is text there."""

Preferred = Literal["ip4", "ip6", ""]
TlsName = Literal["TLS10", "TLS11", "TLS12", "TLS13", ""]
_INLINE = refused("write it into a file, and name that with {}_file")


class Keys(Settings):
    """A mapping of a blackbox.yml; a key without a value is as if it were not there, and numbers may be text."""

    # As Go's YAML reads them: `password: 123456`, `expect: 220`.
    model_config = ConfigDict(coerce_numbers_to_str=True)

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, data: Any) -> Any:
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data


class Part(Keys):
    """One that can be said in our words."""

    @abstractmethod
    def native(self, base: Path) -> dict[str, Any]:
        """The section in our words; files are taken from `base`, and OSError is a ValueError that names one."""


class Reached(Part):
    """Which address of a name; blackbox_exporter tries IPv6 first."""

    preferred_ip_protocol: Preferred = "ip6"
    ip_protocol_fallback: bool = True

    def addresses(self) -> dict[str, Any]:
        """In our words."""
        return {
            "preferred_ip_protocol": self.preferred_ip_protocol or "ip6",
            "ip_protocol_fallback": self.ip_protocol_fallback,
        }


class FromAddress(Reached):
    """The address to probe from, too."""

    source_ip_address: str = ""

    def addresses(self) -> dict[str, Any]:
        """In our words."""
        own = {"source_ip_address": self.source_ip_address} if self.source_ip_address else {}
        return super().addresses() | own


class TlsConfig(Part):
    """Prometheus's `tls_config`."""

    insecure_skip_verify: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    server_name: str = ""
    min_version: TlsName = ""
    max_version: TlsName = ""
    ca: refused("write it into a file, and name that as ca_file") = None  # type: ignore[valid-type]
    cert: refused("write it into a file, and name that as cert_file") = None  # type: ignore[valid-type]
    key: refused("write it into a file, and name that as key_file") = None  # type: ignore[valid-type]

    def native(self, base: Path) -> dict[str, Any]:
        """Our `tls`; nothing where all is as it is by default."""
        names = ("ca_file", "cert_file", "key_file", "server_name")
        tls: dict[str, Any] = {name: getattr(self, name) for name in names if getattr(self, name)}
        for name in ("min_version", "max_version"):
            if version := getattr(self, name):
                tls[name] = f"TLS 1.{version[-1]}"
        if self.insecure_skip_verify:
            tls["verify"] = False
        return {"tls": tls} if tls else {}


def read(base: Path, name: str) -> str:
    """A secret's file, which is watched from then on; ValueError when it cannot be read."""
    path = base / Path(name).expanduser()
    try:
        return WATCHED.read_secret(path).strip()
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


def _can_be_read(name: str, info: ValidationInfo) -> str:
    if name:
        read((info.context or {}).get("base", Path()), name)
    return name


SecretFile = Annotated[str, AfterValidator(_can_be_read)]
"""The name of a secret's file; one that cannot be read is a fault of this key."""
