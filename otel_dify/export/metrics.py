"""Metrics of our own export: collected at intervals, encoded, and sent.

What could not be sent is not kept: the next collection has all of it and more. What has come to be
counted since the last one is in the file of the process's slot (``signals/cells.py``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from opentelemetry.instrumentation.utils import suppress_instrumentation

from otel_dify.export.encoding.metrics import MetricEncoder
from otel_dify.export.encoding.request import request
from otel_dify.export.sending.outcome import Delivered, Refused
from otel_dify.export.ticking import Ticking

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import Metric

    from otel_dify.export.requests import Requests


class MetricSender:
    """Collects and sends metrics.

    Args:
        collect: returns all metrics as they are now.
        encoder: encodes them.
        resource: says in the words of a request whose they are.
        scope: the same of what made them.
        requests: sends a collection.
        every_s: seconds between two collections.
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
        requests: Requests,
        every_s: float,
        sent: Callable[[], None],
        look: Callable[[MetricSender], None],
    ) -> None:
        self._collect = collect
        self._encoder = encoder
        self._resource = resource
        self._scope = scope
        self._requests = requests
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
        body = request(resource, [(self._scope, records)])
        outcome = self._requests.send(body, len(records), self._deadline)
        if outcome is None or isinstance(outcome, Delivered):
            return outcome is not None
        if not isinstance(outcome, Refused):
            self._requests.failed(outcome.reason)
            return False
        if len(records) == 1:
            self._requests.refused(outcome.reason)
            return True
        middle = len(records) // 2
        delivered = [self._deliver(resource, part) for part in (records[:middle], records[middle:])]
        return all(delivered)

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
            self._requests.close()
        return done
