"""Progress: how sending fares, as metrics under the names that OpenTelemetry has for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext

from otel_dify import table as t

if TYPE_CHECKING:
    from otel_dify.signals.series import Labels, Series
    from otel_dify.table import Instrument

_SORTS = {"traces": "span", "logs": "log", "metrics": "metric"}


class Counts(Protocol):
    """What counts (``signals/points.py``)."""

    def series(self, instrument: Instrument, labels: Labels) -> Series:
        """Return the series of some labels."""


class Uncounted:
    """Counts nothing, for programs that have no metrics of ours."""

    def series(self, instrument: Instrument, labels: Labels) -> Series:
        """Return what takes points and drops them."""
        del instrument, labels
        return _Dropped()


class _Dropped:
    def record(self, amount: float, span: SpanContext, at_ns: int) -> None:
        """Drop a point."""


class Progress:
    """Counts what one sender sends.

    Args:
        counts: what counts.
        signal: ``traces``, ``metrics`` or ``logs``.
        protocol: ``http/protobuf`` or ``grpc``.
    """

    def __init__(self, counts: Counts, signal: str, protocol: str) -> None:
        self._counts = counts
        self._exported = t.EXPORTED.get(signal)
        by = "grpc" if protocol == "grpc" else "http"
        # Semantic conventions, registry of `otel.component.type`.
        self._labels = {"otel.component.type": f"otlp_{by}_{_SORTS[signal]}_exporter"}

    def sent(self, seconds: float, records: int, size: int, error_type: str = "") -> None:
        """Take note of a request.

        Args:
            seconds: how long it took.
            records: how many records it had.
            size: its bytes before compression.
            error_type: what went wrong, in one word; empty where it has arrived.
        """
        labels = {**self._labels, "error.type": error_type} if error_type else self._labels
        self._add(t.EXPORT_DURATION, labels, seconds)
        if self._exported is not None:
            self._add(self._exported, labels, records)
        if not error_type:
            self._add(t.EXPORTED_BYTES, labels, size)

    def _add(self, instrument: Instrument, labels: Labels, amount: float) -> None:
        series = self._counts.series(instrument, labels)
        series.record(amount, INVALID_SPAN_CONTEXT, time.time_ns())
