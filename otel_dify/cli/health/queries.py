"""The slow queries of all processes, by fingerprint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otel_dify.cli.health.counted import Counted, Query


def slow_queries(processes: Iterable[Counted]) -> list[Query]:
    """Add up what processes show, those first that took longest all together."""
    found: dict[str, list[Query]] = {}
    for process in processes:
        for query in process.queries():
            found.setdefault(query.fingerprint, []).append(query)
    added = [_added(queries) for queries in found.values()]
    return sorted(added, key=lambda one: (-one.seconds, one.fingerprint))


def _added(queries: list[Query]) -> Query:
    return replace(
        queries[0],
        number=sum(query.number for query in queries),
        failed=sum(query.failed for query in queries),
        seconds=sum(query.seconds for query in queries),
        slowest=max(query.slowest for query in queries),
        last_s=max(query.last_s for query in queries),
    )
