"""What an operator is told where there was no answer at all."""

from __future__ import annotations

import socket
import ssl
from http.client import HTTPException
from urllib.parse import SplitResult

from otel_dify.export.sending.answers import one_line
from otel_dify.export.sending.outcome import Denied, Retry
from otel_dify.export.sending.tls import Unusable

# OpenSSL 3.2 and later, and those before it, where the other side answers in plain text.
_NO_TLS = frozenset({"RECORD_LAYER_FAILURE", "WRONG_VERSION_NUMBER"})
_PORTS = {"http": 80, "https": 443}


def failure(error: Exception, near: SplitResult, timeout_s: float) -> Retry | Denied:
    """Say what an error of a connection means.

    Args:
        error: what was raised.
        near: the receiver's address, or the proxy's before it.
        timeout_s: seconds that there were.
    """
    reason = _reason(error, f"{near.hostname}:{near.port or _PORTS[near.scheme]}", timeout_s)
    # urllib3 and http.client have no class for a proxy's refusal of a tunnel.
    if isinstance(error, OSError) and "Tunnel connection failed: 407" in str(error):
        return Denied(f"{reason}; put user and password into the proxy's address")
    return Retry(reason)


def _reason(error: Exception, at: str, timeout_s: float) -> str:  # noqa: PLR0911 - a sentence each
    if isinstance(error, Unusable):
        return str(error)
    if isinstance(error, socket.gaierror):
        return f"the name in {at} cannot be looked up ({error.strerror})"
    if isinstance(error, TimeoutError):
        return f"{at} has not answered within {timeout_s:g} s"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens at {at}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the certificate of {at} is not trusted ({one_line(error.verify_message)}); name its "
            "authority in OTEL_EXPORTER_OTLP_CERTIFICATE"
        )
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return f"the connection to {at} failed (closed by the other side)"
    if isinstance(error, ssl.SSLError):
        hint = "; does it speak TLS at all?" if error.reason in _NO_TLS else ""
        return f"TLS with {at} failed ({one_line(error.reason or str(error))}){hint}"
    hint = "; 4317 is the port for gRPC by custom" if at.endswith(":4317") else ""
    if isinstance(error, HTTPException) and not isinstance(error, OSError):
        kind = type(error).__name__
        return f"{at} does not answer as HTTP does ({kind}: {one_line(str(error))}){hint}"
    said = getattr(error, "strerror", "") or str(error)
    return f"the connection to {at} failed ({one_line(said)}){hint}"
