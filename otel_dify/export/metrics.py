"""Metrics of our own export: collected at intervals, encoded, and sent.

What could not be sent is not kept: the next collection has all of it and more. What has come to be
counted since the last one is in the file of the process's slot (``signals/cells.py``).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from opentelemetry.instrumentation.utils import suppress_instrumentation

from otel_dify.export.delivery import Delivery, lose
from otel_dify.export.encoding.metrics import MetricEncoder
from otel_dify.export.encoding.request import request
from otel_dify.export.sending.outcome import Delivered, Refused
from otel_dify.export.ticking import Ticking

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import Metric

    from otel_dify.export.progress import Progress
    from otel_dify.export.sending.outcome import Transport


class MetricSender:
    """Collects and sends metrics.

    Args:
        collect: returns all metrics as they are now.
        encoder: encodes them.
        resource: says in the words of a request whose they are.
        scope: the same of what made them.
        transport: sends the body of a request.
        delivery: tells the operator how it goes.
        progress: counts how it goes.
        every_s: seconds between two collections.
        timeout_s: seconds that one request may take.
        sent: told whether the last values of this process have been sent.
        look: looks for what dead processes have counted, and sends it by ``send``.
    """

    def __init__(
        self,
        collect: Callable[[], Sequence[Metric]],
        encoder: MetricEncoder,
        resource: bytes,
        scope: bytes,
        *,
        transport: Transport,
        delivery: Delivery,
        progress: Progress,
        every_s: float,
        timeout_s: float,
        sent: Callable[[], None],
        look: Callable[[MetricSender], None],
    ) -> None:
        self._collect = collect
        self._encoder = encoder
        self._resource = resource
        self._scope = scope
        self._transport = transport
        self._delivery = delivery
        self._progress = progress
        self._timeout_s = timeout_s
        self._sent = sent
        self._look = look
        self._sending = threading.Lock()
        self._ticking = Ticking("otel_dify-metrics", every_s, self._work)
        self._deadline: float | None = None

    def start(self) -> None:
        """Begin."""
        self._ticking.start()

    def _work(self) -> None:
        last = self._deadline is not None
        with self._sending:
            if self.send(self._resource, self._collect()) and last:
                self._sent()
            if not last:
                self._look(self)

    def send(self, resource: bytes, metrics: Sequence[Metric]) -> bool:
        """Send metrics.

        Args:
            resource: says in the words of a request whose they are.
            metrics: the metrics.

        Returns:
            Whether they have arrived.
        """
        return not metrics or self._deliver(resource, [self._encoder.encode(m) for m in metrics])

    def _deliver(self, resource: bytes, records: list[bytes]) -> bool:
        timeout_s = self._timeout_s
        if self._deadline is not None:
            timeout_s = min(timeout_s, self._deadline - time.monotonic())
            if timeout_s <= 0:
                return False
        body, began = request(resource, [(self._scope, records)]), time.monotonic()
        outcome = self._transport.send(body, timeout_s)
        failed_by = "" if isinstance(outcome, Delivered) else type(outcome).__name__.lower()
        self._progress.sent(time.monotonic() - began, len(records), len(body), failed_by)
        if isinstance(outcome, Delivered):
            if outcome.rejected:
                lose("metrics", outcome.rejected, "rejected")
                self._delivery.rejected(outcome.rejected, outcome.message)
            self._delivery.works()
            return True
        if isinstance(outcome, Refused):
            if len(records) > 1:
                middle = len(records) // 2
                halves = records[:middle], records[middle:]
                delivered = [self._deliver(resource, half) for half in halves]
                return all(delivered)
            lose("metrics", 1, "refused")
            self._delivery.refused(outcome.reason)
            return True
        self._delivery.fails(outcome.reason)
        return False

    def flush(self, timeout_ms: int) -> None:
        """Collect and send, now."""
        if self._sending.acquire(timeout=timeout_ms / 1000):
            try:
                with suppress_instrumentation():
                    self.send(self._resource, self._collect())
            finally:
                self._sending.release()

    def stop(self, deadline: float) -> None:
        """Have metrics collected and sent a last time.

        Args:
            deadline: until when, by ``time.monotonic``.
        """
        self._deadline = deadline
        self._ticking.stop()

    def join(self, deadline: float) -> bool:
        """Wait until that is done."""
        done = self._ticking.join(deadline)
        if done:
            self._transport.close()
        return done
