"""Errors of the network as reasons: the bounded words that a result may bear."""

from __future__ import annotations

import errno
import socket
import ssl

from deploywatch.exporter.results import (
    Failed,
    Reason,
)


def _verify_message(error: ssl.SSLCertVerificationError) -> str:
    """What OpenSSL says of the certificate; an error that was made by hand has none."""
    return str(getattr(error, "verify_message", ""))


def from_os_error(error: OSError) -> Failed:
    """The bounded reason of an error of the network."""
    text = error.strerror or str(error) or type(error).__name__
    match error:
        case socket.gaierror():
            return Failed(Reason.DNS, f"the name does not resolve: {text}")
        case ssl.SSLCertVerificationError():
            return Failed(Reason.TLS_VERIFY, f"the certificate is not trusted: {_verify_message(error) or text}")
        case ssl.SSLError():
            return Failed(Reason.TLS, f"no TLS connection: {getattr(error, 'reason', None) or text}")
        # Before TimeoutError: of several addresses one may have refused and another been silent; "refused" says more.
        case OSError() if isinstance(error, ConnectionRefusedError) or f"[Errno {errno.ECONNREFUSED}]" in text:
            # asyncio makes one error of several addresses', with their texts.
            return Failed(Reason.CONNECT_REFUSED, "the connection was refused")
        case TimeoutError():
            return Failed(Reason.CONNECT_TIMEOUT, "the connection timed out")
        case ConnectionResetError() | BrokenPipeError() | ConnectionAbortedError():
            return Failed(Reason.RESET, "the connection was reset")
        case _:
            return Failed(Reason.UNREACHABLE, f"cannot be reached: {text}")
