"""The signature of GitHub and of Flux: `sha256=` and the HMAC of the body in hex."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from deploywatch.receiver.announcements.announced import ForgedError
from deploywatch.secrets import Masked


def sign(secret: Masked, body: bytes) -> str:
    """The signature of a body."""
    return "sha256=" + hmac.new(secret.get_secret_value().encode(), body, hashlib.sha256).hexdigest()


def verify(header: str, body: bytes, secrets: Sequence[Masked], *, key: str) -> None:
    """ForgedError unless one of the secrets signed these very bytes; `key` is where the secrets are configured."""
    if not secrets:
        raise ForgedError(f"no {key} is configured here, so that nobody's signature is good")
    # Bytes, as compare_digest refuses a str that is not ASCII with an error, which a forger could cause at will.
    given = header.strip().encode("utf-8", "replace")
    # Several secrets are good at once, so that one can be changed without a delivery that is refused.
    if not any(hmac.compare_digest(sign(secret, body).encode(), given) for secret in secrets):
        raise ForgedError(f"the signature is not one of {key}" if given else "the request bears no signature")
