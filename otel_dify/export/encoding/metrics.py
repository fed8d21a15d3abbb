"""Metrics as OTLP (``opentelemetry/proto/metrics/v1/metrics.proto``)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics.export import (
    ExponentialHistogram,
    Gauge,
    Histogram,
    Metric,
    Sum,
)

from otel_dify.export.encoding import lean
from otel_dify.export.encoding.values import Attributes, as_text
from otel_dify.guard import failed

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import (
        ExponentialHistogramDataPoint,
        HistogramDataPoint,
        NumberDataPoint,
    )

_PLACE = "otel_dify.export.encoding.metric"


class MetricEncoder:
    """Encodes metrics.

    Args:
        attributes: encodes the attributes of their points.
        kept: of how many points the encoded attributes are kept, by the mapping that they are in:
            for who gives the same one each time and never changes it.
    """

    def __init__(self, attributes: Attributes, kept: int = 0) -> None:
        self._attributes = attributes.encode
        self._most_kept = kept
        # With the mapping itself, so that no other one has its id.
        self._kept: dict[int, tuple[Any, list[bytes]]] = {}

    def encode(self, metric: Metric) -> bytes:
        """Return a metric as it stands in ScopeMetrics: tag, length, message.

        A point that cannot be encoded is left out, and counted by the guard.
        """
        record = lean.MetricOfScope()
        message = record.metric
        message.name = as_text(metric.name)
        message.description = as_text(metric.description)
        message.unit = as_text(metric.unit)
        data = metric.data
        if not isinstance(data, Sum | Gauge | Histogram | ExponentialHistogram):
            failed(_PLACE, TypeError(f"OTLP has no type for {type(data).__name__}"))
        elif data.data_points:
            self._add(message, data)
        encoded: bytes = record.SerializeToString()
        return encoded

    def _add(self, message: Any, data: Sum | Gauge | Histogram | ExponentialHistogram) -> None:
        if isinstance(data, Histogram):
            of_kind = message.histogram
            self._each(of_kind.data_points, data.data_points, _HistogramPoints().fill)
        elif isinstance(data, ExponentialHistogram):
            of_kind = message.exponential_histogram
            self._each(of_kind.data_points, data.data_points, _fill_exponential)
        elif isinstance(data, Sum):
            of_kind = message.sum
            of_kind.is_monotonic = data.is_monotonic
            self._each(of_kind.data_points, data.data_points, _fill_started_number)
        else:
            self._each(message.gauge.data_points, data.data_points, _fill_number)
            return
        of_kind.aggregation_temporality = data.aggregation_temporality

    def _each(self, messages: Any, points: Sequence[Any], fill: Any) -> None:
        kept = self._kept
        add = messages.add
        for point in points:
            message = add()
            try:
                fill(message, point)
                message.time_unix_nano = point.time_unix_nano
                known = kept.get(id(point.attributes))
                message.attributes.extend(
                    self._keep(point.attributes) if known is None else known[1]
                )
                if point.exemplars:
                    self._add_exemplars(message.exemplars, point.exemplars)
            except Exception as error:  # noqa: BLE001 - the others of the metric must not be lost
                del messages[-1]
                failed(_PLACE, error)

    def _keep(self, attributes: Any) -> list[bytes]:
        encoded = self._attributes(attributes)
        if self._most_kept:
            if len(self._kept) >= self._most_kept:
                self._kept.clear()
            self._kept[id(attributes)] = attributes, encoded
        return encoded

    def _add_exemplars(self, messages: Any, exemplars: Iterable[Any]) -> None:
        for exemplar in exemplars:
            message = messages.add()
            message.time_unix_nano = exemplar.time_unix_nano
            if exemplar.span_id is not None and exemplar.trace_id is not None:
                message.span_id = exemplar.span_id.to_bytes(8)
                message.trace_id = exemplar.trace_id.to_bytes(16)
            _set_number(message, exemplar.value)
            message.filtered_attributes.extend(self._attributes(exemplar.filtered_attributes))


def _set_number(message: Any, value: float) -> None:
    if isinstance(value, int):
        try:
            message.as_int = value
        except ValueError:
            # OTLP has integers of 64 bits.
            message.as_double = value
    else:
        message.as_double = value


def _fill_number(message: Any, point: NumberDataPoint) -> None:
    _set_number(message, point.value)


def _fill_started_number(message: Any, point: NumberDataPoint) -> None:
    message.start_time_unix_nano = point.start_time_unix_nano
    _set_number(message, point.value)


class _HistogramPoints:
    """Encodes the points of one histogram, which have the same bounds, most often."""

    def __init__(self) -> None:
        self._bounds: Sequence[float] | None = None
        self._packed_bounds = b""
        self._counts = struct.Struct("<")

    def fill(self, message: Any, point: HistogramDataPoint) -> None:
        """Set what is a histogram's own in a point."""
        message.start_time_unix_nano = point.start_time_unix_nano
        message.count = point.count
        message.sum = point.sum
        bounds, counts = point.explicit_bounds, point.bucket_counts
        if bounds is not self._bounds:
            self._packed_bounds = struct.pack(f"<{len(bounds)}d", *bounds)
            self._bounds = bounds
        if len(counts) * 8 != self._counts.size:
            self._counts = struct.Struct(f"<{len(counts)}Q")
        message.explicit_bounds = self._packed_bounds
        message.bucket_counts = self._counts.pack(*counts)
        _set_extremes(message, point)


def _fill_exponential(message: Any, point: ExponentialHistogramDataPoint) -> None:
    message.start_time_unix_nano = point.start_time_unix_nano
    message.count = point.count
    message.sum = point.sum
    message.scale = point.scale
    message.zero_count = point.zero_count
    message.flags = point.flags
    for buckets, of_point in (
        (message.positive, point.positive),
        (message.negative, point.negative),
    ):
        if of_point.bucket_counts:
            buckets.offset = of_point.offset
            buckets.bucket_counts.extend(of_point.bucket_counts)
    _set_extremes(message, point)


def _set_extremes(message: Any, point: HistogramDataPoint | ExponentialHistogramDataPoint) -> None:
    # None where the aggregation does not keep them, whatever its type says.
    least: float | None = point.min
    greatest: float | None = point.max
    if least is not None:
        message.min = least
    if greatest is not None:
        message.max = greatest
