"""Places: where in spans, metrics and log records a mark is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_dify import table as t

if TYPE_CHECKING:
    from tests.dify.marks import Marks
else:
    from marks import Marks

type Places = Counter[tuple[str, str, str]]
"""How often a mark is at a place: its kind, the signal, and the place."""

_REQUESTS: Mapping[str, tuple[str, Any]] = {
    "/v1/traces": ("span", ExportTraceServiceRequest),
    "/v1/metrics": ("metric", ExportMetricsServiceRequest),
    "/v1/logs": ("log", ExportLogsServiceRequest),
}
_CONTENT = frozenset(attribute.key for attribute in t.ATTRIBUTES if attribute.content)
EXPECTED: Mapping[str, Sequence[t.Attribute]] = {
    "input": (
        t.RUN_INPUTS,
        t.RUN_OUTPUTS,
        t.NODE_INPUTS,
        t.NODE_OUTPUTS,
        t.NODE_PROCESS_DATA,
        t.MESSAGE_INPUTS,
        t.AGENT_QUERY,
        t.RETRIEVAL_QUERY,
        t.INPUT_MESSAGES,
        t.TOOL_INPUTS,
        t.GENERATION_INPUT,
    ),
    "prompt": (t.INPUT_MESSAGES, t.NODE_PROCESS_DATA),
    "template": (t.NODE_OUTPUTS, t.INPUT_MESSAGES),
    "answer": (t.OUTPUT_MESSAGES, t.NODE_OUTPUTS, t.RUN_OUTPUTS, t.TOOL_OUTPUTS),
    "tool-argument": (t.TOOL_INPUTS,),
    "tool-result": (t.TOOL_OUTPUTS, t.NODE_OUTPUTS, t.INPUT_MESSAGES),
    "document": (t.DOCUMENTS, t.NODE_OUTPUTS, t.INPUT_MESSAGES),
    "file-name": (t.RUN_INPUTS, t.NODE_INPUTS, t.DOCUMENTS),
    "file-content": (t.NODE_OUTPUTS, t.INPUT_MESSAGES),
    "http-body": (t.NODE_OUTPUTS, t.RUN_OUTPUTS),
    "code": (t.NODE_OUTPUTS, t.INPUT_MESSAGES),
    "feedback": (t.FEEDBACK_CONTENT,),
}
"""Kinds of marks to attributes that must hold them with content on, in span and log event."""
_IN_EVENTS = frozenset(one for kind in t.KINDS if kind.event for one in kind.attributes)
# With content on, texts that people wrote are sent as they are: errors, log lines, addresses.
_AS_WRITTEN = frozenset(attribute.key for attribute in t.ATTRIBUTES if attribute.quotes) | {
    "body",
    "status",
    "exception.message",
    "exception.stacktrace",
    "data",
}


def missing(places: Places) -> Iterator[tuple[str, str, str]]:
    """Give kind, signal and attribute of what should have a mark and has none."""
    seen = {(kind, signal, place.rpartition(" ")[2]) for kind, signal, place in places}
    for kind, attributes in EXPECTED.items():
        for attribute in attributes:
            for signal in ("span", "log") if attribute in _IN_EVENTS else ("span",):
                if (kind, signal, attribute.key) not in seen:
                    yield kind, signal, attribute.key


def allowed(signal: str, place: str) -> bool:
    """Tell whether a mark may be at a place when content is on."""
    key = place.rpartition(" ")[2]
    return signal in {"span", "log"} and (key in _CONTENT or key in _AS_WRITTEN)


def places_in(path: str, body: bytes, marks: Marks) -> Places:
    """Count the places of marks in a request of OTLP over HTTP."""
    signal, request = _REQUESTS[path]
    message = request()
    message.ParseFromString(body)
    places: Places = Counter()
    for place, text in _texts(message, ""):
        for kind in {kind for kind, _ in marks.found(text.encode())}:
            places[kind, signal, place] += 1
    return places


def _texts(message: Message, place: str) -> Iterator[tuple[str, str]]:
    """Give every text in a message with a place that says what has it.

    A place is what an operator would call it: the name of a span, the logger or the event of a
    log record, and the attribute.
    """
    for field, value in message.ListFields():
        if field.name == "attributes":
            for pair in value:
                yield from ((f"{place} {pair.key}", text) for text in _values(pair.value))
                yield f"{place} key of attribute", pair.key
        elif field.name == "body":
            yield from ((f"{place} body", text) for text in _values(value))
        elif field.name == "status":
            yield f"{place} status", value.message
        elif field.type == field.TYPE_MESSAGE:
            for inner in value if _repeated(field) else [value]:
                yield from _texts(inner, _named(inner, place))
        elif field.type in {field.TYPE_STRING, field.TYPE_BYTES}:
            for inner in value if _repeated(field) else [value]:
                text = inner if isinstance(inner, str) else inner.decode("latin-1")
                yield f"{place} {field.name}", text


def _repeated(field: Any) -> bool:
    return bool(field.label == field.LABEL_REPEATED)


def _named(message: Message, place: str) -> str:
    name = getattr(message, "name", "") or getattr(message, "event_name", "")
    for pair in getattr(message, "attributes", ()):
        if pair.key == "log.logger":
            name = pair.value.string_value
    return f"{place}/{name[:48]}" if name else place


def _values(value: Any) -> Iterator[str]:
    sort = value.WhichOneof("value")
    if sort == "string_value":
        yield value.string_value
    elif sort == "bytes_value":
        yield value.bytes_value.decode("latin-1")
    elif sort == "array_value":
        for inner in value.array_value.values:
            yield from _values(inner)
    elif sort == "kvlist_value":
        for pair in value.kvlist_value.values:
            yield pair.key
            yield from _values(pair.value)
