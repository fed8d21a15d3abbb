"""Statistics: how often each operation ran, how often it failed, and how long it took.

Made of the histograms of all processes, so that what is between two bounds of a bucket is an
estimate: linear within it, as PromQL's ``histogram_quantile`` makes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from otel_dify import table as t
from otel_dify.cli.moves import Move

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import HistogramDataPoint

    from otel_dify.cli.health.counted import Counted
    from otel_dify.table.attribute import Attribute
    from otel_dify.table.instrument import Instrument

_FAILED_STATUS = frozenset({"failed", "error", "exception", "terminated"})
_FAILED_FROM = 500


@dataclass(frozen=True, slots=True)
class Counts:
    """What is counted as one sort of operation.

    Attributes:
        sort: what they are called.
        instrument: the histogram of their durations.
        labels: what names one.
        has_failures: whether its series tell failures apart.
    """

    sort: str
    instrument: Instrument
    labels: tuple[str, ...]
    has_failures: bool = True


def _keys(*attributes: Attribute) -> tuple[str, ...]:
    return tuple(attribute.key for attribute in attributes)


def _instrument(name: str) -> Instrument:
    return next(instrument for instrument in t.INSTRUMENTS if instrument.name == name)


COUNTED = (
    Counts("request", t.SERVER_DURATION, _keys(t.HTTP_METHOD, t.HTTP_ROUTE)),
    Counts("task", _instrument("messaging.process.duration"), ("celery.task_name",)),
    Counts("run", _instrument("dify.workflow.duration"), ("app_id", "workflow_id")),
    Counts("message", _instrument("dify.message.duration"), ("model_name",), has_failures=False),
    Counts("node", _instrument("dify.node.duration"), ("node_type",), has_failures=False),
    Counts(
        "model call",
        _instrument("gen_ai.client.operation.duration"),
        ("gen_ai.operation.name", "gen_ai.request.model"),
    ),
    Counts("tool call", _instrument("dify.tool.duration"), ("tool_name",), has_failures=False),
    Counts("retrieval", _instrument("dify.retrieval.duration"), ("source",), has_failures=False),
    Counts("query", t.DB_DURATION, _keys(t.DB_SYSTEM, t.DB_OPERATION)),
    Counts("http call", t.CLIENT_DURATION, _keys(t.HTTP_METHOD, t.SERVER_ADDRESS)),
    Counts("custom", t.CUSTOM_DURATION_METRIC, ("name",)),
)


@dataclass(frozen=True, slots=True)
class Statistic:
    """What one operation has come to, since its counters began.

    Attributes:
        sort: ``request``, ``task``, ``node`` and so on.
        name: which one.
        count: how often it ended.
        errors: those that failed; none where that is not told apart.
        seconds: what all of them took.
        p50: seconds that half of them took at most; none where there were none.
        p95: the same of 95 %.
        p99: the same of 99 %.
        since_s: when its counters began, seconds since the epoch.
    """

    sort: str
    name: str
    count: int
    errors: int | None
    seconds: float
    p50: float | None
    p95: float | None
    p99: float | None
    since_s: float


def statistics(processes: Iterable[Counted]) -> list[Statistic]:
    """Add up what processes have counted, the most frequent of each sort first."""
    of = {counts.instrument.name: counts for counts in COUNTED}
    points: dict[tuple[str, str], list[HistogramDataPoint]] = {}
    for process in processes:
        for metric in process.metrics():
            counts = of.get(metric.name)
            if counts is None:
                continue
            for point in metric.data.data_points:
                name = _name(counts, point.attributes or {})
                points.setdefault((metric.name, name), []).append(point)  # type: ignore[arg-type] # durations are histograms
    order = [counts.instrument.name for counts in COUNTED]
    found = [
        (order.index(key), _added(of[key], name, held)) for (key, name), held in points.items()
    ]
    found.sort(key=lambda one: (one[0], -one[1].count, one[1].name))
    return [one for _, one in found if one.count]


def _name(counts: Counts, known: Mapping[str, Any]) -> str:
    if known.get("otel.metric.overflow"):
        return "others"
    return " ".join(str(known[key]) for key in counts.labels if known.get(key)) or counts.sort


def _added(counts: Counts, name: str, points: list[HistogramDataPoint]) -> Statistic:
    bounds = tuple(points[0].explicit_bounds)
    buckets = tuple(map(sum, zip(*(point.bucket_counts for point in points), strict=True)))
    number, seconds = sum(point.count for point in points), sum(point.sum for point in points)
    move = Move(counts.instrument.name, "s", "distribution", (), seconds, number, bounds, buckets)
    failed = sum(point.count for point in points if _failed(point.attributes or {}))
    return Statistic(
        counts.sort,
        name,
        number,
        failed if counts.has_failures else None,
        seconds,
        p50=move.quantile(0.5),
        p95=move.quantile(0.95),
        p99=move.quantile(0.99),
        since_s=min(point.start_time_unix_nano for point in points) / 1e9,
    )


def _failed(known: Mapping[str, Any]) -> bool:
    status = known.get(t.HTTP_STATUS.key)
    return (
        bool(known.get(t.ERROR_TYPE.key))
        or known.get("status") in _FAILED_STATUS
        or (isinstance(status, int) and status >= _FAILED_FROM)
    )
