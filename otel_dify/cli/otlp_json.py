"""OTLP JSON into records: the OpenTelemetry file exporter's lines, or any OTLP JSON document.

Format: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding and
https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/. The generic JSON form of
protobuf does not fit (ids are hexadecimal there, not base64), so this reads it itself; 64-bit
integers come as text or numbers, unknown fields are ignored, absent ones have their zero value.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from otel_dify.cli.jaeger_json import spans_of
from otel_dify.cli.records import Event, Kind, Link, Log, Point, Process, Span, Telemetry, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

type Json = dict[str, Any]

_ERROR = (2, "STATUS_CODE_ERROR")
# Where OTLP holds the points of a metric, and what they are to us. Exponential histograms and
# summaries come without buckets that could be subtracted, so they get no quantiles.
_KINDS: dict[str, Kind] = {
    "sum": "sum",
    "gauge": "gauge",
    "histogram": "distribution",
    "exponentialHistogram": "distribution",
    "summary": "distribution",
}
_CUMULATIVE = (2, "AGGREGATION_TEMPORALITY_CUMULATIVE")


def read(path: Path) -> Telemetry:
    """Read a file, or every ``.jsonl`` and ``.json`` file of a folder, into memory.

    A file may also be what was saved from Jaeger's pages.
    Lines that are not OTLP JSON are left out and reported in ``problems``, one sentence a file:
    the last line of a file that is being written may be half there.

    Raises:
        FileNotFoundError: there is no such file or folder.
    """
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix in {".jsonl", ".json"})
    elif path.exists():
        files = [path]
    else:
        raise FileNotFoundError(path)
    telemetry = Telemetry()
    for file in files:
        unreadable: list[int] = []
        with file.open(encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    document = json.loads(line)
                    if "data" in document:  # saved from Jaeger's pages
                        telemetry.spans += spans_of(document)
                    else:
                        add(telemetry, document)
                except (ValueError, TypeError, AttributeError, KeyError):
                    unreadable.append(number)
        if unreadable:
            telemetry.problems.append(
                f"{file}: {len(unreadable)} line(s) are not OTLP JSON and are left out, "
                f"the first is line {unreadable[0]}"
            )
    return telemetry


def add(telemetry: Telemetry, document: Json) -> None:
    """Add the records of one export request of any signal.

    Raises:
        ValueError: the document is no export request, or a number in it is none.
    """
    if not document.keys() & {"resourceSpans", "resourceMetrics", "resourceLogs"}:
        raise ValueError("neither resourceSpans nor resourceMetrics nor resourceLogs in it")
    for part in document.get("resourceSpans") or ():
        telemetry.spans += _spans(part)
    for part in document.get("resourceMetrics") or ():
        telemetry.points += _points(part)
    for part in document.get("resourceLogs") or ():
        telemetry.logs += _logs(part)


def _spans(part: Json) -> Iterator[Span]:
    process = process_of(part)
    for scope in part.get("scopeSpans") or ():
        for span in scope.get("spans") or ():
            status = span.get("status") or {}
            yield Span(
                trace_id=_id(span["traceId"]),
                span_id=_id(span["spanId"]),
                parent_id=_id(span.get("parentSpanId")),
                name=span.get("name", ""),
                start_ns=int(span.get("startTimeUnixNano", 0)),
                end_ns=int(span.get("endTimeUnixNano", 0)),
                attributes=_attributes(span),
                failed=status.get("code") in _ERROR,
                message=status.get("message", ""),
                process=process,
                events=tuple(
                    Event(e.get("name", ""), int(e.get("timeUnixNano", 0)), _attributes(e))
                    for e in span.get("events") or ()
                ),
                links=tuple(
                    Link(_id(link.get("traceId")), _id(link.get("spanId")))
                    for link in span.get("links") or ()
                ),
                kind=_kind(span.get("kind", 0)),
            )


def _logs(part: Json) -> Iterator[Log]:
    process = process_of(part)
    for scope in part.get("scopeLogs") or ():
        logger = (scope.get("scope") or {}).get("name", "")
        for record in scope.get("logRecords") or ():
            at_ns = int(record.get("timeUnixNano", 0))
            attributes = _attributes(record)
            event = record.get("eventName") or attributes.get("event.name")
            # All of Python's logging shares one scope; the logger is an attribute there.
            source = event or attributes.get("log.logger") or logger
            yield Log(
                trace_id=_id(record.get("traceId")),
                span_id=_id(record.get("spanId")),
                at_ns=at_ns or int(record.get("observedTimeUnixNano", 0)),
                severity=int(record.get("severityNumber", 0)),
                severity_text=record.get("severityText", ""),
                source=str(source),
                body=_value(record.get("body") or {}),
                attributes=attributes,
                process=process,
            )


def _points(part: Json) -> Iterator[Point]:
    process = process_of(part)
    for scope in part.get("scopeMetrics") or ():
        for metric in scope.get("metrics") or ():
            for key in _KINDS:
                for point in (metric.get(key) or {}).get("dataPoints") or ():
                    yield _point(metric, key, point, process)


def _point(metric: Json, key: str, point: Json, process: Process) -> Point:
    kind = _KINDS[key]
    value = point.get("sum", 0) if kind == "distribution" else _number(point)
    temporality = metric[key].get("aggregationTemporality")
    return Point(
        name=metric.get("name", ""),
        unit=metric.get("unit", ""),
        kind=kind,
        cumulative=temporality in _CUMULATIVE or key == "summary",
        attributes=tuple(sorted((k, _shown(v)) for k, v in _attributes(point).items())),
        start_ns=int(point.get("startTimeUnixNano", 0)),
        at_ns=int(point.get("timeUnixNano", 0)),
        process=process,
        value=float(value),
        count=int(point.get("count", 0)),
        bounds=tuple(float(bound) for bound in point.get("explicitBounds") or ()),
        buckets=tuple(int(n) for n in point.get("bucketCounts") or ()),
    )


def _id(text: str | None) -> str:
    """Check and normalise an id; ``ValueError`` where it is not hexadecimal."""
    return bytes.fromhex(text or "").hex()


def _kind(value: int | str) -> int:
    """Return the number of a span kind, which OTLP JSON has as a number and others as a name."""
    names = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
    return names.index(value.removeprefix("SPAN_KIND_")) if isinstance(value, str) else value


def _number(point: Json) -> float:
    return float(point["asDouble"]) if "asDouble" in point else int(point.get("asInt", 0))


def process_of(part: Json) -> Process:
    """Tell the process that the records of one resource are of."""
    known = _attributes(part.get("resource") or {})
    keys = ("service.name", "service.instance.id", "process.pid")
    return Process(*(_shown(known.get(key, "")) for key in keys))


def _attributes(holder: Json) -> dict[str, Value]:
    return {a["key"]: _value(a.get("value") or {}) for a in holder.get("attributes") or ()}


def _value(value: Json) -> Value:
    """Unpack an ``AnyValue``; an empty one is null."""
    for key, content in value.items():
        if key in _UNPACK:
            return _UNPACK[key](content)
    return None


_UNPACK: dict[str, Callable[[Any], Value]] = {
    "stringValue": str,
    "boolValue": bool,
    "intValue": int,
    "doubleValue": float,
    "arrayValue": lambda array: [_value(part) for part in array.get("values") or ()],
    "kvlistValue": lambda pairs: _attributes({"attributes": pairs.get("values")}),
    "bytesValue": lambda text: f"{len(base64.b64decode(text))} bytes",
}


def _shown(value: Value) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
