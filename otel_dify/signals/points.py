"""Metric points: the writer that counts every record, whatever the sampling."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING, Protocol

from opentelemetry import trace
from opentelemetry.sdk.metrics import export
from opentelemetry.sdk.metrics.export import AggregationTemporality, Metric
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View

from otel_dify import table as t
from otel_dify.process import process
from otel_dify.signals.cells import Cells, Entry
from otel_dify.signals.series import Counter, Exemplars, Histogram, Labels, Series
from otel_dify.table.instrument import Amount, Instrument, Recording, When

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter
    from opentelemetry.trace import SpanContext

    from otel_dify.cleaning.values import Value
    from otel_dify.records.record import Record

SERIES_LIMIT = 2_000
"""Series of one metric and one type in a process (cardinality limit of the metrics SDK
specification): what would be another one is counted under ``otel.metric.overflow``, so that sums
stay right, and no type of operation takes another's place."""

_OVERFLOW: Labels = {"otel.metric.overflow": True}
_OWNERS = frozenset({t.TENANT_ID, t.APP_ID, t.WORKFLOW_ID, t.API_KEY_ID})


class Store(Protocol):
    """Makes series and knows them until they are collected."""

    def series(self, instrument: Instrument, labels: Labels) -> Series:
        """Return the series of some labels, made where it is asked for first."""


class OwnStore:
    """Keeps series of ours, cumulative since they began.

    Args:
        exemplars: which points are kept as examples.
        cells: where their numbers are; those that another process has left are gone on with.
    """

    def __init__(self, exemplars: Exemplars, cells: Cells) -> None:
        self._exemplars = exemplars
        self._cells = cells
        self._kept: dict[Instrument, list[Counter | Histogram]] = {}
        self._by_labels: dict[tuple[object, ...], Counter | Histogram] = {}
        for entry in cells.entries:
            self._go_on(entry)

    def series(self, instrument: Instrument, labels: Labels) -> Series:
        """Return the series of some labels, made where it is asked for first."""
        known = self._by_labels.get((instrument.name, *labels.items()))
        if known is not None:
            return known
        now = time.time_ns()
        counts = instrument.kind == "counter"
        described = _describe(instrument, labels, now)
        initial = Counter.INITIAL if counts else Histogram.initial(instrument.buckets)
        entry = self._cells.allocate(described, initial)
        return self._keep(instrument, labels, now, entry)

    def _go_on(self, entry: Entry) -> None:
        """Keep a series that another process has left, if it is still there and as it was."""
        try:
            name, buckets, start_ns, labels, *own = json.loads(entry.description)
            instrument, known = _BY_NAME.get(name), dict(labels)
            if own and instrument is None:
                instrument = own_counter(name, *map(str, own))
            hash((start_ns + 0, *known.items()))
        except (ValueError, TypeError):  # of another version
            return
        if instrument is None or list(instrument.buckets) != buckets:
            return
        # One that a signal handler has come in between the making of may be there twice, and a
        # number that cannot be would fail every collection.
        sums = list(entry.cells)[: len(buckets) + 2]
        if not any(sums[: len(buckets) + 1]) or not all(0 <= one < inf for one in sums):
            return
        counts = instrument.kind == "counter"
        initial = Counter.INITIAL if counts else Histogram.initial(instrument.buckets)
        if len(entry.cells) == len(initial):
            self._keep(instrument, known, start_ns, entry)

    def _keep(
        self, instrument: Instrument, labels: Labels, start_ns: int, entry: Entry
    ) -> Counter | Histogram:
        kept: Counter | Histogram
        if instrument.kind == "counter":
            kept = Counter(
                labels, start_ns, self._exemplars, entry, fractional=instrument.fractional
            )
        else:
            kept = Histogram(labels, start_ns, self._exemplars, entry, instrument.buckets)
        self._by_labels[instrument.name, *labels.items()] = kept
        self._kept.setdefault(instrument, []).append(kept)
        return kept

    def collect(self) -> Iterator[Metric]:
        """Return every metric with what its series have come to."""
        now = time.time_ns()
        cumulative = AggregationTemporality.CUMULATIVE
        for instrument, series in list(self._kept.items()):
            # Made of copies: series are added meanwhile.
            data: export.Sum | export.Histogram
            if instrument.kind == "counter":
                counted = [one.point(now) for one in list(series) if isinstance(one, Counter)]
                data = export.Sum(counted, cumulative, is_monotonic=True)
            else:
                measured = [one.point(now) for one in list(series) if isinstance(one, Histogram)]
                data = export.Histogram(measured, cumulative)
            yield Metric(instrument.name, instrument.doc, instrument.unit, data)

    def forget(self) -> None:
        """Add to copies from now on: in a forked child the numbers are the parent's."""
        for series in self._kept.values():
            for one in series:
                one.forget()


_BY_NAME = {instrument.name: instrument for instrument in t.INSTRUMENTS}


@lru_cache(maxsize=1024)
def own_counter(name: str, unit: str, doc: str) -> Instrument:
    """Return a counter that the table does not have: the same one for the same words."""
    return Instrument(name, "counter", unit, doc, fractional=True)


def _describe(instrument: Instrument, labels: Labels, start_ns: int) -> bytes:
    """Say in words that a file keeps which series it is."""
    described: tuple[object, ...] = (
        *(instrument.name, instrument.buckets, start_ns, list(labels.items())),
        # Whoever goes on with it knows those of the table.
        *(() if instrument.name in _BY_NAME else (instrument.unit, instrument.doc)),
    )
    return json.dumps(described, ensure_ascii=True, separators=(",", ":")).encode()


class SdkStore:
    """Records on the SDK's instruments, for readers that get their metrics from the SDK alone.

    Args:
        meter: where the instruments are made.
    """

    def __init__(self, meter: Meter) -> None:
        self._record: dict[str, Callable[..., None]] = {}
        self._meter = meter
        for instrument in t.INSTRUMENTS:
            described = (instrument.name, instrument.unit, instrument.doc)
            if instrument.kind == "counter":
                self._record[instrument.name] = meter.create_counter(*described).add
            elif instrument.kind == "histogram":
                self._record[instrument.name] = meter.create_histogram(*described).record

    def series(self, instrument: Instrument, labels: Labels) -> Series:
        """Return a series of the SDK's; of a counter that the table does not have as well."""
        record = self._record.get(instrument.name)
        if record is None:
            made = self._meter.create_counter(instrument.name, instrument.unit, instrument.doc)
            record = self._record.setdefault(instrument.name, made.add)
        return _SdkSeries(record, labels)


class _SdkSeries:
    """A series of an instrument of the SDK."""

    def __init__(self, record: Callable[..., None], labels: Labels) -> None:
        self._record = record
        self._labels = labels

    def record(self, amount: float, span: SpanContext, at_ns: int) -> None:
        """Add a point."""
        del at_ns
        context = trace.set_span_in_context(trace.NonRecordingSpan(span))
        self._record(amount, self._labels, context)


def views() -> list[View]:
    """Make the views that give every histogram of the table its buckets, in the SDK's store."""
    return [
        View(
            instrument_name=instrument.name,
            aggregation=ExplicitBucketHistogramAggregation(instrument.buckets),
        )
        for instrument in t.INSTRUMENTS
        if instrument.kind == "histogram"
    ]


class _Points:
    """The points that a kind's recording makes, each in its series."""

    def __init__(self, recording: Recording, store: Store, *, owner_labels: bool) -> None:
        labels = [
            (label, attribute.key)
            for label, attribute in recording.labels
            if owner_labels or attribute not in _OWNERS
        ]
        self._names = tuple(label for label, _ in labels)
        self._keys = tuple(key for _, key in labels)
        self._constants = dict(recording.constants)
        self._instrument = recording.instrument
        self._store = store
        self._series: dict[tuple[object, ...], Series] = {}
        self._overflow: dict[tuple[object, ...], Series] = {}
        self.when = recording.when
        self.amount = recording.amount

    def series(self, known: Mapping[str, Value]) -> Series:
        """Find the series of an operation's attributes."""
        values = tuple(map(known.get, self._keys))
        return self._series.get(values) or self._make(values)

    def _make(self, values: tuple[Value | None, ...]) -> Series:
        """Make a series; whoever makes the same one meanwhile, a signal handler too, has this."""
        key: tuple[object, ...] = values
        found, own = self._series, _OVERFLOW
        with process.counting:
            if values not in self._series and len(self._series) >= SERIES_LIMIT:
                found, key = self._overflow, ()
            else:
                own = self._labels(values)
            made = self._store.series(self._instrument, {**self._constants, **own})
            return found.setdefault(key, made)

    def _labels(self, values: tuple[Value | None, ...]) -> Labels:
        return {
            name: value
            for name, value in zip(self._names, values, strict=True)
            if isinstance(value, str | bool | int | float)
        }


class PointWriter:
    """Writes records as metric points.

    Args:
        store: makes the series.
        owner_labels: whether tenant, app and workflow are labels.
    """

    def __init__(self, store: Store, *, owner_labels: bool) -> None:
        # Kinds that record the same share the series of it.
        made: dict[Recording, _Points] = {}
        for kind in t.KINDS:
            for recording in kind.recordings:
                if recording not in made:
                    made[recording] = _Points(recording, store, owner_labels=owner_labels)
        self._plans = {
            kind: tuple(made[recording] for recording in kind.recordings) for kind in t.KINDS
        }

    def write(self, record: Record) -> None:
        """Add the points that the row of the record's kind lists."""
        known = record.attributes
        for points in self._plans[record.plan.kind]:
            if points.when is not When.ENDED and not _fits(points.when, record):
                continue
            amount = _amount(points.amount, record)
            if amount is not None:
                points.series(known).record(amount, record.span, record.end_ns)

    def duration_of(self, kind: t.Kind, known: Mapping[str, Value]) -> Series:
        """Find the series of the one point of a kind that folds, for who has no record."""
        (points,) = self._plans[kind]
        return points.series(known)


def _amount(amount: Amount | t.Attribute, record: Record) -> float | None:
    if amount is Amount.ONE:
        return 1
    if amount is Amount.DURATION:
        return record.seconds
    value = record.attributes.get(amount.key)
    return value if isinstance(value, int | float) else None


def _fits(when: When, record: Record) -> bool:
    if when is When.FAILED:
        return record.failed
    status = record.plan.kind.status
    paused = status is not None and record.attributes.get(status.key) == "paused"
    return paused if when is When.PAUSED else not paused
