"""Journals in folders of tests, and what is in the requests made of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_dify.export.delivery import lost
from otel_dify.export.encoding.request import encode_resource, encode_scope
from otel_dify.export.journal.backlog import Backlog
from otel_dify.export.journal.batch import Batch
from otel_dify.export.journal.journal import Journal
from otel_dify.export.journal.place import Home

RESOURCE = encode_resource(Resource({"service.name": "test"}))
SCOPES = tuple(encode_scope(InstrumentationScope(name)) for name in ("one", "two", "three"))
NO_LIMIT = 1 << 40
_SPANS_OF_SCOPE, _NAME_OF_SPAN = b"\x12", b"\x2a"


def record(name: str) -> bytes:
    """Return a span as an encoder would: a field of its scope's spans."""
    field = _NAME_OF_SPAN + _varint(len(name.encode())) + name.encode()
    return _SPANS_OF_SCOPE + _varint(len(field)) + field


def _varint(number: int) -> bytes:
    written = bytearray()
    while number >> 7:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*written, number])


def names(batch: Batch | None) -> list[str]:
    """Return the names of the spans in a batch's request, in its order."""
    return [name for _, name in of_scopes(batch)]


def of_scopes(batch: Batch | None) -> list[tuple[str, str]]:
    """Return the spans in a batch's request: scope and name."""
    if batch is None:
        return []
    request = ExportTraceServiceRequest.FromString(batch.body())
    return [
        (scope.scope.name, span.name)
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def home_in(root: Path | None) -> Home:
    """Return the home of a process whose folders lie in one of the test's."""
    return Home(root, "test", RESOURCE)


def journal_in(home: Home, most_bytes: int = NO_LIMIT, size: int = 4) -> Journal:
    """Return a journal of three scopes."""
    made = Journal("traces", home, most_bytes, size)
    for scope in SCOPES:
        made.scope(scope)
    return made


def drained(source: Journal | Backlog) -> list[str]:
    """Take and acknowledge all that waits."""
    found: list[str] = []
    while (batch := source.take()) is not None:
        found += names(batch)
        source.acknowledge(batch)
        source.release()
    return found


def reasons() -> dict[str, int]:
    """Return what was lost of the spans so far, by reason."""
    counts: Counter[str] = Counter()
    for (signal, reason), count in lost().items():
        if signal == "traces":
            counts[reason] += count
    return dict(counts)
