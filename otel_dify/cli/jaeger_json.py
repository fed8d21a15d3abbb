"""Jaeger's own JSON into records: what ``/api/traces`` answers, and what its pages let one save.

Jaeger has no document of it; the model is ``model/json/model.go`` of Jaeger 1 and
``internal/uimodel/model.go`` of Jaeger 2. Times are microseconds. What OTLP has and Jaeger's model
has not are tags: the kind (``span.kind``), the status (``otel.status_code``) and its description.
Lists are their JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_dify.cli.records import Event, Link, Process, Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

type Json = dict[str, Any]

_KINDS = ("", "internal", "server", "client", "producer", "consumer")
_KIND, _STATUS, _DESCRIPTION = "span.kind", "otel.status_code", "otel.status_description"
# Tags that say what a span has a field for.
_FIELDS = {_KIND, _STATUS, _DESCRIPTION, "error", "otel.scope.name", "otel.scope.version"}


def spans_of(document: Json) -> Iterator[Span]:
    """Read the spans of an answer.

    Raises:
        KeyError: it is no answer of Jaeger's.
        ValueError: an id in it is none.
    """
    for trace in document["data"]:
        processes = {key: _process(found) for key, found in trace["processes"].items()}
        for span in trace["spans"]:
            yield _span(span, processes)


def _span(span: Json, processes: Mapping[str, Process]) -> Span:
    tags = _tags(span)
    start_ns = span["startTime"] * 1000
    above, *others = _references(span) or [("", Link("", ""))]
    is_child = above[0] == "CHILD_OF"
    kind = tags.get(_KIND)
    return Span(
        trace_id=_trace_id(span["traceID"]),
        span_id=_id(span["spanID"]),
        parent_id=above[1].span_id if is_child else "",
        name=span["operationName"],
        start_ns=start_ns,
        end_ns=start_ns + span["duration"] * 1000,
        attributes={key: value for key, value in tags.items() if key not in _FIELDS},
        failed=tags.get(_STATUS) == "ERROR" or tags.get("error") is True,
        message=str(tags.get(_DESCRIPTION, "")),
        process=processes.get(span.get("processID", ""), Process()),
        events=tuple(_event(log) for log in span.get("logs") or ()),
        links=tuple(link for _, link in ([] if is_child else [above]) + others if link.trace_id),
        kind=_KINDS.index(kind) if isinstance(kind, str) and kind in _KINDS else 1,
    )


def _references(span: Json) -> list[tuple[str, Link]]:
    """Return a span's references with their types, that to its parent first."""
    found = [
        (one["refType"], Link(_trace_id(one["traceID"]), _id(one["spanID"])))
        for one in span.get("references") or ()
    ]
    own = _trace_id(span["traceID"])
    return sorted(found, key=lambda one: (one[0] != "CHILD_OF", one[1].trace_id != own))


def _event(log: Json) -> Event:
    fields = _tags({"tags": log.get("fields")})
    name = fields.pop("event", "")
    return Event(str(name), log["timestamp"] * 1000, fields)


def _process(process: Json) -> Process:
    tags = _tags(process)
    instance, pid = (str(tags.get(key, "")) for key in ("service.instance.id", "process.pid"))
    return Process(process["serviceName"], instance, pid)


def _tags(holder: Json) -> dict[str, Any]:
    return {tag["key"]: tag["value"] for tag in holder.get("tags") or ()}


def _trace_id(text: str) -> str:
    """Return a trace id with the leading zeros that Jaeger 1 leaves out."""
    return _id(text.rjust(32, "0"))


def _id(text: str) -> str:
    """Check and normalise an id; ``ValueError`` where it is not hexadecimal."""
    return bytes.fromhex(text).hex()
