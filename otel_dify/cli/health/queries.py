"""The slow queries of all processes, by fingerprint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_dify.signals.shown import fingerprint_of

if TYPE_CHECKING:
    from otel_dify.cli.health.counted import Counted, Query


@dataclass(frozen=True, slots=True)
class Slow:
    """What the slow queries of one text have come to.

    Attributes:
        fingerprint: the same for the same text in the same database; empty for the rest together.
        system: ``postgresql``, ``redis`` and so on.
        namespace: the database.
        operation: ``SELECT`` and so on.
        text: the statement without values, as it is on spans; empty for those of which a process
            had no room for more.
        count: how many were slow.
        failed: those of them that failed.
        seconds: what all of them took.
        slowest: the longest of them, seconds.
        last_s: when the last one ended, seconds since the epoch.
    """

    fingerprint: str
    system: str
    namespace: str
    operation: str
    text: str
    count: int
    failed: int
    seconds: float
    slowest: float
    last_s: float


def slow_queries(processes: Iterable[Counted]) -> list[Slow]:
    """Add up what processes show, those first that took longest all together."""
    found: dict[str, list[Query]] = {}
    for process in processes:
        for query in process.queries():
            known = query.text and fingerprint_of(query.system, query.namespace, query.text)
            found.setdefault(known, []).append(query)
    added = [_added(mark, queries) for mark, queries in found.items()]
    return sorted(added, key=lambda one: (-one.seconds, one.fingerprint))


def _added(fingerprint: str, queries: list[Query]) -> Slow:
    one = queries[0]
    return Slow(
        fingerprint,
        one.system,
        one.namespace,
        one.operation,
        one.text,
        sum(query.number for query in queries),
        sum(query.failed for query in queries),
        sum(query.seconds for query in queries),
        max(query.slowest for query in queries),
        max(query.last_s for query in queries),
    )
