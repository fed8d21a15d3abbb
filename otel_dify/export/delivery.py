"""Delivery: what an operator hears of an exporter that cannot deliver, and no more.

The stock exporters log every failed batch, with stack traces. Here a destination that fails says
so once, and once more when it works again; what was lost meanwhile is counted.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from typing import Any

from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData
from opentelemetry.sdk.trace.export import SpanExportResult

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
        items: their number, by signal.
    """

    def __init__(self) -> None:
        self.items: Counter[str] = Counter()

    def forked(self) -> None:
        """Count anew: the parent reports its own."""
        self.items.clear()


def lost() -> Counter[str]:
    """Return what this process could not deliver, by signal."""
    return process.kept(Lost).items


def lose(signal: str, count: int) -> None:
    """Count items of a signal that are lost."""
    with process.counting:
        lost()[signal] += count


class Delivery:
    """Knows whether one destination of one signal works.

    Attributes:
        lost: items not delivered so far.

    Args:
        signal: ``traces``, ``metrics`` or ``logs``.
        where: the destination in the operator's words.
        quiet: whether the exporter says itself what is wrong.
    """

    def __init__(self, signal: str, where: str, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._signal = signal
        self._where = where
        self._failing = False
        self._process = os.getpid()
        self.lost = 0

    def watch(self, exporter: Any) -> None:
        """Watch the exports of an exporter.

        A forked child gets copies of what its parent holds, and the SDK restarts their threads
        there: in a child the exporter does nothing, since its parent sends the same.
        """
        export = exporter.export
        results = _RESULTS[self._signal]

        def watched(batch: Any, *args: Any, **kwargs: Any) -> Any:
            if os.getpid() != self._process:
                return results.SUCCESS
            try:
                result, reason = export(batch, *args, **kwargs), ""
            except Exception as error:  # noqa: BLE001 - the SDK would log each with its stack
                result, reason = results.FAILURE, f" ({type(error).__name__}: {error})"
            self.outcome(delivered=result is results.SUCCESS, count=_count(batch), reason=reason)
            return result

        exporter.export = watched

    def outcome(self, *, delivered: bool, count: int, reason: str = "") -> None:
        """Take note of one export of ``count`` items."""
        if delivered and self._failing:
            self._failing = False
            logger.warning(
                "%s are delivered again to %s; %d were lost meanwhile",
                self._signal,
                self._where,
                self.lost,
            )
        elif not delivered:
            self.lost += count
            lose(self._signal, count)
            first, self._failing = not self._failing, True
            if first and not self._quiet:
                logger.error(
                    "%s cannot be delivered: %s does not take them%s. Check that the Collector "
                    "runs there and that the address is right; Dify runs on, and delivery is "
                    "tried again all the time",
                    self._signal,
                    self._where,
                    reason,
                )


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
