"""What is told of a trace, whoever tells it: the terminal, the page, JSON, a comparison."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_dify import table as t
from otel_dify.cli.critical_path import Path, critical_path
from otel_dify.cli.failures import Failure, failures
from otel_dify.cli.spending import Spent, spending

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_dify.cli.records import Log, Span
    from otel_dify.cli.traces import Trace

_OF_SYSTEM = re.compile(re.escape(t.DB_QUERIES_OF.key).replace("<system>", r"(\w+)"))


@dataclass(frozen=True, slots=True)
class Queries:
    """Queries that were fast and have no spans of their own.

    Attributes:
        number: how many.
        seconds: how long all took together.
        slowest: seconds of the slowest.
        systems: number and seconds by database.
    """

    number: int
    seconds: float
    slowest: float
    systems: dict[str, tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Analysis:
    """A trace and what is told of it.

    Attributes:
        trace: the trace.
        path: its critical path.
        spent: what the time of that was spent in, the most first.
        failures: what failed, what ended the run first.
        queries: its folded queries.
    """

    trace: Trace
    path: Path
    spent: list[Spent]
    failures: list[Failure]
    queries: Queries


def analyse(trace: Trace) -> Analysis:
    """Find out what is told of a trace."""
    path = critical_path(trace)
    spent = spending(trace, path)
    return Analysis(trace, path, spent, failures(trace), queries_of(trace.spans))


def queries_of(spans: Iterable[Span]) -> Queries:
    """Add up the folded queries of spans."""
    number, seconds, slowest = 0, 0.0, 0.0
    systems: dict[str, tuple[int, float]] = defaultdict(lambda: (0, 0.0))
    for span in spans:
        number += int(span.number(t.DB_QUERIES.key))
        seconds += span.number(t.DB_TIME.key)
        slowest = max(slowest, span.number(t.DB_SLOWEST.key))
        for key in span.attributes:
            if found := _OF_SYSTEM.fullmatch(key):
                system = found[1]
                of_time = t.DB_TIME_OF.key.replace("<system>", system)
                count, took = systems[system]
                systems[system] = (
                    count + int(span.number(key)),
                    took + span.number(of_time),
                )
    return Queries(number, seconds, slowest, dict(systems))


def by_span(trace: Trace, logs: Iterable[Log]) -> dict[str, list[Log]]:
    """Put log records to the spans they were written in, by id; those of no span under ``""``."""
    known = {span.span_id for span in trace.spans}
    of: dict[str, list[Log]] = defaultdict(list)
    for log in sorted(logs, key=lambda one: one.at_ns):
        if log.trace_id in {trace.id, ""}:
            of[log.span_id if log.span_id in known else ""].append(log)
    return of
