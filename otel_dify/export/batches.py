"""Batches: what waits to be sent by an exporter that is not ours.

A full queue loses its oldest item, which is counted.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry.instrumentation.utils import suppress_instrumentation

from otel_dify.export.delivery import lose
from otel_dify.export.ticking import Ticking

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricsData


class Sends(Protocol):
    """Sends items of one signal."""

    def flush(self, timeout_ms: int) -> None:
        """Send what waits."""

    def stop(self, deadline: float) -> None:
        """Have what waits sent a last time, until then by ``time.monotonic``."""

    def join(self, deadline: float) -> object:
        """Wait until that is done."""


class _Exporting:
    """An exporter that is not ours, and the thread that hands it what there is.

    Args:
        exporter: the exporter; it never raises.
        signal: ``traces``, ``metrics`` or ``logs``.
        every_ms: milliseconds between two times.
        work: what the thread does.
    """

    def __init__(self, exporter: Any, signal: str, every_ms: int, work: Callable[[], None]) -> None:
        self._exporter = exporter
        self._exporting = threading.Lock()
        self._ticking = Ticking(f"otel_dify-{signal}", every_ms / 1000, work)

    def stop(self, deadline: float) -> None:
        """Have what waits sent a last time."""
        del deadline
        self._ticking.stop()

    def join(self, deadline: float) -> bool:
        """Wait until that is done, and tell whether it is."""
        ended = self._ticking.join(deadline)
        if ended:
            with suppress_instrumentation():
                self._exporter.shutdown()
        return ended


class Batches(_Exporting):
    """Spans or log records that wait to be sent by one exporter.

    Args:
        exporter: sends a batch of them; never raises, and counts what it loses.
        signal: ``traces`` or ``logs``.
        delay_ms: milliseconds that the first of a batch waits at most.
        most: items that wait at most.
        size: items of one batch.
    """

    def __init__(self, exporter: Any, signal: str, delay_ms: int, most: int, size: int) -> None:
        super().__init__(exporter, signal, delay_ms, self._send_some)
        self._signal = signal
        self._size = size
        self._most = most
        self._waiting: deque[Any] = deque()

    def add(self, item: Any) -> None:
        """Put an item into the queue."""
        waiting = self._waiting
        waiting.append(item)
        number = len(waiting)
        if number > self._most:
            self._drop()
        self._ticking.start()
        # Once a batch, not once an item beyond it: whoever sends takes all that wait.
        if number == self._size:
            self._ticking.wake()

    def _drop(self) -> None:
        try:
            self._waiting.popleft()
        except IndexError:  # sent meanwhile
            return
        lose(self._signal, 1, "full")

    def _send_some(self) -> None:
        with self._exporting:
            # As much as waits now: what comes meanwhile may come for ever.
            left = len(self._waiting)
            while left > 0:
                left -= self._send_batch()

    def _send_batch(self) -> int:
        batch: list[Any] = []
        try:
            while len(batch) < self._size:
                batch.append(self._waiting.popleft())
        except IndexError:  # no more
            pass
        if batch:
            with suppress_instrumentation():
                self._exporter.export(batch)
        return max(len(batch), 1)

    def flush(self, timeout_ms: int) -> None:
        """Send what waits."""
        if self._exporting.acquire(timeout=timeout_ms / 1000):
            try:
                until = time.monotonic() + timeout_ms / 1000
                while self._waiting and time.monotonic() < until:
                    self._send_batch()
            finally:
                self._exporting.release()

    def join(self, deadline: float) -> bool:
        """Wait until that is done, and tell whether it is; what waits still is lost."""
        ended = super().join(deadline)
        if not ended and self._waiting:
            lose(self._signal, len(self._waiting), "ended")
        return ended


class Collections(_Exporting):
    """Metrics that are collected and sent at intervals by one exporter.

    Args:
        exporter: sends what was collected; never raises, and counts what it loses.
        collect: returns all metrics as they are now; nothing where there are none.
        every_ms: milliseconds between two collections.
        timeout_ms: milliseconds that sending may take.
    """

    def __init__(
        self,
        exporter: Any,
        collect: Callable[[], MetricsData | None],
        every_ms: int,
        timeout_ms: int,
    ) -> None:
        super().__init__(exporter, "metrics", every_ms, self._send)
        self._collect = collect
        self._timeout_ms = timeout_ms

    def start(self) -> None:
        """Begin, with the first thing recorded."""
        self._ticking.start()

    def _send(self) -> None:
        with self._exporting, suppress_instrumentation():
            collected = self._collect()
            if collected is not None:
                self._exporter.export(collected, timeout_millis=self._timeout_ms)

    def flush(self, timeout_ms: int) -> None:
        """Collect and send."""
        del timeout_ms
        self._send()
