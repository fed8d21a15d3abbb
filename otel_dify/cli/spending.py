"""Where the time went: the critical path in words, in parts of the whole."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from otel_dify import table as t
from otel_dify.cli.kinds import PLUGIN_DAEMON, kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_dify.cli.critical_path import Path, Stretch
    from otel_dify.cli.records import Span
    from otel_dify.cli.traces import Trace


class Where(StrEnum):
    """What time is spent in."""

    QUEUE = "waiting in the queue"
    DATABASE = "database"
    MODEL = "model"
    PLUGIN = "plugin"
    SANDBOX = "sandbox"
    KNOWLEDGE = "knowledge"
    TOOLS = "tools"
    SERVICES = "other services"
    DIFY = "Dify itself"
    NOTHING = "not recorded"


_OF_KINDS = {
    t.QUERY: Where.DATABASE,
    t.CHECKOUT: Where.DATABASE,
    t.MODEL_CALL: Where.MODEL,
    t.TOOL_CALL: Where.TOOLS,
    t.RETRIEVAL: Where.KNOWLEDGE,
    t.SEARCH: Where.KNOWLEDGE,
    t.STORAGE: Where.SERVICES,
    t.MAIL: Where.SERVICES,
}
_OF_PEERS = {
    "sandbox": Where.SANDBOX,
    **dict.fromkeys(("weaviate", "qdrant", "tidb", "upstash", "chroma"), Where.KNOWLEDGE),
}
# Older instrumentations than ours say it so.
_DB_SYSTEM_BEFORE = "db.system"


@dataclass(frozen=True, slots=True)
class Spent:
    """Time of the critical path that was spent in one thing.

    Attributes:
        where: in what.
        ns: nanoseconds.
        share: part of the whole, in thousandths; those of all come to 1000.
        most: the operations that it was spent in, by nanoseconds, the longest first.
    """

    where: Where
    ns: int
    share: int
    most: tuple[tuple[str, int], ...]


def spending(trace: Trace, path: Path) -> list[Spent]:
    """Divide the critical path by what its time was spent in, the most first."""
    sums: dict[Where, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    alone = _alone(trace, path)
    for stretch in path.stretches:
        where, name = _of(stretch, path.parents)
        queries_ns = _queries(stretch, alone)
        if queries_ns:
            sums[Where.DATABASE][f"queries of {name}"] += queries_ns
        sums[where][name] += stretch.duration_ns - queries_ns
    spent = {
        where: sum(of_names.values()) for where, of_names in sums.items() if any(of_names.values())
    }
    shares = _shares(spent, 1000)
    return [
        Spent(
            where,
            ns,
            shares[where],
            tuple(sorted(sums[where].items(), key=lambda item: -item[1])),
        )
        for where, ns in sorted(spent.items(), key=lambda item: -item[1])
    ]


def _of(stretch: Stretch, parents: Mapping[str, Span | None]) -> tuple[Where, str]:
    span = stretch.span
    if span is None:
        return Where.NOTHING, "between operations"
    if stretch.waiting:
        return Where.QUEUE, span.text(t.DESTINATION.key) or span.name
    return where_of(span, parents)


def where_of(span: Span, parents: Mapping[str, Span | None]) -> tuple[Where, str]:
    """Tell what the time is spent in that an operation has to itself, and by which operation.

    That is the innermost one around it which says so: the call of a model, not its HTTP request.

    Args:
        span: the operation.
        parents: the span above each, by id.
    """
    calls: list[Span] = []
    above: Span | None = span
    while above is not None:
        kind = kind_of(above)
        if kind is t.HTTP_CALL:
            if peer := _OF_PEERS.get(above.text(t.PEER.key)):
                return peer, above.name
            calls.append(above)
        elif kind is not None and kind is not t.CUSTOM:
            where = _OF_KINDS.get(kind, Where.DIFY)
            if where is Where.DIFY and calls:
                break
            return where, above.name
        elif {t.DB_SYSTEM.key, _DB_SYSTEM_BEFORE} & above.attributes.keys():
            return Where.DATABASE, above.name
        above = parents[above.span_id]
    if calls:
        # The outermost is the one that Dify made.
        plugin = calls[-1].text(t.PEER.key) == PLUGIN_DAEMON
        return (Where.PLUGIN if plugin else Where.SERVICES), calls[-1].name
    return (Where.PLUGIN if PLUGIN_DAEMON in span.process.service else Where.DIFY), span.name


def _alone(trace: Trace, path: Path) -> dict[str, int]:
    """Say of each operation with folded queries how long nothing below it ran, by its id."""
    alone: dict[str, int] = {}
    for span in trace.spans:
        if span.number(t.DB_TIME.key):
            left, until = span.duration_ns, span.start_ns
            parts = path.below.get(span.span_id, ())
            for part in sorted(parts, key=lambda one: one.start_ns):
                left -= max(part.end_ns - max(part.start_ns, until), 0)
                until = max(part.end_ns, until)
            alone[span.span_id] = left
    return alone


def _queries(stretch: Stretch, alone: Mapping[str, int]) -> int:
    """Estimate how many nanoseconds of a stretch went into folded queries.

    Of these only the sum is known; it is spread evenly over the time that the operation had to
    itself.
    """
    span = stretch.span
    if span is None or stretch.waiting or alone.get(span.span_id, 0) <= 0:
        return 0
    part = span.number(t.DB_TIME.key) * 1e9 / alone[span.span_id]
    return round(min(part, 1.0) * stretch.duration_ns)


def _shares(amounts: Mapping[Where, int], whole: int) -> dict[Where, int]:
    """Divide a whole by amounts, each part rounded so that all come to the whole.

    The largest remainders are rounded up (Hamilton's method).
    """
    total = sum(amounts.values())
    if not total:
        return dict.fromkeys(amounts, 0)
    shares = {key: amount * whole // total for key, amount in amounts.items()}
    left = whole - sum(shares.values())
    for key in sorted(amounts, key=lambda k: -(amounts[k] * whole % total))[:left]:
        shares[key] += 1
    return shares
