"""Batches: what waits to be sent, and the thread that sends it.

The SDK's batch processors start their threads when they are made, and again in every forked child
for what its parent has made. Here a thread starts with the first item of a process, and a child
knows nothing of its parent's. A full queue loses its oldest item, which is counted.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry.instrumentation.utils import suppress_instrumentation

from otel_dify.export.delivery import lose
from otel_dify.guard import guarded

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricsData


class Sender(Protocol):
    """Sends items of one signal."""

    def flush(self, timeout_ms: int) -> None:
        """Send what waits."""

    def shutdown(self) -> None:
        """Send what waits, and stop."""


class _Ticking:
    """A thread that does something again and again, until it is stopped.

    It is a daemon and starts when it is first asked to, so that neither a process that records
    nothing nor one that is about to fork has it.
    """

    def __init__(self, name: str, every_s: float, work: Callable[[], None]) -> None:
        self._name = name
        self._every_s = every_s
        self._work = work
        # A SimpleQueue may be put into from a signal handler that interrupts another put.
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def start(self) -> None:
        """Start the thread, once; whoever finds it being started need not wait."""
        if self._thread is None and self._starting.acquire(blocking=False):
            try:
                if self._thread is None and not self._stopped:
                    thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                    thread.start()
                    self._thread = thread
            finally:
                self._starting.release()

    def wake(self) -> None:
        """Have the work done at once."""
        self._bell.put(None)

    def stop(self, timeout_s: float) -> None:
        """Stop the thread when it has done what it is at."""
        self._stopped = True
        self.wake()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopped:
            with suppress(Empty):
                self._bell.get(timeout=self._every_s)
            if self._stopped:
                return
            with guarded(f"otel_dify.export {self._name}"):
                self._work()


SHUTDOWN_S = 30.0
"""Seconds that a sender is waited for at the end, the SDK's own limit."""


class Batches:
    """Spans or log records that wait to be sent by one exporter.

    Args:
        exporter: sends a batch of them; never raises, and counts what it loses.
        signal: ``traces`` or ``logs``.
        delay_ms: milliseconds that the first of a batch waits at most.
        most: items that wait at most.
        size: items of one batch.
    """

    def __init__(self, exporter: Any, signal: str, delay_ms: int, most: int, size: int) -> None:
        self._exporter = exporter
        self._signal = signal
        self._size = size
        self._most = most
        self._waiting: deque[Any] = deque()
        self._exporting = threading.Lock()
        self._ticking = _Ticking(f"otel_dify-{signal}", delay_ms / 1000, self._send_some)
        self._ended = False

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
        lose(self._signal, 1)

    def _send_some(self) -> None:
        with self._exporting:
            # As much as waits now: what comes meanwhile may come for ever.
            left = len(self._waiting)
            while left > 0 and not self._ended:
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

    def shutdown(self) -> None:
        """Send what waits, and stop."""
        self._ticking.stop(SHUTDOWN_S)
        self.flush(int(SHUTDOWN_S * 1000))
        self._ended = True
        with suppress_instrumentation():
            self._exporter.shutdown()


class Collections:
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
        self._exporter = exporter
        self._collect = collect
        self._timeout_ms = timeout_ms
        self._exporting = threading.Lock()
        self._ticking = _Ticking("otel_dify-metrics", every_ms / 1000, self._send)

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

    def shutdown(self) -> None:
        """Collect and send the last of it, and stop."""
        self._ticking.stop(SHUTDOWN_S)
        self._send()
        with suppress_instrumentation():
            self._exporter.shutdown()
