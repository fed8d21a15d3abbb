"""Metric points: the recorder that counts every ended operation, whatever the sampling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View

from otel_dify.operations import attributes as a
from otel_dify.operations.instruments import INSTRUMENTS
from otel_dify.operations.kinds import KINDS
from otel_dify.operations.recordings import Recording, Value, When

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.metrics import Meter

    from otel_dify.operations.operation import Operation

    type Record = Callable[[float, dict[str, str | bool | int | float], Context], None]

SERIES_LIMIT = 2_000
"""Series of one metric in one process (cardinality limit of the metrics SDK specification): what
would be another one is counted under ``otel.metric.overflow``, so that sums stay right."""

_OVERFLOW: dict[str, str | bool | int | float] = {"otel.metric.overflow": True}
_OWNERS = frozenset({a.TENANT_ID, a.APP_ID, a.WORKFLOW_ID})


def views() -> list[View]:
    """Make the views that give every histogram of the table its buckets."""
    return [
        View(
            instrument_name=instrument.name,
            aggregation=ExplicitBucketHistogramAggregation(instrument.buckets),
        )
        for instrument in INSTRUMENTS
        if instrument.kind == "histogram"
    ]


class MetricRecorder:
    """Records operations as metric points.

    Args:
        meter: where the instruments are made.
        owner_labels: whether tenant, app and workflow are labels.
    """

    def __init__(self, meter: Meter, *, owner_labels: bool) -> None:
        make: dict[str, Record] = {}
        for instrument in INSTRUMENTS:
            if instrument.kind == "counter":
                counter = meter.create_counter(instrument.name, instrument.unit, instrument.doc)
                make[instrument.name] = counter.add
            elif instrument.kind == "histogram":
                histogram = meter.create_histogram(instrument.name, instrument.unit, instrument.doc)
                make[instrument.name] = histogram.record
        self._series: dict[str, set[frozenset[tuple[str, object]]]] = {name: set() for name in make}
        self._recordings = {
            kind.name: tuple(
                (
                    make[recording.instrument.name],
                    recording,
                    tuple(
                        (label, attribute.key)
                        for label, attribute in recording.labels
                        if owner_labels or attribute not in _OWNERS
                    ),
                )
                for recording in kind.recordings
            )
            for kind in KINDS
        }

    def start(self, operation: Operation) -> None:
        """Nothing is counted before the end."""

    def end(self, operation: Operation) -> None:
        """Record the points that the kind's row lists."""
        known = operation.attributes
        for record, recording, labels in self._recordings[operation.kind.name]:
            amount = _amount(recording, operation)
            if amount is None:
                continue
            point: dict[str, str | bool | int | float] = dict(recording.constants)
            for label, key in labels:
                value = known.get(key)
                if isinstance(value, str | bool | int | float):
                    point[label] = value
            record(amount, self._within_limit(recording, point), operation.context)

    def _within_limit(
        self, recording: Recording, point: dict[str, str | bool | int | float]
    ) -> dict[str, str | bool | int | float]:
        """Return the labels of a point, or those of the overflow where they would be too many."""
        known = self._series[recording.instrument.name]
        series = frozenset(point.items())
        if series in known:
            return point
        if len(known) >= SERIES_LIMIT:
            return _OVERFLOW
        known.add(series)
        return point


def _fits(when: When, operation: Operation) -> bool:
    match when:
        case When.FAILED:
            return operation.failed
        case When.PAUSED:
            return operation.paused
        case When.NOT_PAUSED:
            return not operation.paused
        case _:
            return True


def _amount(recording: Recording, operation: Operation) -> float | None:
    if not _fits(recording.when, operation):
        return None
    if recording.value is Value.ONE:
        return 1
    if recording.value is Value.DURATION:
        return operation.duration
    value = operation.attributes.get(recording.value.key)
    return value if isinstance(value, int | float) else None
