"""The answers: layers, statistics and slow queries, for a person and for a program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from otel_dify.cli.health.counted import Query
from otel_dify.cli.health.layer import Status, Told, whole
from otel_dify.cli.health.statistics import Statistic
from otel_dify.cli.tables import table
from otel_dify.cli.text import clock, duration, plain
from otel_dify.version import __version__

_COLOUR = {
    Status.HEALTHY: "green",
    Status.DEGRADED: "yellow",
    Status.UNHEALTHY: "red",
    Status.NOT_CONFIGURED: "cyan",
}
_NS = 1_000_000_000
_NONE = "-"


def told(host: str, seconds: float, layers: Sequence[Told]) -> dict[str, Any]:
    """Tell of layers to a program.

    Args:
        host: this machine's or container's name.
        seconds: when it was, since the epoch.
        layers: those that were looked at.
    """
    return {
        "status": whole(layers),
        "version": __version__,
        "host": host,
        "time": _iso(seconds),
        "components": {
            layer.name: {
                "status": layer.status,
                "latency_ms": layer.latency_ms,
                "essential": layer.essential,
                "message": layer.what,
            }
            for layer in layers
        },
    }


def lines(layers: Sequence[Told], width: int) -> Iterator[str]:
    """Write layers for a person: a table, and in the last line what they come to."""
    rows = [
        (layer.name, layer.status, f"{layer.latency_ms:.1f} ms", plain(layer.what))
        for layer in layers
    ]
    head, *rest = table(("layer", "status", "latency", "what was seen"), rows, width, flexible=3)
    yield head
    for line in rest:
        # Longest first: healthy is a part of unhealthy.
        for status in sorted(Status, key=len, reverse=True):
            if f"  {status}  " in line:
                line = line.replace(status, click.style(status, fg=_COLOUR[status]), 1)  # noqa: PLW2901 - of the same line
                break
        yield line
    status = whole(layers)
    bad = [layer.name for layer in layers if layer.status in {Status.UNHEALTHY, Status.DEGRADED}]
    yield ""
    yield click.style(f"{status}" + (f": {', '.join(bad)}" if bad else ""), bold=True)


def statistics_told(found: Sequence[Statistic]) -> dict[str, Any]:
    """Tell of statistics to a program, durations in seconds."""
    return {
        "operations": [
            {
                "kind": one.sort,
                "name": one.name,
                "count": one.count,
                "errors": one.errors,
                "seconds": one.seconds,
                "p50": one.p50,
                "p95": one.p95,
                "p99": one.p99,
                "since": _iso(one.since_s),
            }
            for one in found
        ]
    }


def statistics_lines(found: Sequence[Statistic], width: int) -> list[str]:
    """Write statistics for a person."""
    if not found:
        return ["No operation has been counted yet"]
    rows = [
        (
            one.sort,
            plain(one.name),
            str(one.count),
            _NONE if one.errors is None else str(one.errors),
            *map(_seconds, (one.p50, one.p95, one.p99)),
        )
        for one in found
    ]
    return table(("kind", "name", "count", "errors", "p50", "p95", "p99"), rows, width, flexible=1)


def queries_told(found: Sequence[Query]) -> dict[str, Any]:
    """Tell of slow queries to a program, durations in seconds."""
    return {
        "queries": [
            {
                "fingerprint": one.fingerprint or None,
                "system": one.system,
                "database": one.namespace,
                "operation": one.operation,
                "statement": one.text or None,
                "count": one.number,
                "failed": one.failed,
                "seconds": one.seconds,
                "slowest": one.slowest,
                "last_seen": _iso(one.last_s),
            }
            for one in found
        ]
    }


def queries_lines(found: Sequence[Query], width: int) -> list[str]:
    """Write slow queries for a person."""
    if not found:
        return ["No slow query has been seen"]
    rows = [
        (
            one.fingerprint or _NONE,
            str(one.number),
            _seconds(one.seconds),
            _seconds(one.slowest),
            clock(round(one.last_s * _NS), date=True),
            plain(f"{one.system}: {one.text}") if one.text else "others, for want of room",
        )
        for one in found
    ]
    head = ("fingerprint", "count", "total", "slowest", "last (UTC)", "statement")
    return table(head, rows, width, flexible=5)


def _seconds(value: float | None) -> str:
    return _NONE if value is None else duration(round(value * _NS))


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
