"""Series of metrics: the few numbers that a point adds to.

The SDK's instruments take 6 to 10 µs a point: a measurement object, a lookup of the reader, of the
view and of the labels, an exemplar of the current context. Here labels are looked up by whoever
records, once, and a point is a bucket found and two numbers added.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import HistogramDataPoint, NumberDataPoint
from opentelemetry.trace import TraceFlags

from otel_dify.process import process

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

    from otel_dify.signals.cells import Entry

type Labels = Mapping[str, str | bool | int | float]


class Series(Protocol):
    """Takes the points of one metric with the same labels."""

    def record(self, amount: float, span: SpanContext, at_ns: int) -> None:
        """Add a point.

        Args:
            amount: its value, in the metric's unit.
            span: context of the span that it belongs to.
            at_ns: when it was measured, nanoseconds since the epoch.
        """


class Exemplars:
    """Which points are kept as examples: the last of each cell.

    Args:
        of: ``trace_based``: those of sampled spans; ``always_on``; ``always_off``
            (``OTEL_METRICS_EXEMPLAR_FILTER``).
    """

    def __init__(self, of: str = "trace_based") -> None:
        # A point is kept if its span's flags, with `forced`, have one of `wanted`.
        self.forced = TraceFlags.SAMPLED if of == "always_on" else 0
        self.wanted = 0 if of == "always_off" else TraceFlags.SAMPLED


class Counter:
    """A series of a counter.

    Args:
        labels: its labels.
        start_ns: when it began, nanoseconds since the epoch.
        exemplars: which points are kept as examples.
        entry: one cell.
        fractional: whether it adds up other than whole numbers.
    """

    __slots__ = (
        "_cells",
        "_entry",
        "_forced",
        "_fractional",
        "_kept",
        "_labels",
        "_seen",
        "_start_ns",
        "_wanted",
    )

    INITIAL = (0.0,)
    """What is in its cells before the first point."""

    def __init__(
        self,
        labels: Labels,
        start_ns: int,
        exemplars: Exemplars,
        entry: Entry,
        *,
        fractional: bool,
    ) -> None:
        self._labels = labels
        self._start_ns = start_ns
        self._forced, self._wanted = exemplars.forced, exemplars.wanted
        self._fractional = fractional
        self._entry = entry
        self._cells: memoryview[float] | array[float] = entry.cells
        self._seen = self._cells[0]
        self._kept: tuple[float, int, SpanContext] | None = None

    def record(self, amount: float, span: SpanContext, at_ns: int) -> None:
        """Add a point."""
        cells = self._cells
        with process.counting:
            cells[0] += amount
        if (span.trace_flags | self._forced) & self._wanted:
            self._kept = (amount, at_ns, span)

    def point(self, at_ns: int) -> NumberDataPoint:
        """Return what it has come to."""
        value = self._cells[0]
        if value != self._seen:
            self._seen = value
            self._entry.note_change(at_ns)
        kept = self._kept
        return NumberDataPoint(
            self._labels,
            self._start_ns,
            at_ns,
            value if self._fractional else int(value),
            [] if kept is None else [_exemplar(*kept)],
        )

    def forget(self) -> None:
        """Add to a copy of the numbers from now on."""
        self._cells = array("d", self._cells)


class Histogram:
    """A series of a histogram.

    Args:
        labels: its labels.
        start_ns: when it began, nanoseconds since the epoch.
        exemplars: which points are kept as examples.
        entry: a cell for each bucket, then for the sum, the least and the greatest.
        bounds: upper bounds of its buckets, each in its bucket.
    """

    __slots__ = (
        "_bounds",
        "_cells",
        "_entry",
        "_forced",
        "_kept",
        "_labels",
        "_seen",
        "_start_ns",
        "_wanted",
    )

    def __init__(
        self,
        labels: Labels,
        start_ns: int,
        exemplars: Exemplars,
        entry: Entry,
        bounds: tuple[float, ...],
    ) -> None:
        self._labels = labels
        self._start_ns = start_ns
        self._forced, self._wanted = exemplars.forced, exemplars.wanted
        self._bounds = bounds
        self._entry = entry
        self._cells: memoryview[float] | array[float] = entry.cells
        self._seen = sum(self._cells[: len(bounds) + 1])
        self._kept: list[tuple[float, int, SpanContext] | None] = [None] * (len(bounds) + 1)

    @staticmethod
    def initial(bounds: tuple[float, ...]) -> tuple[float, ...]:
        """Return what is in its cells before the first point."""
        return (*([0.0] * (len(bounds) + 2)), float("inf"), float("-inf"))

    def record(self, amount: float, span: SpanContext, at_ns: int) -> None:
        """Add a point."""
        bucket = bisect_left(self._bounds, amount)
        cells = self._cells
        with process.counting:
            cells[bucket] += 1.0
            cells[-3] += amount
            if amount < cells[-2]:  # noqa: PLR1730 - a call less for each point
                cells[-2] = amount
            if amount > cells[-1]:  # noqa: PLR1730 - the same
                cells[-1] = amount
        if (span.trace_flags | self._forced) & self._wanted:
            self._kept[bucket] = (amount, at_ns, span)

    def point(self, at_ns: int) -> HistogramDataPoint:
        """Return what it has come to."""
        with process.counting:
            cells = self._cells.tolist()
        *buckets, total, least, greatest = cells
        counts = [int(count) for count in buckets]
        count = sum(counts)
        if count != self._seen:
            self._seen = count
            self._entry.note_change(at_ns)
        return HistogramDataPoint(
            self._labels,
            self._start_ns,
            at_ns,
            count,
            total,
            counts,
            self._bounds,
            least,
            greatest,
            [_exemplar(*kept) for kept in self._kept if kept is not None],
        )

    def forget(self) -> None:
        """Add to a copy of the numbers from now on."""
        self._cells = array("d", self._cells)


def _exemplar(amount: float, at_ns: int, span: SpanContext) -> Exemplar:
    if not span.is_valid:
        return Exemplar({}, amount, at_ns)
    return Exemplar({}, amount, at_ns, span.span_id, span.trace_id)
