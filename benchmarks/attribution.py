"""Which part of the flow a sample of a profile belongs to.

A stack is walked from its innermost frame outwards. Frames of libraries that anybody calls
(Python's own, protobuf, an HTTP client) belong to whoever called them, and so do OpenTelemetry's
API and, where otel_dify called it, its SDK. The first other frame decides: a hook that calls
Dify's function is not charged with what that does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

DIFY = "Dify itself"
SENDING = "sending"
_ENCODING = "encoding (exporters, protobuf)"
_COLLECTION = "collection of metrics (SDK)"

# What part a piece of a file's path tells, the first that is in it.
_OWNERS = (
    ("otel_dify/sources/logging", "log bridge"),
    ("otel_dify/sources/", "hooks"),
    ("otel_dify/operations/", "operations"),
    ("otel_dify/cleaning/", "cleaning and records"),
    ("otel_dify/records/", "cleaning and records"),
    ("otel_dify/signals/points", "points"),
    ("otel_dify/signals/series", "points"),
    ("otel_dify/signals/spans", "spans"),
    ("otel_dify/signals/events", "events"),
    ("otel_dify/signals/", "events"),
    ("otel_dify/export/encoding/", "encoding"),
    ("otel_dify/export/journal/", "journal"),
    ("otel_dify/export/outlets", "journal"),
    ("otel_dify/export/metrics", "collection of metrics"),
    ("otel_dify/measuring", "collection of metrics"),
    ("otel_dify/export/", SENDING),
    ("otel_dify/", "the rest of otel_dify"),
    ("opentelemetry/exporter/", _ENCODING),
    ("opentelemetry/instrumentation/", "upstream instrumentations"),
    ("opentelemetry/instrumentation_", "upstream instrumentations"),
    # Dify's own telemetry.
    ("api/extensions/otel/", "Dify's own hooks"),
    ("api/extensions/ext_otel", "Dify's own hooks"),
    ("layers/observability", "Dify's own hooks"),
)
# Of the SDK, in the order in which a frame further out replaces one further in.
_SDK = (
    ("opentelemetry/sdk/metrics/_internal/export", _COLLECTION),
    ("opentelemetry/sdk/metrics", "points (SDK)"),
    ("opentelemetry/sdk/trace", "spans (SDK)"),
    ("opentelemetry/sdk/_logs", "log records (SDK)"),
    ("opentelemetry/sdk/", "batching and the rest of the SDK"),
)
_CLIENTS = ("/requests/", "/urllib3/", "/http/client.py", "/ssl.py", "/socket.py", "/grpc/")
_NEUTRAL = (
    *("/wrapt/", "/google/", "/opentelemetry/", "/gevent/", "/greenlet/", "/certifi/", "/idna/"),
    *("/charset_normalizer/", "/typing_extensions", "/requests/", "/urllib3/", "/grpc/"),
)


@dataclass(frozen=True)
class Sample:
    """A stack and how often it was seen.

    Attributes:
        files: of its frames, the innermost last.
        count: how often.
    """

    files: Sequence[str]
    count: int


def read_raw(lines: Iterable[str]) -> Iterator[Sample]:
    """Read py-spy's raw format: ``function (file:line);function (file:line) count``."""
    for line in lines:
        stack, _, count = line.rstrip().rpartition(" ")
        # What names a process or thread is no frame; it has no file.
        frames = [frame for frame in stack.split(";") if frame.endswith(")")]
        yield Sample([f.rpartition(" (")[2].rpartition(":")[0] for f in frames], int(count))


def part_of(files: Sequence[str]) -> str:
    """Name the part that a stack belongs to; its innermost frame is the last."""
    by_client, sdk = False, ""
    for file in reversed(files):
        owner = _first(file, _OWNERS)
        if owner:
            if owner == _ENCODING and by_client:
                return SENDING
            # Instrumentations and Dify's hooks use the SDK; ours is one with what it makes of it.
            return owner if "otel_dify/" in file or not sdk else sdk
        found = _first(file, _SDK)
        if found:
            sdk = found if not sdk or found == _COLLECTION else sdk
        elif any(client in file for client in _CLIENTS):
            by_client = True
        elif not _is_neutral(file):
            return sdk or DIFY
    return sdk or DIFY


def _first(file: str, rules: Iterable[tuple[str, str]]) -> str:
    return next((part for piece, part in rules if piece in file), "")


def _is_neutral(file: str) -> bool:
    """Tell whether a file is part of what anybody calls: Python's own, and some libraries."""
    if "/site-packages/" in file:
        return any(piece in file for piece in _NEUTRAL)
    return "/lib/python3" in file or file.startswith("<") or not file.startswith("/")
