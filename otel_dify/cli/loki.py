"""Reading from Loki's query API: the log records of traces.

Loki makes of the attributes of a record labels, with underscores for dots.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_dify import table as t
from otel_dify.cli.asking import understood
from otel_dify.cli.records import Log, Process

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_dify.cli.asking import Backend
    from otel_dify.cli.traces import Trace

_MOST = 5000
_AROUND_NS = 60 * 10**9
# What is shown of attributes below a record.
_KEPT = (t.STACK_TRACE.key, t.RUN_ID.key)


def logs_from(backend: Backend, traces: Sequence[Trace]) -> list[Log]:
    """Read the log records of traces, 5000 at the most.

    Raises:
        BackendError: Loki does not answer.
    """
    ids = "|".join(trace.id for trace in traces)
    answer = backend.get(
        "/loki/api/v1/query_range",
        query=f'{{service_name=~".+"}} | trace_id=~"{ids}"',
        start=min(trace.start_ns for trace in traces) - _AROUND_NS,
        end=max(trace.end_ns for trace in traces) + _AROUND_NS,
        limit=_MOST,
        direction="forward",
    )
    with understood(backend.url, "Loki"):
        return [
            log_of(stream["stream"], int(at_ns), body)
            for stream in answer["data"]["result"]
            for at_ns, body in (value[:2] for value in stream["values"])
        ]


def log_of(labels: Mapping[str, Any], at_ns: int, body: str) -> Log:
    """Make of a line of Loki, where all attributes have become labels, the record it was."""
    process = ("service_name", "service_instance_id", "process_pid")
    source = (
        labels.get(key) for key in ("event_name", "dify_event_name", "log_logger", "scope_name")
    )
    kept = {key: labels.get(key.replace(".", "_")) for key in _KEPT}
    return Log(
        trace_id=labels.get("trace_id", ""),
        span_id=labels.get("span_id", ""),
        at_ns=at_ns,
        severity=int(labels.get("severity_number", 0)),
        severity_text=labels.get("severity_text", ""),
        source=next(filter(None, source), ""),
        body=body,
        attributes={key: value for key, value in kept.items() if value is not None},
        process=Process(*(labels.get(key, "") for key in process)),
    )
