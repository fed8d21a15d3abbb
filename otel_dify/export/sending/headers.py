"""Headers that an operator wants sent with every request."""

from __future__ import annotations

import re
from urllib.parse import unquote

from otel_dify.guard import say_once

# What OpenTelemetry's own parser takes for percent-encoded (opentelemetry.util.re): no spaces, no
# quotes, no semicolons. What has them was written as it is meant, and is taken so, as there.
_NAME = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z|~]+")
_ENCODED = re.compile(r"[!#-+\--:<-\[\]-~]*")
_SENDABLE = re.compile(r"[ -~\t]*")
_GRPC_NAME = re.compile(r"[0-9a-z_.\-]+")
_GRPC_RESERVED = "grpc-"
# These describe the body and the connection, which are ours.
_OURS = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "te",
        "transfer-encoding",
    }
)


def headers(text: str, variable: str, *, grpc: bool) -> dict[str, str]:
    """Read pairs ``name=value`` with commas between them.

    A pair that cannot be sent costs one sentence, which tells its place and not its text: that may
    be a secret.

    Args:
        text: the pairs; values are percent-encoded (OpenTelemetry's specification, "Specifying
            headers via environment variables").
        variable: where they come from.
        grpc: whether they are metadata of gRPC, whose names are fewer.

    Returns:
        Values by name, in lower case.
    """
    found: dict[str, str] = {}
    for place, pair in enumerate(text.split(","), start=1):
        if not pair.strip():
            continue
        name, separator, value = pair.partition("=")
        name, value = unquote(name).strip().lower(), value.strip()
        if _ENCODED.fullmatch(value):
            value = unquote(value).strip()
        wrong = "" if separator else "expected name=value"
        wrong = wrong or _wrong(name, value, grpc=grpc)
        if wrong:
            say_once(
                f"{variable}: header number {place} cannot be used and is not sent: {wrong}. "
                "Set it right and restart"
            )
        else:
            found[name] = value
    return found


def _wrong(name: str, value: str, *, grpc: bool) -> str:
    if not _NAME.fullmatch(name):
        return "its name is none that a header can have"
    if not _SENDABLE.fullmatch(value):
        return "its value has other characters than the printable ones of ASCII"
    if name in _OURS:
        return f"{name} is set by otel_dify"
    if grpc and (not _GRPC_NAME.fullmatch(name) or name.startswith(_GRPC_RESERVED)):
        return "its name is none that gRPC can send"
    return ""
