"""Delivery: what an operator hears of a destination that does not take signals, and no more.

A destination that fails says so once, and once more when it works again. What is lost is counted,
by the reason that it was lost for.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from typing import Any

from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import INVALID_SPAN_CONTEXT

from otel_dify import table as t
from otel_dify.export.progress import Counts, Uncounted
from otel_dify.guard import say_once
from otel_dify.process import process

logger = logging.getLogger("otel_dify")

_RESULTS: dict[str, Any] = {
    "traces": SpanExportResult,
    "metrics": MetricExportResult,
    "logs": LogRecordExportResult,
}


class Lost:
    """What this process could not deliver.

    Attributes:
        items: their number, by signal and reason.
        counts: counts them as a metric.
    """

    def __init__(self) -> None:
        self.items: Counter[tuple[str, str]] = Counter()
        self.counts: Counts = Uncounted()

    def count(self, signal: str, reason: str, number: int) -> None:
        """Add to the metric."""
        series = self.counts.series(t.ITEMS_LOST, {"signal": signal, "reason": reason})
        series.record(number, INVALID_SPAN_CONTEXT, time.time_ns())

    def forked(self) -> None:
        """Count anew: the parent reports its own."""
        self.items.clear()
        self.counts = Uncounted()


def lost() -> Counter[tuple[str, str]]:
    """Return what this process could not deliver, by signal and reason."""
    return process.kept(Lost).items


def count_lost(counts: Counts) -> None:
    """Have what is lost counted as a metric, with what has been lost until now.

    Args:
        counts: counts it.
    """
    known = process.kept(Lost)
    with process.counting:
        known.counts = counts
        for (signal, reason), number in known.items.items():
            known.count(signal, reason, number)


def lose(signal: str, count: int, reason: str) -> None:
    """Count items of a signal that are lost.

    Args:
        signal: ``traces``, ``metrics`` or ``logs``.
        count: how many.
        reason: ``full`` (beyond the limit of bytes or items), ``old`` (beyond the limit of age),
            ``refused`` and ``rejected`` (by the backend, as a request and as a part of one),
            ``damaged`` (cannot be read), ``ended`` (with a process that had them in memory),
            ``failed`` (by an exporter that does not try again).
    """
    known = process.kept(Lost)
    with process.counting:
        known.items[signal, reason] += count
        known.count(signal, reason, count)


class Delivery:
    """Tells the operator whether one destination of one signal works.

    Args:
        signal: ``traces``, ``metrics`` or ``logs``.
        where: the destination in the operator's words.
        kept: what happens meanwhile to what is not delivered, as a sentence.
    """

    def __init__(self, signal: str, where: str, kept: str) -> None:
        self._signal = signal
        self._where = where
        self._kept = kept
        self._failing = False

    def works(self) -> None:
        """Take note of a success."""
        if self._failing:
            self._failing = False
            logger.warning("%s are delivered again to %s", self._signal, self._where)

    def fails(self, reason: str) -> None:
        """Take note of a failure."""
        first, self._failing = not self._failing, True
        if first:
            logger.error(
                "%s cannot be delivered: %s does not take them%s. Check that the Collector runs "
                "there and that the address is right; Dify runs on, and %s",
                self._signal,
                self._where,
                f" ({reason})" if reason else "",
                self._kept,
            )

    def refused(self, reason: str) -> None:
        """Say of the first record that was refused why it was."""
        say_once(
            f"{self._where} refuses some of the {self._signal} ({reason}); each is counted in "
            "otel_dify.export.lost and left out"
        )

    def rejected(self, number: int, message: str) -> None:
        """Say of the first part of a request that was rejected why it was."""
        del number
        said = f" ({message})" if message else ""
        say_once(
            f"{self._where} takes some of the {self._signal} and rejects others{said}; each is "
            "counted in otel_dify.export.lost"
        )


class Watched:
    """Watches the exports of an exporter that is not ours.

    A forked child gets copies of what its parent holds, and the SDK restarts their threads there:
    in a child the exporter does nothing, since its parent sends the same.

    Args:
        exporter: the exporter; its ``export`` is replaced.
        signal: ``traces``, ``metrics`` or ``logs``.
        where: the destination in the operator's words.
        quiet: whether the exporter says itself what is wrong.
    """

    def __init__(self, exporter: Any, signal: str, where: str, *, quiet: bool = False) -> None:
        self._export = exporter.export
        self._signal = signal
        self._quiet = quiet
        self._delivery = Delivery(
            signal, where, "delivery is tried again with what comes; what did not go out is lost"
        )
        self._process = os.getpid()
        exporter.export = self.export

    def export(self, batch: Any, *args: Any, **kwargs: Any) -> Any:
        """Export a batch; a failure is counted and told, and never raised."""
        results = _RESULTS[self._signal]
        if os.getpid() != self._process:
            return results.SUCCESS
        try:
            result, reason = self._export(batch, *args, **kwargs), ""
        except Exception as error:  # noqa: BLE001 - the SDK would log each with its stack
            result, reason = results.FAILURE, f"{type(error).__name__}: {error}"
        if result is results.SUCCESS:
            self._delivery.works()
        else:
            lose(self._signal, _count(batch), "failed")
            if not self._quiet:
                self._delivery.fails(reason)
        return result


def _count(batch: Any) -> int:
    if isinstance(batch, MetricsData):
        return sum(
            len(scope.metrics)
            for resource in batch.resource_metrics
            for scope in resource.scope_metrics
        )
    return len(batch)


def quiet_stock_exporters() -> None:
    """Silence the stock exporters' own lines: ``Delivery`` says what they mean."""
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
