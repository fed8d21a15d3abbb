"""What is told of traces as JSON, for programs: times in nanoseconds, money by currency."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from otel_dify.cli.failures import name_of, why

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otel_dify.cli.analysis import Analysis
    from otel_dify.cli.records import Attributes, Log, Span
    from otel_dify.cli.spending import Spent

type Json = dict[str, Any]


def told(found: Analysis, logs: Sequence[Log] | None = None) -> Json:
    """Tell of a trace.

    Args:
        found: what is told of it.
        logs: its log records; none where nobody has asked for them.
    """
    trace = found.trace
    spent, written = trace.tokens()
    document: Json = {
        "trace_id": trace.id,
        "run_ids": list(trace.runs),
        "message_ids": list(trace.messages),
        "title": trace.title,
        "status": trace.status,
        "start_ns": trace.start_ns,
        "duration_ns": trace.end_ns - trace.start_ns,
        "processes": [process.label for process in trace.processes],
        "failures": [
            {
                "span_id": one.span.span_id,
                "name": one.span.name,
                "place": list(one.place),
                "why": one.why,
                "recovered": one.recovered,
            }
            for one in found.failures
        ],
        "tokens": {"input": spent, "output": written},
        "cost": trace.cost(),
        "queries": {
            "number": found.queries.number,
            "seconds": found.queries.seconds,
            "slowest_seconds": found.queries.slowest,
            "systems": {
                system: {"number": number, "seconds": seconds}
                for system, (number, seconds) in found.queries.systems.items()
            },
        },
        "critical_path": {
            "start_ns": found.path.start_ns,
            "duration_ns": found.path.duration_ns,
            "spent": spent_of(found.spent),
            "stretches": [
                {
                    "span_id": None if one.span is None else one.span.span_id,
                    "waiting": one.waiting,
                    "start_ns": one.start_ns,
                    "duration_ns": one.duration_ns,
                }
                for one in found.path.stretches
            ],
        },
        "spans": [_span(row.span, row.parent, found) for row in trace.rows()],
    }
    if logs is not None:
        document["logs"] = [_log(log) for log in sorted(logs, key=lambda one: one.at_ns)]
    return document


def spent_of(spent: Iterable[Spent]) -> list[Json]:
    """Tell where time went; shares come to 1."""
    return [{"where": one.where.value, "ns": one.ns, "share": one.share / 1000} for one in spent]


def _span(span: Span, parent: Span | None, found: Analysis) -> Json:
    return {
        "span_id": span.span_id,
        "parent_id": None if parent is None else parent.span_id,
        "name": name_of(span),
        "process": span.process.label,
        "start_ns": span.start_ns,
        "duration_ns": span.duration_ns if span.end_ns else None,
        "critical_ns": sum(one.duration_ns for one in found.path.of(span)),
        "failed": span.failed,
        "why": why(span) or None,
        "attributes": _values(span.attributes),
        "events": [
            {"name": e.name, "at_ns": e.at_ns, "attributes": _values(e.attributes)}
            for e in span.events
        ],
        "links": [{"trace_id": one.trace_id, "span_id": one.span_id} for one in span.links],
    }


def _log(log: Log) -> Json:
    return {
        "at_ns": log.at_ns,
        "span_id": log.span_id or None,
        "severity": log.severity,
        "source": log.source,
        "body": log.body,
        "attributes": _values(log.attributes),
    }


def _values(attributes: Attributes) -> Json:
    """Return attributes as JSON has them, which has no infinity and no number that is none."""
    return {
        key: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in attributes.items()
    }
